"""Load shedding: an overloaded process refuses decorative content first, and the colour last.

The load is the number of requests that are read and not yet answered, which grows as soon as the store is slow, and
whether the store has just failed to answer. A request that waits for its own client is no load: otherwise some hundred
clients that do not finish sending would make the process refuse everyone else.
"""

import time
from typing import Literal, cast

from litestar.handlers import BaseRouteHandler

from backend.i18n import Text
from backend.problems import Problem

Priority = Literal["decoration", "ordinary", "essential"]
"""The priority of a route: images and histories, everything else, and the colour and its verification."""

STORE_UNAVAILABLE_SECONDS = 1.0
NOT_WRITABLE_SECONDS = 30
_SHARES: dict[Priority, float] = {"decoration": 0.25, "ordinary": 0.5, "essential": 1.0}


class Unavailable(Problem):
    """The city cannot do this now; `Retry-After` says when to try again."""

    status, title, title_zh = 503, "Unavailable", "系统繁忙"


class LoadShedder:
    """Refuses requests when one process is overloaded."""

    def __init__(self, requests_at_once: int) -> None:
        self.in_flight = 0
        self.refused = 0
        self._limits = {priority: max(1, int(requests_at_once * share)) for priority, share in _SHARES.items()}
        self._store_unavailable_until = 0.0

    @property
    def store_is_unavailable(self) -> bool:
        """Return whether the store has failed to answer within the last second."""
        return time.monotonic() < self._store_unavailable_until

    def note_store_unavailable(self) -> None:
        """Record that the store did not answer."""
        self._store_unavailable_until = time.monotonic() + STORE_UNAVAILABLE_SECONDS

    def admit(self, priority: Priority) -> None:
        """Admit a request of this priority. Raises Unavailable, at once, if the process is overloaded.

        Essential requests are admitted even while the store does not answer, which shows when it answers again.
        """
        if self.in_flight > self._limits[priority] or (self._store_unavailable_until and self._refuses(priority)):
            self.refused += 1
            raise unavailable()

    def _refuses(self, priority: Priority) -> bool:
        return priority != "essential" and self.store_is_unavailable


def priority_of(handler: BaseRouteHandler) -> Priority:
    """Return the priority that a route declares."""
    return cast("Priority", handler.opt.get("priority", "ordinary"))


def not_writable() -> Unavailable:
    """Return the Problem for a store that cannot write; requests that only read are still answered."""
    seconds = str(NOT_WRITABLE_SECONDS)
    return Unavailable(
        Text(
            zh=f"系统暂时无法保存数据，本次办理未成功，请{seconds}秒后再试。",
            en=f"The city cannot save anything now, so nothing was done; please try again in {seconds} seconds.",
        ),
        headers={"Retry-After": seconds},
    )


def unavailable() -> Unavailable:
    """Return the Problem that asks the caller to try again in two seconds."""
    return Unavailable(
        Text(zh="系统繁忙，请2秒后再试。", en="The city's system is busy; please try again in 2 seconds."),
        headers={"Retry-After": "2"},
    )
