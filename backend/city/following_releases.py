"""How running processes follow the release in force: without a restart, and whole.

A process reads the pointer every two seconds and replaces its City, which contains the rulebook: a running request
keeps the City that it started with. A scheduled release is compiled ahead, so that all change at its instant.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.releases import IN_FORCE, Activation, RulebookPointer, released_rulebook
from backend.city.service import City
from backend.jobs.beside import beside
from backend.rulebook import InvalidRulebook, Rulebook
from backend.store import StoreUnavailable

POLL_SECONDS = 2.0
AHEAD = timedelta(minutes=2)
"""How long before its instant a scheduled release is compiled."""

_log = logging.getLogger("chengma.rules")


async def load_active_rulebook(city: City) -> City:
    """Return the City with the rulebook that is in force now. Raises InvalidRulebook or StoreUnavailable."""
    return await _with_rulebook_in_force(city, await city.store.get(RulebookPointer, IN_FORCE), None)


async def _with_rulebook_in_force(city: City, pointer: RulebookPointer | None, ahead: Rulebook | None) -> City:
    activation = None if pointer is None else pointer.in_force(city.now())
    if pointer is None or activation is None or activation.digest == city.rulebook.digest:
        return city
    if pointer.scheduled is not None and pointer.scheduled.digest == city.rulebook.digest:
        return city  # its instant has come, and the clock was set back since
    rulebook = (
        ahead if ahead is not None and ahead.digest == activation.digest else await _load(city, activation.digest)
    )
    _log.info("rulebook %s is in force", activation.digest[:16])
    return replace(city, rulebook=rulebook)


async def _load(city: City, digest: str) -> Rulebook:
    zone = ZoneInfo(city.settings.time_zone)
    return await released_rulebook(city.store, digest, city.rule_modules, zone, city.rulebook)


@asynccontextmanager
async def follow_releases(
    current: Callable[[], City], replace_city: Callable[[City], None]
) -> AsyncGenerator[None, None]:
    """Use the rulebook in force, and each one that is put in force later, until the end of the block.

    Raises InvalidRulebook at the start; later, a rulebook that does not fit is logged and not used.
    """
    follower = _Follower(current, replace_city)
    with suppress(StoreUnavailable):  # the next poll tries again
        await follower.follow()
    async with beside(follower.poll()):
        yield


class _Follower:
    """Replaces the City of one process. `ahead` is the rulebook of the release that is scheduled next."""

    def __init__(self, current: Callable[[], City], replace_city: Callable[[City], None]) -> None:
        self.current = current
        self.replace_city = replace_city
        self.ahead: Rulebook | None = None
        self.scheduled: Activation | None = None
        self.refused = ""

    async def poll(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                await self.follow()
                await self._compile_ahead()
            except StoreUnavailable:
                continue  # the rulebook stays in force; the missing store is reported elsewhere
            except InvalidRulebook as error:
                if str(error) != self.refused:
                    self.refused = str(error)
                    _log.error("the published rulebook does not fit this edition and is not used: %s", error)

    async def follow(self) -> None:
        """Use the rulebook that is in force now. Raises InvalidRulebook or StoreUnavailable."""
        city = self.current()
        pointer = await city.store.get(RulebookPointer, IN_FORCE)
        self.scheduled = None if pointer is None else pointer.pending(city.now())
        updated = await _with_rulebook_in_force(city, pointer, self.ahead)
        if updated is not city:
            self.replace_city(updated)
            self.ahead = None

    async def _compile_ahead(self) -> None:
        city, scheduled = self.current(), self.scheduled
        if scheduled is None or scheduled.since - city.now() > AHEAD:
            return
        if self.ahead is None or self.ahead.digest != scheduled.digest:
            self.ahead = await _load(city, scheduled.digest)

    def _pause(self) -> float:
        """Return the seconds until the next poll, or until the instant of a scheduled release that is compiled."""
        if self.scheduled is None or self.ahead is None or self.ahead.digest != self.scheduled.digest:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, (self.scheduled.since - self.current().now()).total_seconds()))
