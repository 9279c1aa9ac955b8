"""The parts of a review, each made by a function of the two rulebooks, and of what the city knows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from backend.city.releases import RulebookRelease
from backend.city.replay import replay
from backend.city.service import City, discover_services
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.diff import diff_rulebooks
from backend.rulebook.prover import NOT_INSTALLED as SOLVER_NOT_INSTALLED
from backend.rulebook.prover import is_installed
from backend.services.rules.model import PartName

if TYPE_CHECKING:
    from backend.rulebook.preview.report import ModulePreview, PreviewReport

PROOF_SECONDS = 120.0
"""The time for all claims of a review; what it leaves no time for is unknown."""

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


async def _proof(city: City, old: Rulebook, new: Rulebook) -> Struct:
    if not is_installed():
        raise PartUnavailable(SOLVER_NOT_INSTALLED)
    from backend.services.rules.proof import Question, prove  # not needed to start a process

    release = await city.store.get(RulebookRelease, new.digest)
    question = Question(
        folder=city.settings.rules,
        time_zone=city.settings.time_zone,
        claims={} if release is None else release.claims,
        old=old.texts,
        new=new.texts,
        digest=new.digest,
        seconds=PROOF_SECONDS,
    )
    answer = await prove(question)
    if answer.unavailable is not None:
        raise PartUnavailable(answer.unavailable)
    assert answer.report is not None, "it answers, or says why it cannot"
    return answer.report


async def _preview(city: City, old: Rulebook, new: Rulebook) -> Struct:
    try:
        from backend.city.preview import preview_editions, stored_facts_of
    except ImportError as error:
        raise PartUnavailable(NOT_INSTALLED) from error
    stored = stored_facts_of(discover_services())
    report = await preview_editions(city.store, stored, old, new, city.now())
    if (first := _first_change(report)) is not None:
        report = await preview_editions(city.store, stored, old, new, first)
    return replace(report, modules=[_with_opaque_ids(city, module) for module in report.modules])


def _first_change(report: "PreviewReport") -> datetime | None:
    """Return when the first law begins that changes somebody's result, if nobody's changes at once; else None."""
    if any(module.changed for module in report.modules):
        return None
    later = [law.begins_at for module in report.modules for law in module.later if law.people]
    return min(later, default=None)


def _with_opaque_ids(city: City, module: "ModulePreview") -> "ModulePreview":
    """Return a preview whose samples cannot be traced to people: a review outlives the records of those who left."""
    samples = [replace(one, id=city.encryption.digest("previewed-person", one.id)[:16]) for one in module.samples]
    return replace(module, samples=samples)


async def _replay(city: City, _old: Rulebook, new: Rulebook) -> Struct:
    return await replay(city, new, city.now() - REPLAYED, max_decisions=MAX_REPLAYED)


MAKERS: Mapping[PartName, Make] = {
    "diff": _diff,
    "proof": _proof,
    "preview": _preview,
    "replay": _replay,
}
