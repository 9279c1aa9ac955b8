"""Columns that a process keeps answer every draft as a preview that reads the store does."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.city.kept_columns import KeptColumns, read_kept_columns
from backend.city.person import Person
from backend.city.preview import subject_of
from backend.city.preview_columns import count_columns
from backend.city.preview_districts import read_districts
from backend.rulebook import read_rules
from backend.rulebook.preview.comparison import Subject
from backend.rulebook.preview.tally import Tally
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import HealthRecord
from backend.services.health_code.rule_modules import COLOUR
from backend.store import Part, Store
from tests.city.test_preview import HEALTH, NOW, change, draft, longer_isolation, people, record
from tests.city.test_preview_districts import person
from tests.conftest import ROOT
from tests.rulebook.test_agreement import RULEBOOK
from tests.store.opener import opener

Open = Callable[[], Store]
PEOPLE = 150


@pytest.fixture(params=["sqlite", "mongodb-pymongo"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, [HealthRecord, Person])


def subjects() -> list[Subject]:
    """Return two drafts: one of figures, and one that reads a fact that no rule in force reads."""
    text = read_rules(ROOT / "rules")[COLOUR].text
    rule = text[text.index("- id: plan-close-contact") :].partition("when: >-\n")[0] + "when: >-\n"
    reads_more = draft(rule, rule + "      facts.doses.exists(d, d.at < now) ||\n")
    return [subject_of(RULEBOOK, new, COLOUR, NOW, HEALTH) for new in (longer_isolation(), reads_more)]


async def filled(opened: Open) -> Store:
    store = opened()
    records = [replace(one, history=(*one.history, change("red", 20), change("green", 2))) for one in people(PEOPLE)]
    await store.restore([replace(one, revision=1) for one in records])
    await store.restore([person(number, f"33010{number % 7}") for number in range(PEOPLE - 5)])
    return store


async def kept_in(store: Store) -> KeptColumns:
    return await read_kept_columns(store, HEALTH, HealthFacts, NOW)


@pytest.mark.slow
def test_kept_columns_count_what_reading_the_store_counts_for_every_draft(opened: Open) -> None:
    async def run() -> list[tuple[Tally, Tally]]:
        store = await filled(opened)
        kept, districts = await kept_in(store), await read_districts(store)
        counted = [
            (
                kept.count(subject),
                await count_columns(store, HEALTH, subject, Part(), lambda _people: None, districts),
            )
            for subject in subjects()
        ]
        await store.close()
        return counted

    for by_kept, by_store in asyncio.run(run()):
        assert by_kept == by_store
        assert by_kept.people == PEOPLE
        assert any(cell.old.result != cell.new.result and cell.again for cell in by_kept.cells)
        assert len({code for code, _ in by_kept.districts}) == 8


@pytest.mark.slow
def test_columns_that_are_read_again_have_who_came_and_who_changed(opened: Open) -> None:
    subject = subjects()[0]

    async def run() -> tuple[Tally, Tally, Tally]:
        store = await filled(opened)
        old = await kept_in(store)
        before = old.count(subject)
        known = await store.get(HealthRecord, "person-00003")
        assert known is not None
        recent = record(3, HealthFacts(contacts=(), born_at=NOW - timedelta(days=400))).facts
        await store.replace(replace(known, facts=recent))
        await store.insert(record(PEOPLE, recent))
        after = (await kept_in(store)).count(subject)
        await store.close()
        return before, after, old.count(subject)

    before, after, of_old_columns = asyncio.run(run())
    assert after.people == before.people + 1
    assert sum(n for cell, n in after.cells.items() if cell.group == "0-2") == 2 + sum(
        n for cell, n in before.cells.items() if cell.group == "0-2"
    )
    assert of_old_columns == before


@pytest.mark.slow
def test_kept_columns_of_a_city_without_people_count_nobody(opened: Open) -> None:
    async def run() -> int:
        store = opened()
        kept = await kept_in(store)
        await store.close()
        return kept.count(subjects()[0]).people

    assert asyncio.run(run()) == 0
