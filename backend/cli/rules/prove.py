"""`chengma rules prove`: can anybody be worse off by a change of the rules? The answer is proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.editions import read_edition
from backend.i18n import Text
from backend.rulebook.prover import NOT_INSTALLED, is_installed
from backend.rulebook.prover.standing import all_claims, case_of, describe, read_claim_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from backend.rulebook import Rulebook
    from backend.rulebook.prover.claims import Claim
    from backend.rulebook.prover.report import ClaimResult, ProofReport

EXIT_CODES = {"holds": 0, "counterexample": 1, "unknown": 3}
_DAY = click.DateTime(["%Y-%m-%d"])


class InternalError(click.ClickException):
    """The prover contradicts the engine."""

    exit_code = 2


_ZH = """证明 NEW 中的规则对照 OLD 的主张（NEW 默认为本市的规则文件夹）。

版本可以是文件夹、git 版本（HEAD~1、v1:rules）或发布编号的开头。
不写 --claim 时，证明 NEW 中的长期主张；有改动的模块还要证明没有人吃亏。反例是最小的人和时刻，并给出可加入的案例。

退出码：0 全部成立，1 有反例，3 无法判断，2 出错。
"""


@click.command(cls=AuthorCommand, zh=_ZH)
@click.argument("old")
@click.argument("new", required=False)
@click.option(
    "--claim",
    "wanted",
    multiple=True,
    cls=AuthorOption,
    help="Prove only the claim of this id (may be repeated).",
    zh="只证明这个编号的主张（可写多次）。",
)
@click.option(
    "--module",
    "modules",
    multiple=True,
    cls=AuthorOption,
    help="Prove only claims about this module (may be repeated).",
    zh="只证明关于这个模块的主张（可写多次）。",
)
@click.option(
    "--old-on",
    type=_DAY,
    cls=AuthorOption,
    help="Take the law of OLD of this day, at every instant.",
    zh="无论何时，OLD 都按这一天的规定。",
)
@click.option(
    "--on",
    "new_on",
    type=_DAY,
    cls=AuthorOption,
    help="Take the law of NEW of this day, at every instant.",
    zh="无论何时，NEW 都按这一天的规定。",
)
@click.option(
    "--lists",
    type=click.IntRange(1, 40),
    cls=AuthorOption,
    help="Try lists of up to this length.",
    zh="试到这个长度的列表。",
)
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0.1),
    cls=AuthorOption,
    help="The time for all claims.",
    zh="证明全部主张的时间，以秒计。",
)
@click.option("--json", "as_json", is_flag=True, cls=AuthorOption, help="Print the report as JSON.", zh="输出 JSON。")
def prove(
    old: str,
    new: str | None,
    wanted: tuple[str, ...],
    modules: tuple[str, ...],
    old_on: datetime | None,
    new_on: datetime | None,
    lists: int | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Prove claims about the rules in NEW against those in OLD (NEW: the city's own folder of rules).

    An edition is a folder, a git revision (HEAD~1, v1:rules) or the beginning of a release's digest.
    Without --claim, the claims are the standing ones beside the rules in NEW, and for each module that differs that
    nobody is worse off. A counterexample is the smallest person and instant, and a case that can be added.

    Exits with 0 if all claims hold, 1 for a counterexample, 3 if a claim is unknown, and 2 for an error.
    """
    require_solver()
    from backend.rulebook.prover.proof import Edition, TooShortLists, UnconfirmedCounterexample, prove_editions

    one, other = read_edition(old), read_edition(new or load_settings().rules)
    before = Edition(one.rulebook, old_on.date() if old_on else None)
    after = Edition(other.rulebook, new_on.date() if new_on else None)
    with report_errors():
        files = read_claim_files(other.claims, after.rulebook)
    claims = select(all_claims(before, after, files), wanted, modules)
    try:
        report = prove_editions(before, after, claims, seconds, lists)
    except TooShortLists as error:
        raise click.UsageError(error.reason.in_language(language())) from error
    except UnconfirmedCounterexample as error:
        raise InternalError(f"internal error: the engine does not confirm a counterexample: {error}") from error
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        click.echo("\n".join([*lines_of(report, language()), *_without_last(claims, before.rulebook)]))
    raise SystemExit(EXIT_CODES[report.answer])


