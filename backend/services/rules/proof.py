"""The proof of a review, made in a process of its own.

The solver must never run in two threads of one process, not even to free what an earlier proof left to the garbage
collector, and a server makes several reviews at once. Its memory and its faults stay out of the server as well.
"""

import asyncio
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import discover_services, rule_modules_of
from backend.i18n import Text
from backend.rulebook import InvalidRulebook, SourceFile, make_rulebook
from backend.rulebook.needs import facts_of
from backend.rulebook.prover.claim_reader import ClaimsFile
from backend.rulebook.prover.claims import Claim
from backend.rulebook.prover.report import ProofReport
from backend.rulebook.prover.standing import all_claims, read_claim_files, read_standing_claims
from backend.rulebook.source import files_of

STARTING_SECONDS = 60.0
"""The longest time for a process to start, and to check the modules, on a loaded machine."""

ROOT = Path(__file__).parents[3]


class Question(Struct, frozen=True):
    """What to prove: the change from the modules `old` to `new`, with the claims that the author submitted, by path.

    `folder` is the city's own folder of rules, with its standing claims. What `seconds` leave no time for is unknown.
    """

    folder: str
    time_zone: str
    claims: Mapping[str, str]
    old: Mapping[str, str]
    new: Mapping[str, str]
    digest: str
    seconds: float


class Answer(Struct, frozen=True, omit_defaults=True):
    """What was proved, or why it cannot be."""

    report: ProofReport | None = None
    unavailable: Text | None = None


async def prove(question: Question) -> Answer:
    """Prove a change of the rules in another process. Raises RuntimeError if that fails, TimeoutError if it is late."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        async with asyncio.timeout(STARTING_SECONDS + 2 * question.seconds):
            answer, _ = await process.communicate(msgspec.json.encode(question))
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has ended just now
                process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the process of a proof ended with {process.returncode}")
    return msgspec.json.decode(answer, type=Answer)


def answer_to(question: Question) -> Answer:
    """Prove of each changed module that nobody is worse off, the claims of the city's own folder, and the author's.

    The author of a release cannot change the first two. Of the other modules the claims were proved before.
    """
    from backend.rulebook.prover.proof import Edition, prove_editions

    structs, zone = facts_of(rule_modules_of(discover_services())), ZoneInfo(question.time_zone)
    old = make_rulebook(files_of(question.old), structs, zone)
    new = make_rulebook(files_of(question.new), structs, zone, old)
    files = {name: SourceFile(f"{question.digest[:16]}/{name}", text, []) for name, text in question.claims.items()}
    try:
        standing = read_standing_claims(Path(question.folder), new)
    except InvalidRulebook as error:
        return _do_not_fit(Text(zh="本市的主张", en="The city's claims"), error)
    try:
        authors = read_claim_files(files, new)
    except InvalidRulebook as error:
        return _do_not_fit(Text(zh="编制人的主张", en="The author's claims"), error)
    changed = {name for name, text in new.texts.items() if old.texts.get(name) != text}
    before, after = Edition(old), Edition(new)
    claims = {name: about for name, about in all_claims(before, after, standing).items() if name in changed}
    report = prove_editions(before, after, claims, question.seconds)
    further = {
        name: _further_claims(found, standing[name][1] if name in standing else None, claims.get(name, []))
        for name, (_, found) in authors.items()
        if name in changed
    }
    rest = prove_editions(before, after, further, question.seconds - report.seconds)  # no author takes the city's time
    results = (*report.results, *(replace(one, by_author=True) for one in rest.results))
    return Answer(replace(report, results=results, seconds=round(report.seconds + rest.seconds, 3)))


def _further_claims(found: ClaimsFile, standing: ClaimsFile | None, taken: Sequence[Claim]) -> list[Claim]:
    """Return an author's claims with other ids than those `taken`, on the scale of the city if it has claims itself.

    The lengths of lists that the author asks for are left out, since lists too short or too long end a whole proof.
    """
    ids = {claim.id for claim in taken}
    high = (found if standing is None else standing).best_is_high
    return [dataclasses.replace(claim, best_is_high=high, lists=None) for claim in found.claims if claim.id not in ids]


def _do_not_fit(whose: Text, error: InvalidRulebook) -> Answer:
    message = error.faults[0].message
    return Answer(
        unavailable=Text(
            zh=f"{whose.zh}不适用于该版规则：{message.zh}",
            en=f"{whose.en} do not fit this release: {message.en}",
        )
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(answer_to(msgspec.json.decode(sys.stdin.buffer.read(), type=Question))))
