"""Load shedding: an overloaded process refuses decorative content first, and the colour last.

The load is the number of requests in flight: those that are read and not yet answered. How many may be in flight, the
room, follows from how long they take: it shrinks if their mean time exceeds the target, and grows if it is below it and
requests are refused. So the queue is as short on a slow store as on a fast one, and the processor is never idle. A
request that waits for its own client is no load: otherwise some hundred clients that do not finish sending would make
the process refuse everyone else.
"""

import time
from collections.abc import Callable
from typing import Literal, cast

from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from backend.i18n import Text
from backend.problems import Problem

Priority = Literal["decoration", "ordinary", "essential"]
"""The priority of a route: images and histories, everything else, and the colour and its verification."""
Audience = Literal["citizens", "gates", "institutions"]
"""Whose request it is: a citizen's, a gate's, or that of staff and connected systems, such as a hospital's."""

STORE_UNAVAILABLE_SECONDS = 1.0
NOT_WRITABLE_SECONDS = 30
TARGET_SECONDS = 0.03
"""At three times the capacity, the slowest hundredth takes four times as long as this from when it is due: it waits to
be read while a room full of others is answered and the rest is refused, and then for those before it."""
ADAPT_SECONDS = 0.1
FIRST_ROOM, LEAST_ROOM, MOST_ROOM = 256, 128, 4_096
LATE_SECONDS = 0.1
"""A request whose client kept us waiting as long as this is admitted again."""
_LEAST_FACTOR, _MOST_FACTOR = 0.7, 1.25
"""How far the room changes at a time: down at once, up with care, since the mean time lags behind."""
_SHARES: dict[Priority, float] = {"decoration": 0.5, "ordinary": 0.75, "essential": 1.0}
_GUARANTEED: dict[Audience, float] = {"citizens": 0.5, "gates": 0.25, "institutions": 0.25}
"""The part of its share of the room that an audience has, however many requests of the others are in flight."""

IN_FLIGHT = "in_flight"
"""The key of `scope["state"]` under which the server front stores the BegunRequest."""


class Unavailable(Problem):
    """The city cannot do this now; `Retry-After` says when to try again."""

    status, title, title_zh = 503, "Unavailable", "系统繁忙"


class Rank(Struct, frozen=True):
    """What decides when a request is refused."""

    priority: Priority = "ordinary"
    audience: Audience = "citizens"


class BegunRequest(Struct, gc=False):
    """A request from its begin to the end of its task. `is_admitted` if there was room for it when it began."""

    audience: Audience
    begun: float
    is_admitted: bool = False
    is_waiting: bool = False
    """For its own client, to send or to read."""
    waiting_since: float = 0.0
    seconds_waited: float = 0.0


def adapted_room(room: int, peak: int, mean_seconds: float, target_seconds: float, *, was_full: bool) -> int:
    """Return the room after a while in which requests took `mean_seconds`, and at most `peak` were in flight.

    `was_full` if a request was refused in that time: only then more room is of use.
    """
    if mean_seconds > target_seconds:
        wanted = min(room, peak) * max(_LEAST_FACTOR, target_seconds / mean_seconds)
        return min(room, max(LEAST_ROOM, int(wanted)))
    if was_full:
        factor = min(_MOST_FACTOR, target_seconds / mean_seconds) if mean_seconds > 0 else _MOST_FACTOR
        return min(MOST_ROOM, max(room, int(room * factor)))
    return room


