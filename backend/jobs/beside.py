"""Work that goes on beside a block, such as that of a server, until the block ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from backend.store import StoreUnavailable


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None, None]:
    """Run `work` until the end of the block, and cancel it then."""
    running = asyncio.create_task(work)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def repeat(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do `work` every few seconds; while the store does not answer, it is tried again."""
    while True:
        with suppress(StoreUnavailable):
            await work()
        await asyncio.sleep(seconds)
