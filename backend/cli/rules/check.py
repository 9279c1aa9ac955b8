"""`chengma rules check` and `chengma rules test`."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.errors import load_settings
from backend.cli.garbage_collection import no_collection
from backend.cli.rules.loading import FOLDER, count_rules, load, test_folder
from backend.cli.rules.standing import check_claims, prove_rules, prove_standing_claims
from backend.cli.rules.watch import WATCH, watch_rules
from backend.rulebook.prover import is_installed


@click.command()
@FOLDER
@WATCH
@click.option("--prove", is_flag=True, help="Prove that every rule can fire and decide (needs `make authors`).")
def check(folder: Path | None, *, prove: bool, watch: bool) -> None:
    """Check every rule module in FOLDER (default: the city's own folder of rules).

    Prints each fault with its file, line and column, and exits with 1 if there is one. A module that a service needs,
    and that is missing or has other facts or results, is a fault.
    """
    settings = load_settings()
    if watch:
        watch_rules(settings, folder, cases=False)
    with no_collection():
        rulebook = load(settings, folder, strict=True)
        rulebook.compile()
        check_claims(settings, folder, rulebook)
    if prove:
        prove_rules(settings, folder, rulebook)
    click.echo(f"{count_rules(rulebook)} are valid. Digest {rulebook.digest[:16]}")


@click.command()
@FOLDER
@WATCH
def test(folder: Path | None, *, watch: bool) -> None:
    """Run the cases next to the rule modules in FOLDER (default: the city's own folder of rules).

    A failed case is printed with the expected result, the actual result and the reason. Every rule must fire in one
    case and not fire in another case of the same period. The standing claims are proved if the solver is installed
    (`make authors`). Exits with 1 if anything is wrong.
    """
    settings = load_settings()
    if watch:
        watch_rules(settings, folder, cases=True)
    rulebook, cases = test_folder(settings, folder)
    click.echo(f"{cases} cases pass and cover {count_rules(rulebook)}. Digest {rulebook.digest[:16]}")
    prove_standing_claims(settings, folder, rulebook)
    if is_installed():
        prove_rules(settings, folder, rulebook)
