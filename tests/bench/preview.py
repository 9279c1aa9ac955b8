"""What a preview of the rules costs: columns that are kept, stored documents into columns, and a whole preview."""

import asyncio
import resource
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import bson
import msgspec
import numba
import numpy as np
from msgspec.structs import replace

from backend.city.kept_columns import read_kept_columns
from backend.city.person import Person
from backend.city.preview import preview_editions, stored_facts_of, subject_of
from backend.city.preview_columns import fields_read, reading_for, starts_in
from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, SourceFile, make_rulebook, read_rules
from backend.rulebook.language.types import microseconds
from backend.rulebook.needs import facts_of
from backend.rulebook.preview import arithmetic, jit
from backend.rulebook.preview.columns import Columns, columns_of_facts, join
from backend.rulebook.preview.comparison import Comparison
from backend.rulebook.preview.document_columns import DocumentReader
from backend.rulebook.preview.documents import Encoding
from backend.rulebook.preview.kernel import Kernel, kernel_of
from backend.rulebook.preview.kernel_source import kernel_source
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import HealthRecord
from backend.services.health_code.rule_modules import COLOUR
from backend.store import Part, StoredBatch
from backend.store.mongo.codec import body_of
from backend.store.sqlite.store import READ_BATCH, SqliteStore
from tests.bench.city import synthetic_city
from tests.bench.profiles import rich_facts
from tests.bench.report import Table
from tests.rulebook.test_agreement import CITY

CITIZENS = 5_000
PEOPLE = 1_000_000
DRAWN = 50_000
CITIES = 12
STORED = 200_000
DOCUMENTS = 20_000
THREADS = 2
ROUNDS = 15
FOLDER = Path(__file__).parents[2] / "rules"
NOW = datetime.now(UTC)


def measure() -> Table:
    """Measure every figure of the preview in one run."""
    records = asyncio.run(_records(synthetic_city(CITIZENS).store))
    rich = [replace(records[0], facts=facts) for facts in rich_facts(Random(1), NOW, DOCUMENTS)]
    old, new = _editions()
    rows = [
        *_kept("the synthetic city's people", records, old),
        *_kept("people with 0 to 3 facts of every kind", rich, old),
        *_read("the synthetic city's people", records, old),
        *_read("people with 0 to 3 facts of every kind", rich, old),
        *_compiled(old),
        *asyncio.run(_stored(records, old, new)),
    ]
    return Table(
        "rules_preview",
        f"The colour module over columns. `kept`: {PEOPLE:,} people, {DRAWN:,} drawn at random from {CITIZENS:,} and "
        f"repeated, decided again by {THREADS} threads, best of {ROUNDS}, and by one thread in its processor time. "
        "`read`: stored documents as bytes into columns, by the processor time of one core. "
        f"`preview`: {STORED:,} people of an embedded file, two editions at 15 instants, with history and ages, in one "
        "process. Targets: 25 ms (12 million: 0.3 s), 1,000,000 people per "
        "second and core, a third of the bare scan, 200 MB per million people.",
        ("what", "people", "figure", "target"),
        rows,
    )


