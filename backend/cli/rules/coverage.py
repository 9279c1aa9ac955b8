"""`chengma rules coverage`: what the cases of the rule modules try, and what they leave out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.cells import cell_len

from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.loading import OTHER_RULES, needed_modules, unknown_module
from backend.cli.rules.printed_law import law_document, printed_law
from backend.cli.rules.watch import WATCH, watch_rules
from backend.i18n import Text
from backend.rulebook import read_file
from backend.rulebook.modules.cases import load_cases
from backend.rulebook.modules.conditions import Conditions
from backend.rulebook.modules.goals import KINDS, Coverage, Goal, Kind, measure
from backend.rulebook.needs import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backend.rulebook.editor.workspace import Workspace
    from backend.rulebook.modules.case_reader import Case
    from backend.rulebook.modules.module import Module
    from backend.rulebook.source import Location

_HEADS: dict[Kind, Text] = {
    "rule": Text(zh="规则", en="rules"),
    "operand": Text(zh="条件", en="operands"),
    "threshold": Text(zh="界限", en="thresholds"),
    "change": Text(zh="变更", en="changes"),
    "result": Text(zh="结果", en="results"),
}
_COLUMN = 14
_MODULE = Text(zh="模块", en="module")
_CASES = Text(zh="案例", en="cases")
_MISSING: dict[Kind, Text] = {
    "rule": Text(zh="没有案例使规则“{rule}”{side}", en="{rule!r} {side} in no case"),
    "operand": Text(zh="规则“{rule}”：没有案例使 {text} {side}", en="in {rule!r}: `{text}` {side} in no case"),
    "threshold": Text(zh="规则“{rule}”：没有案例使 {text} {side}", en="in {rule!r}: `{text}` {side} in no case"),
    "change": Text(zh="没有案例的时间是{text}（{side}）", en="no case is dated {text}, {side}"),
    "result": Text(
        zh="没有案例预期由规则“{rule}”得出的结果 {text}{side}",
        en="no case expects the result of {rule!r}: {text}{side}",
    ),
}


@click.command(
    cls=AuthorCommand,
    zh="""显示 MODULE（默认：全部模块）的案例试过什么，以及没有案例试过的每一处。

每条规则应在一个案例中触发、在另一个案例中不触发；&& 和 || 的每个条件应一次为真、一次为假；
每个界限应在两边相等时和恰好越过时各试一次；法律的每次变更，前后各应有一个案例；
每条规则的结果（金额由参数给出的，为参数的每个值）应是某个案例的预期结果。
使用 --min 时，任一模块的任一比例低于该值即以1退出。使用 --watch 时，每次改动后显示改动的模块。

