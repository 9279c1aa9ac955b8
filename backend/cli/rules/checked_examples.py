"""Runs the examples of the catalogue of checks: what authors would read of each."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import CASES, CLAIMS, InvalidRulebook, Rulebook, load_rulebook, read_rules
from backend.rulebook.checks.example import EXAMPLE, VALUE_SETS, Applicant, Resident
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.needs import RuleModule, check_needs
from backend.rulebook.source import Fault, SourceFile

if TYPE_CHECKING:
    from backend.rulebook.checks import Check

_CITY = ZoneInfo("Asia/Shanghai")
_FACTS = (Resident, Applicant)
_NEEDED = (RuleModule("subsidy.old_age", Resident, ("none", "basic", "high")),)
_SECONDS = 60.0
_RULE = "course.json"


def faults_of(check: Check, *, bad: bool) -> list[Fault]:
    """Return the faults of a check's bad or good example, in files of the folder subsidy.

    Examples of what is proved need the solver.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "rules")
        (folder / "subsidy").mkdir(parents=True)
        try:
            found = _judge(check, folder, bad=bad)
        except InvalidRulebook as error:
            found = list(error.faults)
        return [_shown(fault, f"{folder / 'subsidy'}/") for fault in found]


def file_name(check: Check) -> str:
    """Return the name of the file that a check's examples are about."""
    names = {"module": check.named, "cases": f"old_age{CASES}.yaml", "claims": f"old_age{CLAIMS}.yaml"}
    return names.get(check.file, _RULE)


def _shown(fault: Fault, folder: str) -> Fault:
    """Return a fault that names its files without the temporary folder."""
    advice = Text(zh=fault.help.zh.replace(folder, ""), en=fault.help.en.replace(folder, ""))
    return replace(fault, path=fault.path.replace(folder, ""), help=advice)


def _judge(check: Check, folder: Path, *, bad: bool) -> list[Fault]:
    text = check.bad if bad else check.good
    if check.file == "certlogic":
        return _import_faults(text)
    if check.file == "module" and bad:
        (folder / "subsidy" / check.named).write_text(text, encoding=check.saved_as)
    else:
        (folder / "subsidy" / "old_age.yaml").write_text(text if check.file == "module" else EXAMPLE, encoding="utf-8")
    if check.file == "cases":
        (folder / "subsidy" / file_name(check)).write_text(text, encoding="utf-8")
        run_cases(folder, _FACTS, _CITY)
        return []
    rulebook = load_rulebook(folder, _FACTS, _CITY, strict=True)
    if check.needed:
        check_needs(rulebook, _NEEDED, str(folder))
    if check.file == "claims":
        (folder / "subsidy" / file_name(check)).write_text(text, encoding="utf-8")
        return _claim_faults(rulebook, folder, proved=check.proved)
    return _reach_faults(rulebook, folder) if check.proved else []


def _import_faults(text: str) -> list[Fault]:
    from backend.rulebook.exchange.certlogic_reader import read_certlogic

    json.loads(text)
    file = SourceFile(_RULE, text, [])
    read_certlogic(file, VALUE_SETS)
    return file.faults


def _claim_faults(rulebook: Rulebook, folder: Path, *, proved: bool) -> list[Fault]:
    from backend.rulebook.prover.standing import read_standing_claims, report_results

    files = read_standing_claims(folder, rulebook)
    if not proved:
        return []
    from backend.rulebook.prover.proof import prove_editions

    claims = {name: found.claims for name, (_, found) in files.items()}
    return report_results(files, prove_editions(None, rulebook, claims, _SECONDS).results)


def _reach_faults(rulebook: Rulebook, folder: Path) -> list[Fault]:
    from backend.rulebook.prover.reachability import check_reach

    files = read_rules(folder)
    for name, file in files.items():
        check_reach(rulebook, name, file, _SECONDS)
    return [fault for file in files.values() for fault in file.faults]
