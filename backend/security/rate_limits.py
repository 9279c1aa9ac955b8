"""Rate limits that all processes share through Redis, counted call by call.

Each process also keeps its own counts. It therefore limits its callers while Redis does not answer, too. Signing in and
proving an identity are counted here; `request_counts` counts what every request spends.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import MovingWindowSupport, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from msgspec import Struct

from backend.settings import Settings

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage

RETRY_REDIS_SECONDS = 5.0
"""After Redis did not answer, each process counts alone for this long, so that no request waits for it."""

MAX_SUBJECTS = 20_000
"""The subjects that one process remembers for each budget. Further ones share counts, so that memory stays bounded."""

MAX_USED_ONCE = 100_000

_SHARED_COUNTS = 1_024
_log = logging.getLogger("chengma.rate_limits")


class Budget(Struct, frozen=True):
    """At most `limit` acts in any span of `seconds`; those after the first `free` need a solved captcha."""

    name: str
    limit: int
    seconds: int
    free: int | None = None


class Charge(Struct, frozen=True):
    """One act of a subject, such as a phone's keyed hash, to be counted against a budget."""

    budget: Budget
    subject: str


class Refusal(Struct, frozen=True):
    """A budget that is spent for `retry_after_seconds`, or that needs a solved captcha now."""

    budget: Budget
    retry_after_seconds: int
    needs_captcha: bool = False