使用 --law 时，改为逐条显示所依据的文件：哪些条文已写入、写入哪些规则，哪些没有写入及其理由。""",
)
@click.argument("module", required=False)
@WATCH
@click.option(
    "--min",
    "least",
    cls=AuthorOption,
    type=click.FloatRange(0, 100),
    help="Exit with 1 if a percentage is below this.",
    zh="任一比例低于该值时以1退出。",
)
@click.option(
    "--law",
    cls=AuthorOption,
    is_flag=True,
    help="Show the articles of the orders and the rules that encode them.",
    zh="逐条显示文件的条文及写入它的规则。",
)
@click.option("--json", "as_json", cls=AuthorOption, is_flag=True, help="Print JSON.", zh="输出JSON。")
@OTHER_RULES
def coverage(
    module: str | None, least: float | None, *, law: bool, as_json: bool, watch: bool, folder: Path | None
) -> None:
    """Show what the cases of MODULE (default: all modules) try, and each thing that none of them tries.

    A rule fires in one case and stays silent in another; each operand of && and || is true in one and false in
    another; each threshold is tried at its bound and just beyond it; each change of the law has a case on both sides;
    the result of each rule, for each value of the parameter that gives it, is what a case expects.
    With --min, exits with 1 if a module's percentage of one of these is lower. With --watch, shows what changed after
    each change of a file.

    With --law, shows the articles of the orders instead: which are encoded, by which rules, and which are not and why.
    """
    if law and least is not None:
        raise AuthorError(Text(zh="--min 不能与 --law 同用", en="--min does not go with --law"))
    settings = load_settings()
    if watch:
        if as_json or law or least is not None:
            raise AuthorError(
                Text(zh="--watch 不与 --json、--law、--min 同用", en="--watch goes without --json, --law and --min")
            )
        watch_rules(settings, folder, cases=True, then=_Watched(folder or Path(settings.rules), module).show)
    where = folder or Path(settings.rules)
    with report_errors():
        tested = load_cases(where, facts_of(needed_modules()), ZoneInfo(settings.time_zone))
    known = tested.rulebook.modules
    if module is not None and module not in known:
        raise unknown_module(module, tested.rulebook)
    chosen = [known[module]] if module is not None else list(known.values())
    if law:
        click.echo(law_document(chosen) if as_json else printed_law(chosen))
        return
    measured = {each.name: measure(tested.rulebook, each, tested.cases.get(each.name, ())) for each in chosen}
    located = {each.name: list(_located(where, each, measured[each.name])) for each in chosen}
    if as_json:
        click.echo(msgspec.json.encode(_document(measured, located)).decode())
    else:
        counts = {name: len(tested.cases.get(name, ())) for name in measured}
        click.echo("\n".join(_lines(measured, located, counts)))
    low = [name for name, found in measured.items() if any(found.percent(kind) < (least or 0) for kind in KINDS)]
    if low:
        raise AuthorError(Text(zh=f"低于{least:g}%：{'、'.join(low)}", en=f"below {least:g} %: {', '.join(low)}"))


@dataclass
class _Watched:
    """Shows what the cases of a module, or of all, leave out, whenever a module or its cases changed."""

    folder: Path
    module: str | None
    _known: dict[str, tuple[Module, tuple[Case, ...]]] = field(
        default_factory=dict[str, "tuple[Module, tuple[Case, ...]]"]
    )

    def show(self, workspace: Workspace) -> None:
        """Print the coverage of each module that changed since the last time."""
        rulebook, cases = workspace.tested()
        if self.module is not None and self.module not in rulebook.modules:
            raise unknown_module(self.module, rulebook)
        chosen = {self.module} if self.module is not None else rulebook.modules.keys()
        found = {name: (rulebook.modules[name], cases[name]) for name in rulebook.modules if name in chosen}
        changed = {name: each for name, each in found.items() if not _is_same(self._known.get(name), each)}
        self._known = found
        if changed:
            measured = {name: measure(rulebook, module, tried) for name, (module, tried) in changed.items()}
            located = {name: list(_located(self.folder, found[name][0], measured[name])) for name in changed}
            counts = {name: len(tried) for name, (_, tried) in changed.items()}
            click.echo("\n".join(_lines(measured, located, counts)))


def _is_same(one: tuple[Module, tuple[Case, ...]] | None, other: tuple[Module, tuple[Case, ...]]) -> bool:
    return one is not None and one[0] is other[0] and one[1] is other[1]


def _located(folder: Path, module: Module, found: Coverage) -> Iterator[tuple[Goal, str, Location]]:
    file = read_file(folder.joinpath(*module.name.split(".")).with_suffix(".yaml"))
    conditions = Conditions(file)
    for goal in found.missing:
        place = conditions.location_of(goal.rule, goal.start, goal.end) if goal.end else None
        yield goal, file.path, place or goal.location


def _lines(
    measured: Mapping[str, Coverage],
    located: Mapping[str, list[tuple[Goal, str, Location]]],
    counts: Mapping[str, int],
) -> Iterator[str]:
    width, spoken = max(map(len, measured)), language()
    heads = [_right(_HEADS[kind].in_language(spoken), _COLUMN) for kind in KINDS]
    first, last = _MODULE.in_language(spoken), _right(_CASES.in_language(spoken), 8)
    yield f"{first}{' ' * (width - cell_len(first))}{''.join(heads)}{last}"
    for name, found in measured.items():
        figures = "".join(f"{_figure(found, kind):>{_COLUMN}}" for kind in KINDS)
        yield f"{name:{width}}{figures}{counts[name]:>8}"
    for goal, path, place in (each for found in located.values() for each in found):
        yield f"{path}:{place.line}:{place.column}: {_sentence(goal).in_language(spoken)}"


def _right(text: str, width: int) -> str:
    """Return a text at the right of a column: a Chinese character takes two places."""
    return " " * (width - cell_len(text)) + text


def _figure(found: Coverage, kind: Kind) -> str:
    reached, total = found.count(kind)
    return f"{reached}/{total} {found.percent(kind):.0f} %" if total else "-"


def _sentence(goal: Goal) -> Text:
    words = _MISSING[goal.kind]
    return Text(
        zh=words.zh.format(rule=goal.rule, text=goal.text, side=goal.side.zh),
        en=words.en.format(rule=goal.rule, text=goal.text, side=goal.side.en),
    )


def _document(
    measured: Mapping[str, Coverage], located: Mapping[str, list[tuple[Goal, str, Location]]]
) -> dict[str, object]:
    return {
        name: {
            **{_HEADS[kind].en: dict(zip(("reached", "total"), found.count(kind), strict=True)) for kind in KINDS},
            "missing": [
                {
                    "kind": goal.kind,
                    "rule": goal.rule,
                    "text": goal.text,
                    "message": _sentence(goal),
                    "path": path,
                    "line": place.line,
                    "column": place.column,
                }
                for goal, path, place in located[name]
            ],
        }
        for name, found in measured.items()
    }