async def _records(path: Path) -> list[HealthRecord]:
    store = SqliteStore.open(path, [HealthRecord])
    found = [record async for record in store.scan(HealthRecord)]
    await store.close()
    return found * (DOCUMENTS // len(found))


def _editions() -> tuple[Rulebook, Rulebook]:
    structs = facts_of(rule_modules_of(discover_services()))
    files = read_rules(FOLDER)
    old = make_rulebook(files, structs, CITY)
    text = files[COLOUR].text
    begin, end = text.index("  isolation:"), text.index("  check_ins_due:")
    longer = text[begin:end].replace("2025-09-01, value: 7d", "2025-09-01, value: 10d")
    files[COLOUR] = SourceFile(COLOUR, text[:begin] + longer + text[end:], [])
    return old, make_rulebook(files, structs, CITY, old)


def _best(rounds: int, work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    seconds: list[float] = []
    for _ in range(rounds):
        begin = clock()
        work()
        seconds.append(clock() - begin)
    return min(seconds)


def _kernel(rulebook: Rulebook) -> Kernel:
    return kernel_of(rulebook.modules[COLOUR], rulebook.law(COLOUR, NOW))


def _kept(name: str, records: Sequence[HealthRecord], rulebook: Rulebook) -> list[tuple[str, ...]]:
    kernel, now = _kernel(rulebook), microseconds(NOW)
    drawn = Random(2).choices(records, k=DRAWN)  # in an order that the processor cannot learn
    few = columns_of_facts(kernel.layout, [record.facts for record in drawn])
    columns = join([few] * (PEOPLE // few.people))
    seconds = _best(ROUNDS, lambda: kernel.decide(columns, now, THREADS))
    alone = _best(ROUNDS, lambda: kernel.decide(columns, now), time.thread_time)
    rows = [
        (f"kept, {name}", f"{PEOPLE:,}", f"**{seconds * 1e3:.1f} ms**", "25 ms"),
        (f"kept, {name}, processor time", f"{PEOPLE:,}", f"{alone * 1e3:.1f} ms", "-"),
        (f"memory of the columns, {name}", f"{PEOPLE:,}", f"{columns.size_bytes / 1e6:.0f} MB", "200 MB"),
    ]
    if name.startswith("the synthetic"):
        cities: Columns = join([columns] * CITIES)
        seconds = _best(5, lambda: kernel.decide(cities, now, THREADS))
        rows.append((f"kept, {name}", f"{PEOPLE * CITIES:,}", f"**{seconds * 1e3:.0f} ms**", "300 ms"))
    return rows


def _bodies(records: Sequence[HealthRecord], encoding: Encoding) -> list[bytes]:
    if encoding == "msgpack":
        return [msgspec.msgpack.encode(record) for record in records]
    return [bson.encode({"_id": body["_id"], **body}) for body in map(body_of, records)]


def _read(name: str, records: Sequence[HealthRecord], rulebook: Rulebook) -> list[tuple[str, ...]]:
    stored = next(stored for stored in stored_facts_of(discover_services()) if COLOUR in stored.modules)
    comparison = Comparison(subject_of(rulebook, rulebook, COLOUR, NOW, stored))
    rows: list[tuple[str, ...]] = []
    for encoding in ("bson", "msgpack"):
        bodies = _bodies(records, encoding)
        starts = None if encoding == "bson" else np.cumsum([0, *map(len, bodies[:-1])]).tolist()
        batch = StoredBatch(encoding, b"".join(bodies), starts)
        reader = DocumentReader(reading_for(stored, comparison.layout(), encoding))
        places = starts_in(batch)
        reader.read(batch.buffer, places)
        seconds = _best(ROUNDS, lambda: reader.read(batch.buffer, places), time.thread_time)  # noqa: B023  runs now
        rate = len(records) / seconds
        size = len(batch.buffer) // len(records)
        rows.append(
            (f"read {encoding} of {size:,} bytes, {name}", f"{len(records):,}", f"**{rate:,.0f}/s**", "1,000,000/s")
        )
    return rows


def _compiled(rulebook: Rulebook) -> list[tuple[str, ...]]:
    """Time the compilation of rules that were never compiled: a copy of the kernel under another name."""
    module = rulebook.modules[COLOUR]
    source = kernel_source(module, rulebook.law(COLOUR, NOW))
    columns = columns_of_facts(source.layout, [])
    names: dict[str, object] = {}
    names["arithmetic"] = arithmetic
    names["assume"] = jit.assume
    names["compiled"] = numba.njit(**jit.OPTIONS)
    exec(source.text[source.text.index("@compiled") :], names)  # noqa: S102  our own source
    kernel = Kernel(source, names["kernel"], counts=False)  # pyright: ignore[reportArgumentType]  a function
    seconds = _best(1, lambda: kernel.decide(columns, 0), time.process_time)
    return [("first compilation of the module, processor time", "-", f"{seconds:.1f} s", "-")]


async def _stored(records: Sequence[HealthRecord], old: Rulebook, new: Rulebook) -> list[tuple[str, ...]]:
    stored = [facts for facts in stored_facts_of(discover_services()) if COLOUR in facts.modules]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "city.db"
        store = SqliteStore.open(path, [HealthRecord, Person])
        for first in range(0, STORED, 1_000):
            people = (records[place % len(records)] for place in range(first, first + 1_000))
            await store.restore(
                [replace(one, id=f"{place:016}", code_id=f"{place:012}") for place, one in enumerate(people, first)]
            )
        subject = subject_of(old, new, COLOUR, NOW, stored[0])
        reader = DocumentReader(reading_for(stored[0], Comparison(subject).layout(), "msgpack"))

        async def read() -> None:
            async for batch in store.read_stored(HealthRecord, Part(), fields_read(stored[0])):
                reader.read(batch.buffer, starts_in(batch))

        bare, ours = list[float](), list[float]()
        for _ in range(5):
            bare.append(_best(1, lambda: _bare(path)))
            begin = time.perf_counter()
            await read()
            ours.append(time.perf_counter() - begin)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        report = await preview_editions(store, stored, old, new, NOW)
        seconds = time.perf_counter() - begin
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        kept = await read_kept_columns(store, stored[0], HealthFacts, NOW)
        again = _best(5, lambda: kept.count(subject))
        await store.close()
    assert report.modules[0].people == STORED
    ratio = min(bare) / min(ours)
    return [
        ("bare scan of the embedded file", f"{STORED:,}", f"{STORED / min(bare):,.0f}/s", "1"),
        (
            "read from the embedded file into columns",
            f"{STORED:,}",
            f"{STORED / min(ours):,.0f}/s, **{ratio:.2f}**",
            "0.33",
        ),
        ("preview", f"{STORED:,}", f"{seconds:.2f} s, {STORED / seconds:,.0f}/s", "-"),
        ("the same from columns that are kept", f"{STORED:,}", f"**{again * 1e3:.0f} ms**", "-"),
        ("memory of these columns", f"{STORED:,}", f"{kept.size_bytes / 1e6:.0f} MB", "-"),
        ("memory that the preview added", f"{STORED:,}", f"{grown:.0f} MiB", "flat"),
    ]


def _bare(path: Path) -> int:
    """Read each row's bytes, as the store's own connection does, and nothing more."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA mmap_size = 17179869184")
    rows, after = 0, 0
    text = "SELECT rowid, body FROM health_records WHERE rowid > ? LIMIT ?"
    while found := connection.execute(text, (after, READ_BATCH)).fetchall():
        rows, after = rows + len(found), found[-1][0]
    connection.close()
    return rows