class RateLimits:
    """The rate limits of one process, shared with the others if there is a Redis."""

    def __init__(self, clock: Callable[[], datetime], redis_url: str = "") -> None:
        def now() -> float:
            return clock().timestamp()

        self.used = UsedOnce(now)
        self._own = _Counter(BoundedMemory(now), now)
        self._redis: RedisStorage | None = None
        self._shared: _Counter | None = None
        self._retry_at = 0.0
        self._away: tuple[type[BaseException], ...] = ()
        if redis_url:
            from backend.security.redis_limits import AWAY, open_redis

            self._away = AWAY
            self._redis = open_redis(redis_url)
            self._shared = _Counter(self._redis, time.time)

    @classmethod
    def of(cls, settings: Settings, clock: Callable[[], datetime]) -> "RateLimits":
        """Return the rate limits of a process with these settings."""
        return cls(clock, redis_url_of(settings))

    async def spend(self, charges: Sequence[Charge], *, captcha_solved: bool = False) -> Refusal | None:
        """Count an act against budgets; if one of them refuses it, return why, and count it against none."""
        refusal = await self._spend_shared(charges, captcha_solved=captcha_solved)
        return refusal or await self._own.spend(charges, captcha_solved=captcha_solved)

    async def spend_once(self, subject: str, seconds: int) -> bool:
        """Return whether this is the first time in `seconds` that something which may be used once is used."""
        once = [Charge(Budget("once", 1, seconds), subject)]
        return self.used.add(subject, seconds) and await self._spend_shared(once, captcha_solved=True) is None

    async def lease(self, subject: str, amount: int, seconds: int) -> int | None:
        """Add to the count of a subject in all processes, and return it; None if Redis does not answer."""
        redis = self._redis
        if redis is None or not self._may_ask_redis():
            return None
        try:
            return await redis.incr(f"lease/{subject}", seconds, amount)
        except self._away as error:
            self._note_away(error)
            return None

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            bridge: Any = self._redis.bridge
            await bridge.storage.aclose()

    async def _spend_shared(self, charges: Sequence[Charge], *, captcha_solved: bool) -> Refusal | None:
        if self._shared is None or not self._may_ask_redis():
            return None
        try:
            return await self._shared.spend(charges, captcha_solved=captcha_solved)
        except self._away as error:
            self._note_away(error)
            return None

    def _may_ask_redis(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _note_away(self, error: BaseException) -> None:
        self._retry_at = time.monotonic() + RETRY_REDIS_SECONDS
        _log.warning("Redis does not answer, so this process limits rates by its own counts: %s", error)


def redis_url_of(settings: Settings) -> str:
    """Return the address of the Redis in which all processes count; empty if there is none."""
    broker = settings.broker if settings.broker.startswith("redis") else ""
    return settings.rate_limit_store or broker


class UsedOnce:
    """What was used in this process and may be used once. The oldest is forgotten first, so that memory is bounded."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._expires: dict[str, float] = {}

    def add(self, subject: str, seconds: int) -> bool:
        """Return whether a subject was not used in the last `seconds`, and remember that it was."""
        now = self._now()
        if self._expires.pop(subject, 0.0) > now:
            self._expires[subject] = now + seconds
            return False
        if len(self._expires) >= MAX_USED_ONCE:
            del self._expires[next(iter(self._expires))]
        self._expires[subject] = now + seconds
        return True


class _Counter:
    """Spends budgets in one storage, whose clock is `now`."""

    def __init__(self, storage: Storage, now: Callable[[], float]) -> None:
        self._limiter = MovingWindowRateLimiter(storage)
        self._now = now

    async def spend(self, charges: Sequence[Charge], *, captcha_solved: bool) -> Refusal | None:
        for charge in charges:
            refusal = await self._refusal(charge, captcha_solved=captcha_solved)
            if refusal is not None:
                return refusal
        for charge in charges:
            if not await self._limiter.hit(*_key(charge)):
                return await self._refusal(charge, captcha_solved=captcha_solved) or Refusal(charge.budget, 1)
        return None

    async def _refusal(self, charge: Charge, *, captcha_solved: bool) -> Refusal | None:
        budget = charge.budget
        window = await self._limiter.get_window_stats(*_key(charge))
        if window.remaining <= 0:
            return Refusal(budget, max(1, int(window.reset_time - self._now()) + 1))
        free = budget.limit if budget.free is None else budget.free
        if budget.limit - window.remaining >= free and not captcha_solved:
            return Refusal(budget, 0, needs_captcha=True)
        return None


def _key(charge: Charge) -> tuple[RateLimitItemPerSecond, str, str]:
    budget = charge.budget
    return RateLimitItemPerSecond(budget.limit, budget.seconds), budget.name, charge.subject


class BoundedMemory(Storage, MovingWindowSupport):
    """Counts in the memory of this process, by its own clock. The number of subjects of each budget is bounded.

    If a budget has too many subjects, new ones share counts. They may be refused early, but nobody is unlimited.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._budgets: dict[str, dict[str, list[float]]] = {}
        self._swept_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the exceptions of the storage: it has none."""
        return RuntimeError

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` acts now; return False, and count none, if there would be more than `limit`."""
        entries = self._entries(key, expiry)
        if len(entries) + amount > limit:
            return False
        entries.extend([self._now()] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002  the port
        """Return the oldest instant of the acts in the last `expiry` seconds, and their number."""
        entries = self._entries(key, expiry, stores=False)
        return (entries[0], len(entries)) if entries else (self._now(), 0)

    def _entries(self, key: str, expiry: int, *, stores: bool = True) -> list[float]:
        budget = key.split("/", 2)[1]
        subjects = self._budgets.setdefault(budget, {})
        ends = self._now() - expiry
        if key not in subjects and len(subjects) >= MAX_SUBJECTS:
            self._sweep(subjects, ends)
            if len(subjects) >= MAX_SUBJECTS:
                key = f"{budget}/{hash(key) % _SHARED_COUNTS}"
        entries = [at for at in subjects.get(key, ()) if at > ends]
        if entries or stores:
            subjects[key] = entries
        else:
            subjects.pop(key, None)
        return entries

    def _sweep(self, subjects: dict[str, list[float]], ends: float) -> None:
        """Drop what has expired, once a second at most, since it takes a millisecond or two."""
        if time.monotonic() < self._swept_at + 1:
            return
        self._swept_at = time.monotonic()
        for key in [key for key, entries in subjects.items() if not entries or entries[-1] <= ends]:
            del subjects[key]

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count acts without a limit, and return their number."""
        entries = self._entries(key, expiry)
        entries.extend([self._now()] * amount)
        return len(entries)

    async def get(self, key: str) -> int:
        """Return the number of acts that are stored."""
        return len(self._budgets.get(key.split("/", 2)[1], {}).get(key, ()))

    async def get_expiry(self, key: str) -> float:  # noqa: ARG002  the port
        """Return the present: a window ends with its oldest act."""
        return self._now()

    async def check(self) -> bool:
        """Return that memory answers."""
        return True

    async def reset(self) -> int:
        """Forget all counts, and return how many budgets there were."""
        count = len(self._budgets)
        self._budgets.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forget the count of one subject."""
        self._budgets.get(key.split("/", 2)[1], {}).pop(key, None)
