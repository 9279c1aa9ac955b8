"""The parts of a review, each made by a function of the two rulebooks, and of what the city knows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from backend.city.replay import replay
from backend.city.service import City, discover_services
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.diff import diff_rulebooks
from backend.services.rules.model import PartName

if TYPE_CHECKING:
    from backend.rulebook.preview.report import ModulePreview

REPLAYED = timedelta(days=90)
MAX_REPLAYED = 200_000
"""The most decisions that a review replays, which takes a minute; `chengma rules replay` has no limit."""

NOT_INSTALLED = Text(
    zh="本系统未安装此项功能（make authors）。", en="This city has not installed what makes it (make authors)."
)

Make = Callable[[City, Rulebook, Rulebook], Awaitable[Struct]]
"""Makes a part from the old rulebook and the new one. Raises PartUnavailable."""


class PartUnavailable(Exception):
    """A part of a review cannot be made here; `text` says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


async def _diff(_city: City, old: Rulebook, new: Rulebook) -> Struct:
    return await asyncio.to_thread(diff_rulebooks, old, new)


async def _preview(city: City, old: Rulebook, new: Rulebook) -> Struct:
    try:
        from backend.city.preview import preview_editions, stored_facts_of
    except ImportError as error:
        raise PartUnavailable(NOT_INSTALLED) from error
    report = await preview_editions(city.store, stored_facts_of(discover_services()), old, new, city.now())
    return replace(report, modules=[_with_opaque_ids(city, module) for module in report.modules])


def _with_opaque_ids(city: City, module: "ModulePreview") -> "ModulePreview":
    """Return a preview whose samples cannot be traced to people: a review outlives the records of those who left."""
    samples = [replace(one, id=city.encryption.digest("previewed-person", one.id)[:16]) for one in module.samples]
    return replace(module, samples=samples)


async def _replay(city: City, _old: Rulebook, new: Rulebook) -> Struct:
    return await replay(city, new, city.now() - REPLAYED, max_decisions=MAX_REPLAYED)


async def _unavailable(_city: City, _old: Rulebook, _new: Rulebook) -> Struct:
    raise PartUnavailable(NOT_INSTALLED)


MAKERS: Mapping[PartName, Make] = {
    "diff": _diff,
    "proof": _unavailable,
    "preview": _preview,
    "replay": _replay,
}
