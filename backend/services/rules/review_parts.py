"""The parts of a review, each made by a function of the two rulebooks, and of what the city knows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from backend.city.replay import replay
from backend.city.service import City, discover_services
from backend.i18n import Text
from backend.rulebook import InvalidRulebook, Rulebook
from backend.rulebook.diff import diff_rulebooks
from backend.rulebook.prover import NOT_INSTALLED as SOLVER_NOT_INSTALLED
from backend.rulebook.prover import is_installed
from backend.services.rules.model import PartName

if TYPE_CHECKING:
    from backend.rulebook.preview.report import ModulePreview

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
    return await asyncio.to_thread(_prove, Path(city.settings.rules), old, new)


def _prove(folder: Path, old: Rulebook, new: Rulebook) -> Struct:
    """Prove of each changed module that nobody is worse off, and the claims of the city's own folder.

    A draft's author cannot change these. Of the other modules they were proved before.
    """
    from backend.rulebook.prover.proof import Edition, prove_editions
    from backend.rulebook.prover.standing import all_claims, read_standing_claims

    before, after = Edition(old), Edition(new)
    try:
        standing = read_standing_claims(folder, new)
    except InvalidRulebook as error:
        message = error.faults[0].message
        raise PartUnavailable(
            Text(
                zh=f"本市的主张不适用于该版规则：{message.zh}",
                en=f"The city's claims do not fit this release: {message.en}",
            )
        ) from error
    changed = {name for name, text in new.texts.items() if old.texts.get(name) != text}
    claims = {name: about for name, about in all_claims(before, after, standing).items() if name in changed}
    return prove_editions(before, after, claims, PROOF_SECONDS)


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


MAKERS: Mapping[PartName, Make] = {
    "diff": _diff,
    "proof": _proof,
    "preview": _preview,
    "replay": _replay,
}
