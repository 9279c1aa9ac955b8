"""`--watch`: judge the rules again whenever a file changes, until interrupted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from zoneinfo import ZoneInfo

import click

from backend.cli.garbage_collection import no_collection
from backend.cli.language import AuthorOption, language
from backend.cli.rules.loading import needed_modules
from backend.i18n import Text
from backend.rulebook.editor.workspace import Judgement, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.settings import Settings

POLL_SECONDS = 0.1

WATCH = click.option(
    "--watch",
    cls=AuthorOption,
    is_flag=True,
    help="Judge what changed again whenever a file changes, until interrupted.",
    zh="文件每次改动后重新检查，直到中断。",
)

_VALID = Text(zh="{modules}个模块中的{rules}条规则有效", en="{rules} rules in {modules} modules are valid")
_PASS = Text(zh="，{cases}个案例全部通过", en=", {cases} cases pass")
_FAULTS = Text(zh="{count}处错误", en="{count} faults")
_ONE_FAULT = Text(zh="1处错误", en="1 fault")


def watch_rules(
    settings: Settings, folder: Path | None, *, cases: bool, then: Callable[[Workspace], None] | None = None
) -> NoReturn:
    """Judge a folder of rules, and again after each change of a file; with `cases`, run its cases.

    `then` is called after each judgement that finds no fault.
    """
    workspace = Workspace(folder or Path(settings.rules), needed_modules(), ZoneInfo(settings.time_zone))
    stamps = None
    while True:
        found = workspace.stamps()
        if found != stamps:
            stamps = found
            began = time.perf_counter()
            with no_collection():
                judgement = workspace.judge(cases=cases)
            if then is not None and not judgement.faults:
                then(workspace)
            _show(judgement, time.perf_counter() - began, cases=cases)
        time.sleep(POLL_SECONDS)


def _show(judgement: Judgement, seconds: float, *, cases: bool) -> None:
    for path in sorted(judgement.faults):
        for fault in judgement.faults[path]:
            click.echo(fault.in_language(language()))
    count = sum(map(len, judgement.faults.values()))
    if count:
        summary = _ONE_FAULT if count == 1 else _FAULTS
    else:
        summary = Text(zh=_VALID.zh + (_PASS.zh if cases else ""), en=_VALID.en + (_PASS.en if cases else ""))
    text = summary.in_language(language()).format(
        count=count, modules=judgement.modules, rules=judgement.rules, cases=judgement.cases
    )
    click.echo(f"{time.strftime('%H:%M:%S')}  {text}  ({seconds * 1000:.0f} ms)")
