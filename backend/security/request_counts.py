"""Counts of the requests of a minute, kept in each process and shared in blocks.

Every request is counted, so a call to Redis for each would be too much. A process therefore takes a tenth of a budget
for granted, and reports to the others only what exceeds it, block by block and in the background.
"""

import asyncio

from msgspec import Struct

from backend.security.rate_limits import RateLimits

MINUTE = 60
MAX_SUBJECTS = 100_000
"""The subjects that a process counts in a minute. Further ones share counts, so that memory stays bounded."""

_SHARED_COUNTS = 4_096
_BLOCKS = 10
_MAX_REPORTS = 100


class _Count(Struct):
    """The requests of a subject in this process, those reported to the others, and those that others reported."""

    own: int = 0
    reported: int = 0
    others: int = 0


class MinuteCounts:
    """The requests of the current minute, by subject. One per process."""

    def __init__(self, limits: RateLimits | None = None) -> None:
        self._limits = limits
        self._minute = 0.0
        self._counts: dict[str, _Count] = {}
        self._reports: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, subject: str, limit: int, now: float) -> int:
        """Count a request; return 0, or the seconds to wait if there were more than `limit` in this minute."""
        minute = now // MINUTE
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        count = self._counts.get(subject)
        if count is None:
            if len(self._counts) >= MAX_SUBJECTS:
                subject = f"shared {hash(subject) % _SHARED_COUNTS}"
            count = self._counts.setdefault(subject, _Count())
        count.own += 1
        if count.own + count.others > limit:
            return max(1, MINUTE - int(now) % MINUTE)
        block = max(1, limit // _BLOCKS)
        if self._limits is not None and count.own - count.reported > block:
            self._report(subject, count, block, minute)
        return 0

    def _report(self, subject: str, count: _Count, block: int, minute: float) -> None:
        """Report what this process has counted, and the next block, to the others."""
        if len(self._reports) >= _MAX_REPORTS:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # only tests count outside a loop
        amount = count.own - count.reported + block - 1
        count.reported += amount
        report = loop.create_task(self._lease(f"{subject}/{minute:.0f}", count, amount, count.reported))
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)

    async def _lease(self, subject: str, count: _Count, amount: int, reported: int) -> None:
        assert self._limits is not None
        total = await self._limits.lease(subject, amount, 2 * MINUTE)
        if total is not None:
            count.others = max(count.others, total - reported)
