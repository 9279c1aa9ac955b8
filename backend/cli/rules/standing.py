"""What `chengma rules check` and `test` prove: standing claims, and that every rule can fire and decide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.errors import report_errors
from backend.cli.language import AuthorError, say
from backend.i18n import Text
from backend.rulebook import read_rules
from backend.rulebook.prover import NOT_INSTALLED, is_installed
from backend.rulebook.prover.standing import read_standing_claims, report_results
from backend.rulebook.source import InvalidRulebook

if TYPE_CHECKING:
    from backend.rulebook import Rulebook
    from backend.settings import Settings

CLAIM_SECONDS = 300.0
"""The time for all standing claims; they take a twentieth of it on an idle machine."""

REACH_SECONDS = 60.0
"""The time for the rules of one module."""


def check_claims(settings: Settings, folder: Path | None, rulebook: Rulebook) -> int:
    """Read the standing claims below a folder and return their number; faults end the command."""
    with report_errors():
        files = read_standing_claims(folder or Path(settings.rules), rulebook)
    return sum(len(found.claims) for _, found in files.values())


def prove_standing_claims(settings: Settings, folder: Path | None, rulebook: Rulebook) -> None:
    """Prove the standing claims and say how many hold; one that does not, or is unknown, ends the command.

    Without the solver it says that they were left out, which is an error if the environment says `CI=true`.
    """
    where = folder or Path(settings.rules)
    with report_errors():
        files = read_standing_claims(where, rulebook)
    if not files:
        return
    if not is_installed():
        if os.environ.get("CI") == "true":
            raise AuthorError(NOT_INSTALLED)
        say(Text(zh="未证明主张：{why}", en="The claims were not proved: {why}"), why=NOT_INSTALLED)
        return
    from backend.rulebook.prover.proof import prove_editions

    claims = {name: found.claims for name, (_, found) in files.items()}
    report = prove_editions(None, rulebook, claims, CLAIM_SECONDS)
    with report_errors():
        faults = report_results(files, report.results)
        if faults:
            raise InvalidRulebook(faults)
    say(
        Text(zh="{count}条主张成立，均已证明（{seconds}秒）。", en="{count} claims hold; proved in {seconds} s."),
        count=len(report.results),
        seconds=round(report.seconds),
    )


def prove_rules(settings: Settings, folder: Path | None, rulebook: Rulebook) -> None:
    """Prove that every rule can fire and decide; one that cannot ends the command."""
    if not is_installed():
        raise AuthorError(NOT_INSTALLED)
    from backend.rulebook.prover.reachability import check_reach

    files = read_rules(folder or Path(settings.rules))
    unknown = [
        f"{name}: {rule}"
        for name in rulebook.modules
        for rule in check_reach(rulebook, name, files[name], REACH_SECONDS)
    ]
    with report_errors():
        faults = [fault for file in files.values() for fault in file.faults]
        if faults:
            raise InvalidRulebook(faults)
    if unknown:
        say(
            Text(zh="未能证明的规则：{rules}", en="Nothing was proved of these rules: {rules}"),
            rules=", ".join(unknown),
        )
    else:
        say(Text(zh="已证明：每条规则都能适用并决定结果。", en="Proved: every rule can fire and decide."))
