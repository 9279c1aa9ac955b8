"""`chengma rules checks`: what the codes of the faults mean."""

from __future__ import annotations

import click

from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.i18n import Text
from backend.rulebook.checks import all_checks
from backend.rulebook.prover import NOT_INSTALLED, is_installed
from backend.rulebook.source import suggest

_SILENCED = Text(zh="可静默", en="can be silenced")


@click.command(
    cls=AuthorCommand,
    zh="""列出全部检查的编号，或说明编号为 CODE（如 R056）的检查。

说明包括查什么、为什么、一个错误的例子及所显示的内容、一个正确的例子。docs/rules/checks.zh.md 是同样的内容。""",
)
@click.argument("code", required=False)
@click.option(
    "--page",
    "whole_page",
    cls=AuthorOption,
    is_flag=True,
    help="Print the page docs/rules/checks.md (needs `make authors`).",
    zh="输出页面 docs/rules/checks.zh.md（需要 make authors）。",
)
def checks(code: str | None, *, whole_page: bool) -> None:
    """List the codes of all checks, or explain the check CODE, such as R056.

    It says what the check finds and why, and shows a bad example with what is printed of it, and a good one.
    docs/rules/checks.md has the same.
    """
    known, spoken = all_checks(), language()
    chosen = known.get(code.upper()) if code is not None else None
    if code is not None and chosen is None:
        advice = suggest(code.upper(), known)
        raise AuthorError(
            Text(zh=f"没有编号为“{code}”的检查；{advice.zh}", en=f"there is no check {code!r}; {advice.en}")
        )
    if (whole_page or (chosen is not None and chosen.proved)) and not is_installed():
        raise AuthorError(NOT_INSTALLED)
    if whole_page:
        from backend.cli.rules.checks_page import page

        click.echo(page(spoken), nl=False)
    elif chosen is not None:
        from backend.cli.rules.checks_page import entry

        click.echo(f"{chosen.code}\n\n{entry(chosen, spoken)}")
    else:
        for check in known.values():
            silenced = f"  ({_SILENCED.in_language(spoken)})" if check.silenced else ""
            click.echo(f"{check.code}  {check.title.in_language(spoken)}{silenced}")
