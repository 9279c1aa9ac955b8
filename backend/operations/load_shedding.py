"""What a process refuses when it has too much on its hands: first what only decorates, to the last the colour.

The measure is how many requests are begun and not yet answered, which grows as soon as the store is slow, and whether
the store has just failed to answer.
"""

import time
from typing import Literal

from backend.i18n import Text
from backend.problems import Problem

Priority = Literal["decoration", "ordinary", "essential"]
"""How long a route is kept up: images and histories, everything else, and the colour and its verification."""

STORE_UNAVAILABLE_SECONDS = 1.0
_SHARES: dict[Priority, float] = {"decoration": 0.25, "ordinary": 0.5, "essential": 1.0}


class Unavailable(Problem):
    """The city cannot do this just now; `Retry-After` says when to ask again."""

    status, title = 503, "Unavailable"


class LoadShedder:
    """How much one process has on its hands."""

    def __init__(self, requests_at_once: int) -> None:
        self.in_flight = 0
        self.refused = 0
        self._limits = {priority: max(1, int(requests_at_once * share)) for priority, share in _SHARES.items()}
        self._store_away_until = 0.0

    @property
    def store_is_unavailable(self) -> bool:
        """Tell whether the store failed to answer within the last second."""
        return time.monotonic() < self._store_away_until

    def note_store_unavailable(self) -> None:
        """Note that the store did not answer."""
        self._store_away_until = time.monotonic() + STORE_UNAVAILABLE_SECONDS

    def admit(self, priority: Priority) -> None:
        """Let a request of this rank go on. Raises Unavailable, at once, where there is no room for it.

        What is essential is tried even while the store is away: so it is noticed that the store is back.
        """
        if self.in_flight > self._limits[priority] or (self._store_away_until and self._refuses(priority)):
            self.refused += 1
            raise unavailable()

    def _refuses(self, priority: Priority) -> bool:
        return priority != "essential" and self.store_is_unavailable


def unavailable() -> Unavailable:
    """Give the Problem that asks to come back in two seconds."""
    return Unavailable(
        Text(zh="系统繁忙，请稍后再试。", en="The city's system is busy; please try again in a moment."),
        headers={"Retry-After": "2"},
    )
