"""The parts of a review, each made by a function of the two rulebooks, and of what the city knows."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from backend.city.releases import RulebookRelease
from backend.city.replay import replay
from backend.city.service import City, discover_services
from backend.i18n import Text
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile
from backend.rulebook.diff import diff_rulebooks
from backend.rulebook.prover import NOT_INSTALLED as SOLVER_NOT_INSTALLED
from backend.rulebook.prover import is_installed
from backend.services.rules.model import PartName

if TYPE_CHECKING:
    from backend.rulebook.preview.report import ModulePreview, PreviewReport
    from backend.rulebook.prover.claim_reader import ClaimsFile
    from backend.rulebook.prover.claims import Claim

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
    release = await city.store.get(RulebookRelease, new.digest)
    submitted = {} if release is None else release.claims
    return await asyncio.to_thread(_prove, Path(city.settings.rules), submitted, old, new)


def _prove(folder: Path, submitted: Mapping[str, str], old: Rulebook, new: Rulebook) -> Struct:
    """Prove of each changed module that nobody is worse off, the claims of the city's own folder, and the author's.

    The author of a release cannot change the first two. Of the other modules the claims were proved before.
    """
    from backend.rulebook.prover.proof import Edition, prove_editions
    from backend.rulebook.prover.standing import all_claims, read_claim_files, read_standing_claims

    files = {name: SourceFile(f"{new.digest[:16]}/{name}", text, []) for name, text in submitted.items()}
    standing = _fitting(lambda: read_standing_claims(folder, new), Text(zh="本市的主张", en="The city's claims"))
    authors = _fitting(lambda: read_claim_files(files, new), Text(zh="编制人的主张", en="The author's claims"))
    changed = {name for name, text in new.texts.items() if old.texts.get(name) != text}
    before, after = Edition(old), Edition(new)
    claims = {name: about for name, about in all_claims(before, after, standing).items() if name in changed}
    report = prove_editions(before, after, claims, PROOF_SECONDS)
    further = {
        name: _further_claims(found, standing[name][1] if name in standing else None, claims.get(name, []))
        for name, (_, found) in authors.items()
        if name in changed
    }
    rest = prove_editions(before, after, further, PROOF_SECONDS - report.seconds)  # no author takes the city's time
    results = (*report.results, *(replace(one, by_author=True) for one in rest.results))
    return replace(report, results=results, seconds=round(report.seconds + rest.seconds, 3))


def _further_claims(found: "ClaimsFile", standing: "ClaimsFile | None", taken: Sequence["Claim"]) -> "list[Claim]":
    """Return an author's claims with other ids than those `taken`, on the scale of the city if it has claims itself.

    The lengths of lists that the author asks for are left out, since lists too short or too long end a whole proof.
    """
    ids = {claim.id for claim in taken}
    high = (found if standing is None else standing).best_is_high
    return [dataclasses.replace(claim, best_is_high=high, lists=None) for claim in found.claims if claim.id not in ids]


def _fitting(
    read: "Callable[[], dict[str, tuple[SourceFile, ClaimsFile]]]", whose: Text
) -> "dict[str, tuple[SourceFile, ClaimsFile]]":
    """Return claims that were read for a release. Raises PartUnavailable if they do not fit its modules."""
    try:
        return read()
    except InvalidRulebook as error:
        message = error.faults[0].message
        raise PartUnavailable(
            Text(
                zh=f"{whose.zh}不适用于该版规则：{message.zh}",
                en=f"{whose.en} do not fit this release: {message.en}",
            )
        ) from error


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
