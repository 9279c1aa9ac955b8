"""A preview counts what both editions decide for everybody, as deciding each person would, and writes nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import ClassVar

import msgspec
import pytest
from msgspec.structs import replace

from backend.city.person import Person
from backend.city.preview import means_of, preview_editions, previewed, stored_facts_of, subject_of
from backend.city.preview_columns import count_columns
from backend.city.service import StoredFacts, discover_services, rule_modules_of
from backend.i18n import Text
from backend.rulebook import Rulebook, SourceFile, make_rulebook, read_rules
from backend.rulebook.needs import facts_of
from backend.rulebook.preview.comparison import Subject
from backend.rulebook.preview.documents import UnreadableDocument
from backend.rulebook.preview.groups import Groups
from backend.rulebook.preview.report import Means, PreviewReport
from backend.services.health_code.facts import Contact, HealthFacts
from backend.services.health_code.model import ColourChange, HealthRecord
from backend.services.health_code.rule_modules import COLOUR
from backend.store import Document, Store
from backend.store.sqlite.store import SqliteStore
from tests.bench.profiles import rich_facts
from tests.city.previews import matrix, report_of
from tests.conftest import ROOT
from tests.rulebook.test_agreement import CITY, RULEBOOK
from tests.store.opener import opener

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)
SERVICES = discover_services()
STORED = stored_facts_of(SERVICES)
HEALTH = next(stored for stored in STORED if COLOUR in stored.modules)

Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "mongodb-motor", "mongodb-pymongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, [HealthRecord, Person])


def draft(old: str, new: str, module: str = COLOUR) -> Rulebook:
    """Return the city's rules with one change of a module's text."""
    files = read_rules(ROOT / "rules")
    text = files[module].text
    assert old in text
    files[module] = SourceFile(files[module].path, text.replace(old, new, 1), [])
    return make_rulebook(files, facts_of(rule_modules_of(SERVICES)), CITY, RULEBOOK)


def longer_isolation() -> Rulebook:
    """Return the rules with an isolation of ten days instead of seven."""
    text = read_rules(ROOT / "rules")[COLOUR].text
    begin = text.index("  isolation:")
    line = text[begin : text.index("  check_ins_due:")]
    return draft(line, line.replace("2025-09-01, value: 7d", "2025-09-01, value: 10d"))


def change(colour: str, days: float) -> ColourChange:
    at = NOW - timedelta(days=days)
    return ColourChange(at, colour, "a-rule", Text(zh="因为", en="because"), "0" * 64)


def record(number: int, facts: HealthFacts, *colours: str) -> HealthRecord:
    history = tuple(change(colour, 300 - place) for place, colour in enumerate(colours or ("green",)))
    return HealthRecord(id=f"person-{number:05}", code_id=f"code-{number:07}", facts=facts, history=history)


def city_of(opened: Open, records: list[HealthRecord]) -> Store:
    """Return a store with these records, not used by any loop yet."""

    async def fill() -> None:
        store = opened()
        await store.restore([replace(record, revision=1) for record in records])
        await store.close()

    asyncio.run(fill())
    return opened()


def embedded(folder: Path, records: list[HealthRecord]) -> Store:
    return city_of(lambda: SqliteStore.open(folder / "city.db", [HealthRecord, Person]), records)


def preview(store: Store, old: Rulebook, new: Rulebook, at: datetime = NOW) -> PreviewReport:
    return report_of(lambda: store, [], STORED, (old, new), at)


def people(number: int) -> list[HealthRecord]:
    return [record(place, facts) for place, facts in enumerate(rich_facts(Random(5), NOW, number))]


@pytest.mark.slow
def test_a_preview_counts_what_deciding_each_person_counts(opened: Open) -> None:
    records, new = people(400), longer_isolation()
    (module,) = preview(city_of(opened, records), RULEBOOK, new).modules
    expected = Counter(
        (RULEBOOK.evaluate(COLOUR, one.facts, NOW).result, new.evaluate(COLOUR, one.facts, NOW).result)
        for one in records
    )
    assert module.by == "columns"
    assert matrix(module) == expected
    assert module.changed == module.worse + module.better == sum(n for (old, new), n in expected.items() if old != new)
    assert module.worse > 10
    by_rule = Counter(
        (RULEBOOK.evaluate(COLOUR, one.facts, NOW).rule, new.evaluate(COLOUR, one.facts, NOW).rule)
        for one in records
        if RULEBOOK.evaluate(COLOUR, one.facts, NOW).result != new.evaluate(COLOUR, one.facts, NOW).result
    )
    assert {(one.old_rule, one.new_rule): one.people for one in module.rules} == by_rule
    for day in module.days:
        assert day.old == Counter(RULEBOOK.evaluate(COLOUR, one.facts, day.at).result for one in records)
        assert day.new == Counter(new.evaluate(COLOUR, one.facts, day.at).result for one in records)


def without_numba(_facts: StoredFacts, _subject: Subject) -> tuple[Means, str]:
    return "objects", "numba"


@pytest.mark.slow
def test_objects_and_columns_give_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records, new = people(150), longer_isolation()
    records = [replace(one, history=(*one.history, change("red", 20), change("green", 2))) for one in records]

    by_columns = preview(embedded(tmp_path, records), RULEBOOK, new).modules[0]
    monkeypatch.setattr("backend.city.preview.means_of", without_numba)
    by_objects = preview(embedded(tmp_path, []), RULEBOOK, new).modules[0]
    assert by_objects.by == "objects"
    left, right = msgspec.to_builtins(by_columns), msgspec.to_builtins(by_objects)
    assert left.pop("by") != right.pop("by")
    assert {sample["id"] for sample in left.pop("samples")} <= {one.id for one in records}
    right.pop("samples")
    assert left == right
    assert by_columns.again > 0


def contact(days: float) -> HealthFacts:
    return HealthFacts(contacts=(Contact("close", NOW - timedelta(days=days)),))


def green_on_old() -> list[HealthRecord]:
    """Return people whose contact was eight days ago: green now, and red under the longer isolation."""
    return [
        record(1, contact(8), "green", "red", "green"),
        record(2, contact(8), "green"),
        record(3, contact(8), "green", "yellow", "green"),
        record(4, contact(2), "green", "red"),
    ]


@pytest.mark.slow
def test_who_was_red_before_is_worse_off_again_and_comes_first_among_the_samples(tmp_path: Path) -> None:
    (module,) = preview(embedded(tmp_path, green_on_old()), RULEBOOK, longer_isolation()).modules
    assert matrix(module) == {("green", "red"): 3, ("red", "red"): 1}
    assert module.again == 1
    assert module.samples[0].id == "person-00001"
    assert [sample.again for sample in module.samples] == [True, False, False]


@pytest.mark.slow
def test_a_sample_has_the_reasons_of_both_editions_and_when_they_end(tmp_path: Path) -> None:
    (module,) = preview(embedded(tmp_path, green_on_old()[1:2]), RULEBOOK, longer_isolation()).modules
    (sample,) = module.samples
    assert (sample.old.result, sample.old.rule, sample.new.result) == ("green", "otherwise", "red")
    assert sample.new.rule in {rule.id for rule in RULEBOOK.modules[COLOUR].rules}
    assert sample.new.because.zh
    assert sample.new.changes_at == NOW + timedelta(days=2)


@pytest.mark.slow
def test_a_reform_dated_ahead_has_no_effect_before_its_day(tmp_path: Path) -> None:
    text = read_rules(ROOT / "rules")[COLOUR].text
    begin = text.index("  isolation:")
    line = text[begin : text.index("  check_ins_due:")]
    reform = line + '      - {from: 2026-12-02, value: 10d, source: "assumption [A]: a reform"}\n'
    (module,) = preview(embedded(tmp_path, green_on_old()), RULEBOOK, draft(line, reform)).modules
    assert module.changed == 0
    (later,) = module.later
    assert later.begins_at == datetime(2026, 12, 1, 16, tzinfo=UTC)
    assert all(day.old == day.new for day in module.days if day.at < later.begins_at)
    assert [(day.day, day.worse) for day in module.days if day.worse] == [(5, 1), (6, 1), (7, 1)]
    assert {day.better for day in module.days} == {0}
    assert (later.worse, later.better, later.old_sum) == (later.people, 0, None)


@pytest.mark.slow
def test_a_preview_changes_no_document(opened: Open) -> None:
    records = people(50)

    async def stored(store: Store) -> list[HealthRecord]:
        found = [one async for one in store.scan(HealthRecord)]
        await store.close()
        return found

    before = asyncio.run(stored(city_of(opened, records)))
    preview(opened(), RULEBOOK, longer_isolation())
    assert asyncio.run(stored(opened())) == before
    assert {one.revision for one in before} == {1}


@pytest.mark.slow
def test_the_parts_of_a_collection_hold_everybody_once(opened: Open) -> None:
    subject = subject_of(RULEBOOK, longer_isolation(), COLOUR, NOW, HEALTH)
    store = city_of(opened, people(101))

    async def counted() -> list[int]:
        found = [
            (await count_columns(store, HEALTH, subject, part, lambda _people: None)).people
            for part in await store.parts(HealthRecord, 4)
        ]
        await store.close()
        return found

    sizes = asyncio.run(counted())
    assert sum(sizes) == 101
    assert len(sizes) == 4
    assert max(sizes) < 40


def test_only_modules_that_differ_are_previewed_and_others_say_why() -> None:
    changed = draft("title:", "title: ", module="school_lookup.points")
    found, refused = previewed(RULEBOOK, changed, STORED)
    assert found == []
    assert [one.module for one in refused] == ["school_lookup.points"]
    assert "stored" in refused[0].reason.en


@pytest.mark.parametrize(
    "stored",
    [(stored, module) for stored in STORED if stored.derive is None for module in stored.modules],
    ids=lambda pair: pair[1],
)
def test_every_module_whose_facts_are_stored_is_previewed_by_machine_code(
    stored: tuple[StoredFacts, str],
) -> None:
    facts, module = stored
    assert means_of(facts, subject_of(RULEBOOK, RULEBOOK, module, NOW, facts)) == ("columns", "")


class DistrictRecord(Document, kw_only=True):
    """A record of a service that keeps the district of everybody."""

    collection: ClassVar[str] = "district_records"
    facts: HealthFacts
    district: str | None = None


BY_DISTRICT = StoredFacts(
    kind=DistrictRecord,
    modules=[COLOUR],
    groups=Groups(title=Text(zh="行政区", en="district"), field="district"),
)


@pytest.mark.slow
@pytest.mark.parametrize("means", ["columns", "objects"])
def test_people_are_counted_by_district_if_their_documents_have_one(
    tmp_path: Path, means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    districts = ["西湖区", "上城区", "西湖区", None]
    records = [
        DistrictRecord(id=f"p{place}", revision=1, facts=contact(8), district=district)
        for place, district in enumerate(districts)
    ]
    if means == "objects":
        monkeypatch.setattr("backend.city.preview.means_of", without_numba)

    async def run() -> PreviewReport:
        store = SqliteStore.open(tmp_path / "city.db", [DistrictRecord])
        await store.restore(records)
        report = await preview_editions(store, [BY_DISTRICT], RULEBOOK, longer_isolation(), NOW)
        await store.close()
        return report

    (module,) = asyncio.run(run()).modules
    assert module.by == means
    assert {group.group: (group.people, group.worse) for group in module.groups} == {
        "上城区": (1, 1),
        "西湖区": (2, 2),
        "?": (1, 1),
    }
    assert {sample.group for sample in module.samples} == {"上城区", "西湖区", "?"}


@pytest.mark.slow
def test_a_document_that_is_broken_is_named_and_nothing_is_counted(tmp_path: Path) -> None:
    store = embedded(tmp_path, green_on_old())

    async def run() -> None:
        (body,) = await store.read_bodies("health_records", "person-00003", 1)
        body["facts"]["contacts"][0]["level"] = "unheard of"
        await store.write_bodies("health_records", [body])
        try:
            await preview_editions(store, STORED, RULEBOOK, longer_isolation(), NOW)
        finally:
            await store.close()

    with pytest.raises(UnreadableDocument, match="person-00004"):
        asyncio.run(run())
