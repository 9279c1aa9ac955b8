"""`chengma rules replay`: what a draft would have decided where the city really decided."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
import msgspec

from backend.city.following_releases import load_active_rulebook
from backend.city.replay import ModuleReplay, ReplayReport
from backend.city.replay import replay as replay_decisions
from backend.cli.errors import load_settings
from backend.cli.in_city import run_in_city
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.editions import edition
from backend.cli.rules.loading import store_exists
from backend.i18n import Text
from backend.rulebook.language.temporal import midnight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.city.service import City

_REASONS = {
    "facts_not_kept": Text(zh="当时的事实未留存", en="the facts of then are not kept"),
    "rules_not_kept": Text(zh="当时的规则未留存", en="the rules of then are not kept"),
    "facts_changed": Text(
        zh="按留存的事实重算，与当时的决定不一致（如报告已撤回）",
        en="on the facts that are kept, the rules of then decide otherwise (such as after a report was withdrawn)",
    ),
    "module_removed": Text(zh="草稿中没有此模块", en="the draft has no such module"),
}


@click.command(
    cls=AuthorCommand,
    zh="""按 DRAFT 版规则重算本市自某日起实际作出的决定。不写入任何内容。

DRAFT 是文件夹、git 版本或已提交版本编号的开头。每个决定按当时的时刻和留存的当时的事实重算；
只有按当时的规则能得出同样决定的，才算重算成功。""",
)
@click.argument("draft")
@click.option(
    "--since",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    cls=AuthorOption,
    help="The first day of the decisions.",
    zh="从哪一天的决定起重算。",
)
@click.option(
    "--json", "as_json", is_flag=True, cls=AuthorOption, help="Print JSON for machines.", zh="输出 JSON，供程序使用。"
)
def replay(draft: str, since: datetime, as_json: bool) -> None:
    """Decide again, by the edition DRAFT, what the city of the settings decided since a day. Writes nothing.

    DRAFT is a folder, a git revision or the beginning of a release's digest. Each decision is made at its own instant,
    on the facts of then as far as they are kept. It counts as replayed only if the rules of then decide the same again.
    """
    settings = load_settings()
    if not store_exists(settings):
        raise AuthorError(
            Text(zh="此处没有城市数据（见 CHENGMA_STORE）。", en="There is no city here (see CHENGMA_STORE).")
        )
    rulebook = edition(draft)
    zone = ZoneInfo(settings.time_zone)
    first = midnight(since.date(), zone)

    async def work(city: City) -> ReplayReport:
        # the decisions are those of modules that are in force, which need not be in the folder of rules
        return await replay_decisions(await load_active_rulebook(city), rulebook, first, progress=_show_progress)

    report = run_in_city(work)
    if sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)
    click.echo(msgspec.json.encode(report) if as_json else "\n".join(replay_lines(report, zone, language())))


def replay_lines(report: ReplayReport, zone: ZoneInfo, language: str) -> Iterator[str]:
    """Yield a report as authors read it, in the city's time zone, in "zh" or "en"."""
    for module in report.modules:
        yield from _module_lines(module, zone, language)
        yield ""
    if report.without_decisions:
        words = Text(zh="没有留存决定的模块：{names}", en="Modules whose decisions are not stored: {names}")
        yield words.format(names=", ".join(report.without_decisions)).in_language(language)
    more = Text(zh="", en="") if report.complete else Text(zh="（还有更多）", en=" (there are more)")
    total = Text(
        zh="自 {since} 起的 {count} 项决定{more}，草稿 {draft}",
        en="{count} decisions since {since}{more}, draft {draft}",
    )
    values = {
        "since": report.since.astimezone(zone).isoformat(timespec="auto"),
        "count": str(report.examined),
        "draft": report.draft[:16],
    }
    yield total.format(more=more, **values).in_language(language)


def _show_progress(examined: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{examined}", nl=False, err=True)


def _module_lines(module: ModuleReplay, zone: ZoneInfo, language: str) -> Iterator[str]:
    head = Text(
        zh="{name}：重算 {replayed} 项，其中 {changed} 项结果不同",
        en="{name}: {replayed} decisions replayed, {changed} with another result",
    )
    values = {"name": module.module, "replayed": str(module.replayed), "changed": str(module.changed)}
    yield head.format(**values).in_language(language)
    for cell in module.results:
        yield f"    {cell.decided} → {cell.draft}: {cell.count}"
    for cell in module.rules:
        yield f"      {cell.decided} → {cell.draft}: {cell.count}"
    for reason, count in module.not_replayed.items():
        words = Text(zh="未能重算 {count} 项：{reason}", en="{count} not replayed: {reason}")
        yield "    " + words.format(count=str(count), reason=_REASONS[reason]).in_language(language)
    for sample in module.samples:
        before, after = (one.in_language(language) for one in (sample.decided_because, sample.draft_because))
        yield f"    {sample.id} {sample.at.astimezone(zone).isoformat()}: {sample.decided} → {sample.draft}"
        yield f"      {sample.decided_rule}: {before}"
        yield f"      {sample.draft_rule}: {after}"
