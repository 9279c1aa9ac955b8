"""`chengma rules preview`: what a draft would change for everybody in the city."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend.city.preview import (
    TOO_MANY_ANSWERS,
    WHOLE,
    count,
    districts_for,
    means_of,
    previewed,
    report_module,
    stored_facts_of,
    subject_of,
)
from backend.city.service import discover_services, rule_modules_of
from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.editions import edition
from backend.cli.rules.loading import rulebook_in_force
from backend.cli.rules.printed_preview import print_report
from backend.i18n import Text
from backend.rulebook import make_rulebook
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import midnight, parse_instant
from backend.rulebook.needs import facts_of
from backend.rulebook.preview.districts import Districts
from backend.rulebook.preview.documents import UnreadableDocument
from backend.rulebook.preview.possible import TooManyAnswers
from backend.rulebook.preview.report import ModulePreview, NotPreviewed, PreviewReport
from backend.rulebook.preview.tally import Tally
from backend.rulebook.source import files_of
from backend.settings import Settings
from backend.store import Part, Store
from backend.store.connect import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from backend.city.service import StoredFacts
    from backend.rulebook.preview.comparison import Subject
    from backend.rulebook.preview.report import Means

POLL_SECONDS = 0.1
T = TypeVar("T")

PEOPLE_PER_PROCESS = 200_000
"""Fewer people are counted sooner than another process has started."""

SLOWER = Text(
    zh="未安装 numba（make authors），改为逐人判断，速度较慢。",
    en="numba is not installed (make authors): people are decided one by one, which is slower.",
)
NOT_COLUMNS = Text(
    zh="规则中有不能按列计算的写法（{reason}），改为逐人判断，速度较慢。",
    en="The rules contain what columns cannot compute ({reason}): people are decided one by one, which is slower.",
)
SAME = Text(
    zh="草案与现行规则完全相同，没有可以预览的变化。",
    en="The draft is the same as the rules in force: nothing changes.",
)
UNKNOWN_MODULE = Text(
    zh="没有模块 {name!r}；可以预览：{known}", en="There is no module {name!r}; those that can be previewed: {known}"
)
NO_INSTANT = Text(
    zh="{text!r} 不是日期（2026-12-01），也不是带时区的时刻（2026-12-01T08:00:00+08:00）",
    en="{text!r} is neither a day (2026-12-01) nor an instant with its offset (2026-12-01T08:00:00+08:00)",
)
UNREADABLE = Text(
    zh="有一份记录无法读取，请系统管理员检查（开头为 {document}）。没有统计任何人。",
    en="A stored record cannot be read; an operator must look at it (it begins with {document}). Nobody was counted.",
)
ONLY_FOLDERS = Text(zh="--watch 只用于规则文件夹。", en="--watch takes a folder of rules.")
NO_COLUMNS = Text(zh="--watch 需要先运行 make authors。", en="--watch needs what `make authors` installs.")
COUNTING = Text(zh="正在统计 {name}", en="counting {name}")


@click.command(
    cls=AuthorCommand,
    zh="""预览草案 DRAFT 会改变哪些人的结果，与现行规则对照。

