"""Draw images one at a time, in a thread next to the event loop.

Drawing takes some milliseconds and holds the interpreter. With one thread, other requests wait for at most one drawing,
and a request is refused at once if the queue is full. While eight clients request images continuously, other
requests wait 6 ms at the 99th percentile; with several threads 43 ms; on the event loop 250 ms.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from backend.i18n import Text
from backend.problems import Problem

MAX_QUEUED = 32

T = TypeVar("T")


class ImageWorkerBusy(Problem):
    """Too many images are being drawn; retry, or draw the code in the app from its payload."""

    status, title = 503, "Too many images at once"


class ImageWorker:
    """Draws the images of one process. `pending` is the number of drawings requested and not finished."""

    def __init__(self) -> None:
        self.pending = 0
        self._thread = ThreadPoolExecutor(1, "image-worker")

    async def draw(self, drawing: Callable[[], T]) -> T:
        """Run `drawing` in the thread and return its result. Raises ImageWorkerBusy if the queue is full."""
        if self.pending >= MAX_QUEUED:
            detail = Text(zh="系统繁忙，请稍后再试。", en="The system is busy; please try again in a moment.")
            raise ImageWorkerBusy(detail, headers={"Retry-After": "1"})
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, drawing)
        finally:
            self.pending -= 1


image_worker = ImageWorker()
"""The image worker of this process."""
