"""The parts of a review, each made by a function of the two rulebooks, and of what the city knows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from msgspec import Struct

from backend.city.replay import replay
from backend.city.service import City
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.diff import diff_rulebooks
from backend.services.rules.model import PartName

REPLAYED = timedelta(days=90)
MAX_REPLAYED = 200_000
"""The most decisions that a review replays, which takes a minute; `chengma rules replay` has no limit."""

Make = Callable[[City, Rulebook, Rulebook], Awaitable[Struct]]
"""Makes a part from the old rulebook and the new one. Raises PartUnavailable."""


class PartUnavailable(Exception):
    """A part of a review cannot be made here; `text` says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


async def _diff(_city: City, old: Rulebook, new: Rulebook) -> Struct:
    return await asyncio.to_thread(diff_rulebooks, old, new)


async def _replay(city: City, _old: Rulebook, new: Rulebook) -> Struct:
    return await replay(city, new, city.now() - REPLAYED, max_decisions=MAX_REPLAYED)


async def _unavailable(_city: City, _old: Rulebook, _new: Rulebook) -> Struct:
    raise PartUnavailable(Text(zh="本系统未安装此项功能。", en="This city has not installed what makes it."))


MAKERS: Mapping[PartName, Make] = {
    "diff": _diff,
    "proof": _unavailable,
    "preview": _unavailable,
    "replay": _replay,
}
