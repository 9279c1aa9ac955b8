"""`chengma rules preview --watch`: everybody's facts stay in memory, so each change of a draft is counted at once."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import click

from backend.city.kept_columns import KeptColumns, read_kept_columns
from backend.cli.language import language
from backend.cli.operations import with_store
from backend.cli.rules.watch import POLL_SECONDS
from backend.i18n import Text
from backend.rulebook.preview.documents import UnreadableDocument
from backend.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from msgspec import Struct

    from backend.city.service import StoredFacts
    from backend.rulebook.preview.comparison import Subject
    from backend.rulebook.preview.tally import Tally
    from backend.settings import Settings
    from backend.store import Store

LEAST_PAUSE_SECONDS = 10.0
SHARE_OF_TIME = 0.1
"""The share of the time in which facts are read again, at most; the rest is left to the city."""

READING = Text(zh="正在读入全市的事实……", en="reading everybody's facts ...")
KEPT = Text(
    zh="数据截至{at}；{people}人，占用内存{megabytes} MB；本次统计{milliseconds}毫秒",
    en="records as of {at}; {people} people in {megabytes} MB of memory; counted in {milliseconds} ms",
)
NOT_READ = Text(zh="未能重新读入，沿用原有数据：{reason}", en="could not read the records again: {reason}")


class KeptInMemory:
    """Columns of the facts that previews asked for, which a thread keeps up to date."""

    def __init__(self, settings: Settings, pause_seconds: float = LEAST_PAUSE_SECONDS) -> None:
        self.settings = settings
        self.pause_seconds = pause_seconds
        self.columns: dict[type[Struct], KeptColumns] = {}

    def count(self, facts: StoredFacts, subject: Subject) -> tuple[Tally, datetime]:
        """Count everybody, after the first time without the store; return as of when."""
        struct = subject.new.modules[subject.module].facts
        if struct not in self.columns:
            click.echo(READING.in_language(language()), err=True)
            self.columns[struct] = self._read(facts, struct)
            threading.Thread(target=self._keep_up, args=(facts, struct), daemon=True).start()
        kept = self.columns[struct]
        began = time.perf_counter()
        tally = kept.count(subject, os.cpu_count() or 1)
        text = KEPT.format(
            at=f"{kept.as_of.astimezone(subject.new.time_zone):%H:%M:%S}",
            people=f"{tally.people:,}",
            megabytes=f"{kept.size_bytes / 1e6:.0f}",
            milliseconds=f"{(time.perf_counter() - began) * 1e3:.0f}",
        )
        click.echo(text.in_language(language()), err=True)
        return tally, kept.as_of

    def _read(self, facts: StoredFacts, struct: type[Struct]) -> KeptColumns:
        async def read(store: Store) -> KeptColumns:
            return await read_kept_columns(store, facts, struct, datetime.now(UTC))

        return with_store(self.settings, read)

    def _keep_up(self, facts: StoredFacts, struct: type[Struct]) -> NoReturn:
        seconds = 0.0
        while True:
            time.sleep(max(self.pause_seconds, seconds * (1 / SHARE_OF_TIME - 1)))
            began = time.monotonic()
            try:
                self.columns[struct] = self._read(facts, struct)
            except (StoreUnavailable, UnreadableDocument) as error:
                click.echo(NOT_READ.format(reason=str(error)).in_language(language()), err=True)
            seconds = time.monotonic() - began


def show_at_each_change(draft: Path, show: Callable[[], None]) -> NoReturn:
    """Show a draft, and again whenever a file of its folder changes; a mistake in it is shown instead."""
    stamps = None
    while True:
        found = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in draft.rglob("*.y*ml")}
        if found != stamps:
            stamps = found
            try:
                show()
            except click.ClickException as error:
                error.show()
        time.sleep(POLL_SECONDS)