def require_solver() -> None:
    """Raise ClickException if the solver is not installed."""
    if not is_installed():
        raise AuthorError(NOT_INSTALLED)


def select(
    claims: Mapping[str, Sequence[Claim]], wanted: Sequence[str], modules: Sequence[str]
) -> dict[str, list[Claim]]:
    """Return the claims of these ids and modules. Raises UsageError for one that does not exist."""
    known = {claim.id for about in claims.values() for claim in about}
    for name in wanted:
        if name not in known:
            known_ids = ", ".join(sorted(known)) or "-"
            text = Text(
                zh=f"没有主张 {name}；现有：{known_ids}", en=f"there is no claim {name!r}; there are: {known_ids}"
            )
            raise click.UsageError(text.in_language(language()))
    return {
        name: [claim for claim in about if not wanted or claim.id in wanted]
        for name, about in claims.items()
        if not modules or name in modules
    }


def lines_of(report: ProofReport, language: str) -> list[str]:
    """Return a report as an author reads it."""
    lines: list[str] = []
    for result in report.results:
        lines += _lines(result, language)
    if not report.results:
        lines.append(Text(zh="没有要证明的主张", en="There is nothing to prove.").in_language(language))
    return lines


def _without_last(claims: Mapping[str, Sequence[Claim]], last: Rulebook) -> list[str]:
    """Return a line for each claim that compares with a last edition that has no such module: nothing was proved."""
    text = Text(
        zh="{module} {claim}：上一版没有这个模块，没有可比较的版本，未证明",
        en="{module} {claim}: not proved, because there is no last edition of this module to compare with",
    ).in_language(language())
    return [
        text.format(module=name, claim=claim.id)
        for name, about in claims.items()
        for claim in about
        if claim.compares and name not in last.modules
    ]


_ANSWERS = {
    "holds": Text(zh="成立", en="holds"),
    "counterexample": Text(zh="不成立", en="does not hold"),
    "unknown": Text(zh="无法判断", en="unknown"),
}


def _lines(result: ClaimResult, language: str) -> list[str]:
    answer = _ANSWERS[result.answer].in_language(language)
    lines = [f"{result.module} {result.claim}: {answer} ({result.seconds:.1f} s)"]
    lines.append(f"  {result.name.in_language(language)}")
    if result.by_author:
        lines.append("  " + Text(zh="编制人随规则提交的主张", en="a claim of the author").in_language(language))
    if result.answer == "holds":
        lines.append(f"  {_extent(result).in_language(language)}")
    lines += [f"  {reason.in_language(language)}" for reason in result.left_out]
    if result.fails is not None:
        note = Text(zh=f"已知不成立：{result.fails}", en=f"known to fail: {result.fails}")
        lines.append(f"  {note.in_language(language)}")
    if result.counterexample is not None:
        lines += [f"  {line}" for line in describe(result.counterexample).in_language(language).splitlines()]
        lines.append("  " + Text(zh="可加入案例文件：", en="as a case:").in_language(language))
        lines += [f"  {line}" for line in case_of(result, language).splitlines()]
    return lines


def _extent(result: ClaimResult) -> Text:
    """Return for whom the claim was proved."""
    if not result.lists:
        return Text(zh="对所有事实和时刻均已证明", en="proved for all facts and instants")
    sizes = ", ".join(f"{path.removeprefix('facts.')} {size}" for path, size in result.lists.items())
    if result.complete:
        return Text(
            zh=f"对所有事实和时刻均已证明（列表长度上限：{sizes}；更长的列表不会改变结论）",
            en=f"proved for all facts and instants (lists of up to {sizes}; longer ones cannot change the answer)",
        )
    return Text(zh=f"对长度不超过以下上限的列表已证明：{sizes}", en=f"proved for lists of up to {sizes}")