只读取，不改动任何人的记录，也不发通知。DRAFT 是规则文件夹、git 版本或已提交的版本号。
报告包括新旧结果对照表、按规则和人群的人数、
曾经被同样对待又恢复的人、二十个样例，以及今后十四天会自动发生的变化。
新增的政策与“没有该项政策”对照；申领时才询问或查询的事实，按对本人最有利的答复统计，即人数和金额的上限。""",
)
@click.argument("draft")
@click.option(
    "--at",
    "day",
    cls=AuthorOption,
    zh="按这一天（或时刻）预览，默认现在。",
    help="Preview this day, or this instant (default: now).",
)
@click.option(
    "--module",
    "modules",
    multiple=True,
    cls=AuthorOption,
    zh="只预览这个模块（默认：有变化的所有模块）。",
    help="Preview only this module (default: all that differ).",
)
@click.option("--json", "as_json", is_flag=True, cls=AuthorOption, zh="输出 JSON。", help="Print the report as JSON.")
@click.option(
    "--watch",
    is_flag=True,
    cls=AuthorOption,
    zh="事实留在内存中，草案文件夹每次改动后立即重新预览，直到中断。",
    help="Keep the facts in memory and preview again whenever a file of DRAFT changes, until interrupted.",
)
def preview(draft: str, day: str | None, modules: Sequence[str], as_json: bool, watch: bool) -> None:
    """Show for whom the rules in DRAFT would change anything, compared with the rules in force.

    It only reads: no record changes, and nobody is notified. DRAFT is a folder of rules, a git revision or the digest
    of a release. The report has a matrix of old and new results, the people by rule and group, who is worse off again,
    twenty samples, and what changes without any act in the next fourteen days. A new benefit is compared with none.
    What is asked when people claim counts as the answer that gives them most: people and amounts are upper limits.
    """
    settings = load_settings()
    if not watch:
        _show(settings, draft, day, modules, partial(_counted_now, settings), as_json=as_json)
        return
    if not Path(draft).is_dir():
        raise AuthorError(ONLY_FOLDERS)
    if find_spec("numba") is None:
        raise AuthorError(NO_COLUMNS)
    from backend.cli.rules.preview_watch import KeptInMemory, show_at_each_change

    kept = KeptInMemory(settings)

    def tally_of(facts: StoredFacts, subject: Subject, means: Means) -> tuple[Tally, datetime]:
        return kept.count(facts, subject) if means == "columns" else _counted_now(settings, facts, subject, means)

    show_at_each_change(Path(draft), lambda: _show(settings, draft, day, modules, tally_of, as_json=as_json))


TallyOf = Callable[["StoredFacts", "Subject", "Means"], tuple[Tally, datetime]]
"""Counts everybody, by these means; returns as of when."""


def _show(
    settings: Settings, draft: str, day: str | None, modules: Sequence[str], tally_of: TallyOf, *, as_json: bool
) -> None:
    """Print the report of a draft."""
    at = _instant(day, settings)
    old, new = rulebook_in_force(settings), edition(draft)
    stored = stored_facts_of(discover_services())
    known = sorted(name for facts in stored for name in facts.modules)
    for name in modules:
        if name not in new.modules and name not in old.modules:
            raise AuthorError(UNKNOWN_MODULE.format(name=repr(name), known=", ".join(known)))
    found, refused = previewed(old, new, stored, modules)
    if not found and not refused:
        click.echo(SAME.in_language(language()), err=True)
    begin = time.monotonic()
    reports: list[ModulePreview] = []
    counted_at: list[datetime] = []
    try:
        with report_errors():
            for name, facts in found:
                try:
                    report, as_of = _module_report(settings, facts, subject_of(old, new, name, at, facts), tally_of)
                except TooManyAnswers:
                    refused.append(NotPreviewed(name, TOO_MANY_ANSWERS))
                else:
                    reports.append(report)
                    counted_at.append(as_of)
    except UnreadableDocument as error:
        raise AuthorError(UNREADABLE.format(document=repr(str(error)))) from error
    report = PreviewReport(
        old=old.digest,
        new=new.digest,
        at=at,
        as_of=min(counted_at, default=datetime.now(UTC)),
        seconds=time.monotonic() - begin,
        modules=reports,
        not_previewed=refused,
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        print_report(report, ZoneInfo(settings.time_zone), language())


def _instant(text: str | None, settings: Settings) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        return midnight(datetime.strptime(text, "%Y-%m-%d").date(), ZoneInfo(settings.time_zone))  # noqa: DTZ007  a day has no zone
    except ValueError:
        try:
            return parse_instant(text)
        except EvaluationError as error:
            raise AuthorError(NO_INSTANT.format(text=repr(text))) from error


def _module_report(
    settings: Settings, facts: StoredFacts, subject: Subject, tally_of: TallyOf
) -> tuple[ModulePreview, datetime]:
    means, reason = means_of(facts, subject)
    if reason:
        _warn(reason)
    tally, as_of = tally_of(facts, subject, means)

    async def report(store: Store) -> ModulePreview:
        return await report_module(store, facts, subject, tally, means)

    return _in_store(settings, report), as_of


def _counted_now(settings: Settings, facts: StoredFacts, subject: Subject, means: Means) -> tuple[Tally, datetime]:
    as_of = datetime.now(UTC)
    with _progress(subject.module) as progress:
        return _count(settings, facts, subject, means, progress), as_of


def _warn(reason: str) -> None:
    text = SLOWER if reason == "numba" else NOT_COLUMNS.format(reason=reason)
    click.echo(text.in_language(language()), err=True)


def _progress(name: str) -> Progress:
    return Progress(
        TextColumn(COUNTING.format(name=name).in_language(language())),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _in_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    from backend.cli.operations import with_store

    return with_store(settings, work)


def _count(settings: Settings, facts: StoredFacts, subject: Subject, means: Means, progress: Progress) -> Tally:
    """Count everybody, in several processes if there are many people."""

    async def size(store: Store) -> tuple[int, list[Part], Districts | None]:
        people = await store.count(facts.kind, {})
        processes = min(os.cpu_count() or 1, people // PEOPLE_PER_PROCESS)
        parts = await store.parts(facts.kind, processes) if means == "columns" and processes > 1 else [WHOLE]
        return people, parts, await districts_for(store, facts, means)

    people, parts, districts = _in_store(settings, size)
    task = progress.add_task("", total=people)
    if len(parts) > 1:
        show: Callable[[int], None] = lambda done: progress.update(task, completed=done)  # noqa: E731  named for its type
        return _count_in_processes(settings, subject, parts, districts, show)
    return _in_store(
        settings,
        lambda store: count(store, facts, subject, means, WHOLE, lambda more: progress.advance(task, more), districts),
    )


def _count_in_processes(
    settings: Settings,
    subject: Subject,
    parts: Sequence[Part],
    districts: Districts | None,
    show: Callable[[int], None],
) -> Tally:
    """Count each part in a process of its own, which makes the rulebooks again from their texts."""
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    texts = (subject.old.texts, subject.new.texts)
    total = Tally()
    with ProcessPoolExecutor(len(parts), context, _share, (done, districts)) as pool:
        running = [pool.submit(_count_part, settings, texts, subject.module, subject.at, part) for part in parts]
        for counted in running:
            while not counted.done():
                show(done.value)
                time.sleep(POLL_SECONDS)
            total.merge(counted.result())
    return total


_counted: list[Any] = []
"""The number that the processes share: how many people were counted."""

_districts: list[Districts | None] = []
"""The districts of everybody, which each process gets once."""


def _share(counted: Any, districts: Districts | None) -> None:  # noqa: ANN401  a number that processes share has no type
    _counted.append(counted)
    _districts.append(districts)


def _count_part(
    settings: Settings, texts: tuple[dict[str, str], dict[str, str]], module: str, at: datetime, part: Part
) -> Tally:
    """Count one part; this is run in a process of its own."""
    services = discover_services()
    structs, zone = facts_of(rule_modules_of(services)), ZoneInfo(settings.time_zone)
    old, new = (make_rulebook(files_of(files), structs, zone) for files in texts)
    facts = next(facts for facts in stored_facts_of(services) if facts.covers(module))

    def progress(people: int) -> None:
        with _counted[0].get_lock():
            _counted[0].value += people

    async def run() -> Tally:
        store = open_store(settings.store, [facts.kind], driver="pymongo", timeout_ms=settings.store_timeout_ms)
        try:
            subject = subject_of(old, new, module, at, facts)
            return await count(store, facts, subject, "columns", part, progress, _districts[-1])
        finally:
            await store.close()

    return asyncio.run(run())
