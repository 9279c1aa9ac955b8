"""Rulebooks for the commands of rule authors: of a folder, or the release in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from backend.city.rule_modules import discover_rule_modules
from backend.cli.errors import report_errors
from backend.cli.language import AuthorError, AuthorOption, language
from backend.i18n import Text
from backend.rulebook import load_rulebook
from backend.rulebook.modules.cases import FailedCase, FailedCases, run_cases
from backend.rulebook.needs import RuleModule, check_needs, facts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.rulebook import Rulebook
    from backend.settings import Settings
    from backend.store import Store

FOLDER = click.argument("folder", required=False, type=click.Path(path_type=Path))
OTHER_RULES = click.option(
    "--rules",
    "folder",
    cls=AuthorOption,
    type=click.Path(path_type=Path),
    help="Use the rules in this folder instead.",
    zh="改用该文件夹中的规则。",
)


def load(settings: Settings, folder: Path | None, *, strict: bool) -> Rulebook:
    """Return the rulebook of a folder (default: the city's own), which fits the services if `strict`."""
    where, needed = folder or Path(settings.rules), needed_modules()
    with report_errors():
        rulebook = load_rulebook(where, facts_of(needed), ZoneInfo(settings.time_zone), strict=strict)
        if strict:
            check_needs(rulebook, needed, str(where))
        return rulebook


def test_folder(settings: Settings, folder: Path | None) -> tuple[Rulebook, int]:
    """Run all cases below a folder; return its rulebook and the number of cases."""
    where, needed = folder or Path(settings.rules), needed_modules()
    with report_errors():
        try:
            rulebook, cases = run_cases(where, facts_of(needed), ZoneInfo(settings.time_zone))
        except FailedCases as error:
            _print_table(error.failed)
            raise
        check_needs(rulebook, needed, str(where))
        return rulebook, cases


def _print_table(failed: Sequence[FailedCase]) -> None:
    """Print failed cases as a table: name, expected, actual and the reason that the rules give."""
    if not failed:
        return
    from rich.console import Console
    from rich.table import Column, Table

    # the two values are one below the other, in full: two columns would cut both of two long ones
    headings = [heading.in_language(language()) for heading in _HEADINGS]
    table = Table(
        headings[0], Column(headings[1], overflow="fold", min_width=_VALUE_WIDTH), headings[2], show_lines=True
    )
    for each in failed:
        reason = f"{each.rule}: {each.because.in_language(language())}"
        values = Text(
            zh=f"{each.key}\n预期 {each.expected}\n实际 {each.actual}",
            en=f"{each.key}\nexpected {each.expected}\nactual   {each.actual}",
        )
        table.add_row(each.name, values.in_language(language()), reason)
    Console(markup=False, highlight=False, emoji=False).print(table)


_VALUE_WIDTH = len("expected 2026-11-02T00:00:00+08:00")
"""An instant fits in one line, at 80 columns too."""

_HEADINGS = (
    Text(zh="案例", en="case"),
    Text(zh="预期和实际", en="expected and actual"),
    Text(zh="理由", en="reason"),
)


def unknown_module(name: str, rulebook: Rulebook) -> AuthorError:
    """Return the error of a command that names a module that is not in the rulebook."""
    known = sorted(rulebook.modules)
    return AuthorError(
        Text(
            zh=f"没有模块“{name}”；可用的有：{'、'.join(known)}",
            en=f"there is no module {name!r}; use one of: {', '.join(known)}",
        )
    )


def needed_modules() -> list[RuleModule]:
    """Return the rule modules that the services evaluate."""
    return discover_rule_modules()


def store_exists(settings: Settings) -> bool:
    """Return whether the store of the settings may hold releases; an embedded one that was never made does not."""
    from backend.store.connect import store_file

    file = store_file(settings.store)
    return file is None or file.exists()


def rulebook_in_force(settings: Settings) -> Rulebook:
    """Return the release in force; without one, the rulebook of the city's own folder."""
    from backend.city.releases import digest_in_force, released_rulebook
    from backend.cli.operations import with_store

    async def read(store: Store) -> Rulebook | None:
        digest = await digest_in_force(store, datetime.now(UTC))
        if digest is None:
            return None
        return await released_rulebook(store, digest, needed_modules(), ZoneInfo(settings.time_zone))

    with report_errors():
        published = with_store(settings, read) if store_exists(settings) else None
    return published or load(settings, None, strict=False)


def count_rules(rulebook: Rulebook) -> str:
    """Return how many rules and modules a rulebook has, in words of the author's language."""
    count, modules = sum(len(module.rules) for module in rulebook.modules.values()), len(rulebook.modules)
    return f"{modules}个模块中的{count}条规则" if language() == "zh" else f"{count} rules in {modules} modules"
