"""What accounts may do at this moment.

An access token says what its account could do when it was issued. Acts of staff, money and other changes ask the store
whether the session still exists and what the account may do now; reads by citizens trust the token. Gates trust an
answer of the last seconds, so that a queue of people costs few reads and goes on while the store is away.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct

from backend.store import StoreUnavailable

RECENT_SECONDS = 5.0
MAX_REMEMBERED = 10_000


class Standing(Struct, frozen=True, gc=False):
    """What an account may do now; an account whose session has ended has none."""

    citizen_id: str | None
    roles: tuple[str, ...]
    venues: tuple[str, ...]
    level: int


FindStanding = Callable[[str, str], Awaitable[Standing | None]]
"""Returns what an account may do now in a session; None if the session has ended. Raises StoreUnavailable."""


class Standings:
    """Finds what the accounts of tokens may do. One per process."""

    def __init__(self, find: FindStanding | None, clock: Callable[[], datetime]) -> None:
        self._find = find
        self._clock = clock
        self._remembered: dict[str, tuple[float, Standing | None]] = {}

    async def current(self, account: str, session: str, claimed: Standing) -> Standing | None:
        """Return what an account may do now; None if its session has ended. Raises StoreUnavailable.

        In a city without a service that keeps accounts, that is what the token has `claimed`.
        """
        return claimed if self._find is None else await self._find(account, session)

    async def recent(self, account: str, session: str, claimed: Standing) -> Standing | None:
        """Return what an account could do within the last five seconds.

        While the store does not answer, that is what was known before, or else what the token has `claimed`.
        """
        key, now = f"{account} {session}", self._clock().timestamp()
        known = self._remembered.get(key)
        if known is None or not 0 <= now - known[0] < RECENT_SECONDS:
            try:
                known = now, await self.current(account, session, claimed)
            except StoreUnavailable:
                known = now, claimed if known is None else known[1]
            self._remember(key, known)
        return known[1]

    def _remember(self, key: str, known: tuple[float, Standing | None]) -> None:
        self._remembered.pop(key, None)
        if len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]  # the one that was read longest ago
        self._remembered[key] = known
