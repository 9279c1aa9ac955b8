"""The standing claims of a folder of rules: read, proved, and reported as faults at the claims that do not hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backend.i18n import Text
from backend.rulebook import CLAIMS, Rulebook, module_name, read_file
from backend.rulebook.modules.case_writer import text_yaml
from backend.rulebook.prover.claim_reader import ClaimsFile, read_claims
from backend.rulebook.prover.claims import Claim, Compared
from backend.rulebook.prover.report import ClaimResult, Counterexample, case_name
from backend.rulebook.source import Fault, InvalidRulebook, Location, SourceFile

if TYPE_CHECKING:
    from backend.rulebook.prover.proof import Edition


def read_standing_claims(folder: Path, rulebook: Rulebook) -> dict[str, tuple[SourceFile, ClaimsFile]]:
    """Return the files of claims below a folder by module. Raises InvalidRulebook with every fault of every file."""
    files = map(read_file, sorted(folder.rglob(f"*{CLAIMS}.y*ml")))
    return read_claim_files({module_name(folder, file): file for file in files}, rulebook)


def read_claim_files(files: Mapping[str, SourceFile], rulebook: Rulebook) -> dict[str, tuple[SourceFile, ClaimsFile]]:
    """Return the claims in files that were read, by module. Raises InvalidRulebook with every fault of every file."""
    found: dict[str, tuple[SourceFile, ClaimsFile]] = {}
    faults: list[Fault] = []
    for name, file in files.items():
        module = rulebook.modules.get(name)
        if module is None:
            message = Text(zh=f"没有与这些主张对应的模块 {name}", en=f"there is no module {name!r} for these claims")
            file.fault(Location(1, 1), message, code="R100")
        elif not file.faults and (claims := read_claims(file, module, rulebook.time_zone)) is not None:
            found[name] = (file, claims)
        faults += file.faults
    if faults:
        raise InvalidRulebook(faults)
    return found


def all_claims(
    before: "Edition | None", after: "Edition", files: Mapping[str, tuple[SourceFile, ClaimsFile]]
) -> dict[str, list[Claim]]:
    """Return the standing claims by module, and the default one for modules that say nothing of the last edition."""
    from backend.rulebook.prover.proof import default_claims

    standing = {name: list(found.claims) for name, (_, found) in files.items()}
    best = {name: found.best_is_high for name, (_, found) in files.items()}
    for name, claims in default_claims(before, after, best).items():
        own = standing.setdefault(name, [])
        if not any(isinstance(claim.subject, Compared) for claim in own):
            own[:0] = claims
    return standing


def report_results(files: Mapping[str, tuple[SourceFile, ClaimsFile]], results: tuple[ClaimResult, ...]) -> list[Fault]:
    """Return a fault for each claim that does not hold, is unknown, or holds although its author says that it fails."""
    for result in results:
        if result.as_expected or result.module not in files:
            continue
        file, claims = files[result.module]
        location = next(claim.location for claim in claims.claims if claim.id == result.claim)
        if result.counterexample is not None:
            message = Text(zh=f"不成立：{result.name.zh}", en=f"this does not hold: {result.name.en}")
            file.fault(location, message, describe(result.counterexample), "R105")
        elif result.answer == "holds":
            message = Text(
                zh=f"已成立：{result.name.zh}。应删去“fails”", en=f"this holds: {result.name.en}; remove `fails`"
            )
            file.fault(location, message, code="R106")
        else:
            reasons = Text(
                zh="；".join(reason.zh for reason in result.left_out), en="; ".join(one.en for one in result.left_out)
            )
            message = Text(zh=f"无法判断：{result.name.zh}", en=f"this is unknown: {result.name.en}")
            file.fault(location, message, reasons, "R107")
    return [fault for file, _ in files.values() for fault in file.faults]


def case_of(result: ClaimResult, language: str) -> str:
    """Return the counterexample to a claim as a case with a name in a language. Raises ValueError if there is none."""
    found = result.counterexample
    if found is None:
        raise ValueError(result.claim)
    _, _, rest = found.case.partition("\n")
    name = case_name(result.name, found.before, found.after).in_language(language)
    return f"  - case: {text_yaml(name)}\n{rest}"


def describe(found: Counterexample) -> Text:
    """Return a counterexample in a few lines: who, when, and what is decided."""
    at = found.at.isoformat()
    zh, en = [f"反例，时间 {at}："], [f"counterexample at {at}:"]
    for title, facts in ((Text(zh="", en=""), found.facts), (Text(zh="改为：", en="changed to:"), found.changed)):
        if facts is not None:
            zh += [title.zh] if title.zh else []
            en += [title.en] if title.en else []
            zh += [f"    {line}" for line in facts.splitlines()]
            en += [f"    {line}" for line in facts.splitlines()]
    after = found.after
    if found.before is not None:
        zh.append(f"结果由 {found.before.result}（{found.before.rule}）变为 {after.result}（{after.rule}）")
        en.append(
            f"the result changes from {found.before.result} ({found.before.rule}) to {after.result} ({after.rule})"
        )
    else:
        zh.append(f"结果是 {after.result}（{after.rule}）")
        en.append(f"the result is {after.result} ({after.rule})")
    return Text(zh="\n".join(zh), en="\n".join(en))