class LoadShedder:
    """Refuses requests when one process is overloaded: if their mean time exceeds `target_seconds`."""

    def __init__(self, target_seconds: float = TARGET_SECONDS, clock: Callable[[], float] = time.perf_counter) -> None:
        self.in_flight = 0
        self.refused = 0
        self.ended = 0
        self._target_seconds, self._clock = target_seconds, clock
        self._in_flight_of: dict[Audience, int] = dict.fromkeys(_GUARANTEED, 0)
        self._peak = self._ended_before = 0
        self._seconds = 0.0
        self._was_full = False
        self._adapts_at = 0.0
        self._store_unavailable_until = 0.0
        self._make_room(FIRST_ROOM)

    # ── requests in flight ──

    def begin(self, audience: Audience = "citizens", *, is_admitted: bool = False) -> BegunRequest:
        """Count a request from now on, until `end`."""
        now = self._clock()
        if now >= self._adapts_at and self.ended > self._ended_before:
            self._adapt(now)
        self.in_flight += 1
        self._in_flight_of[audience] += 1
        self._peak = max(self._peak, self.in_flight)
        return BegunRequest(audience, now, is_admitted)

    def wait(self, request: BegunRequest) -> None:
        """Do not count a request while it waits for its own client, until `resume`; nothing changes if it waits."""
        if request.is_waiting:
            return
        self.in_flight -= 1
        self._in_flight_of[request.audience] -= 1
        request.is_waiting, request.waiting_since = True, self._clock()

    def resume(self, request: BegunRequest) -> None:
        """Count a request again whose client has sent or read something; nothing changes if it does not wait."""
        if not request.is_waiting:
            return
        request.is_waiting = False
        self.in_flight += 1
        self._in_flight_of[request.audience] += 1
        seconds = self._clock() - request.waiting_since
        request.seconds_waited += seconds
        if seconds > LATE_SECONDS:
            request.is_admitted = False

    def end(self, request: BegunRequest) -> None:
        """Count a request no longer, and note how long it took."""
        self.resume(request)
        self.in_flight -= 1
        self._in_flight_of[request.audience] -= 1
        self._seconds += self._clock() - request.begun - request.seconds_waited
        self.ended += 1

    # ── room ──

    def _adapt(self, now: float) -> None:
        # before a request, and not after one: those that are read together end one after the other, and the mean of a
        # part of them would be too short or too long
        mean_seconds = self._seconds / (self.ended - self._ended_before)
        self._make_room(
            adapted_room(self.room, self._peak, mean_seconds, self._target_seconds, was_full=self._was_full)
        )
        self._adapts_at = now + ADAPT_SECONDS
        self._seconds, self._ended_before, self._peak, self._was_full = 0.0, self.ended, self.in_flight, False

    def _make_room(self, room: int) -> None:
        self.room = room
        """How many requests may be in flight; fewer of those that are refused first."""
        self._limits = {priority: int(room * share) for priority, share in _SHARES.items()}
        self._least_limit = min(self._limits.values())

    def has_room(self, rank: Rank, *, is_first: bool) -> bool:
        """Return whether a request that is about to begin may do so.

        The first request of its connection has half as much room again: those who are served already would leave none.
        """
        if self.in_flight < self._least_limit:
            return True
        limit = self._limits[rank.priority]
        if is_first:
            limit += limit // 2
        if self.in_flight < limit:
            return True
        guaranteed = limit * _GUARANTEED[rank.audience]
        if rank.priority != "decoration" and self._in_flight_of[rank.audience] < guaranteed:
            return True
        self.note_refused()
        return False

    def note_refused(self) -> None:
        """Count a refusal because there is no room."""
        self.refused += 1
        self._was_full = True

    def admit(self, priority: Priority, request: BegunRequest | None = None) -> None:
        """Admit a request that has begun. Raises Unavailable, at once, if the process is overloaded.

        Essential requests are admitted even while the store does not answer, which shows when it answers again.
        """
        if self.in_flight > self._limits[priority] and not (request and request.is_admitted):
            self.note_refused()
            raise unavailable()
        if self._store_unavailable_until and priority != "essential" and self.store_is_unavailable:
            self.refused += 1
            raise unavailable()

    # ── the store ──

    @property
    def store_is_unavailable(self) -> bool:
        """Return whether the store has failed to answer within the last second."""
        return time.monotonic() < self._store_unavailable_until

    def note_store_unavailable(self) -> None:
        """Record that the store did not answer."""
        self._store_unavailable_until = time.monotonic() + STORE_UNAVAILABLE_SECONDS


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
