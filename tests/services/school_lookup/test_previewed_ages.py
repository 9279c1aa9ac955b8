"""A draft of the age of entry is previewed for the children whom the city knows."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from backend.city.person import Person
from backend.city.preview import stored_facts_of
from backend.city.service import discover_services
from backend.rulebook.preview.report import ModulePreview
from backend.services.school_lookup.rule_modules import AGE
from backend.store import Store
from tests.city.previews import matrix, only_module, report_of
from tests.rulebook.test_agreement import RULEBOOK
from tests.services.drafts import draft_of
from tests.store.opener import opener

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)
STORED = stored_facts_of(discover_services())

Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "mongodb-motor"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, [Person])


def child(number: int, born_on: date | None) -> Person:
    return Person(
        id=f"child-{number}", revision=1, id_number="x", id_digest=f"{number}", sex=None, born_on=born_on, created=NOW
    )


CHILDREN = [
    child(number, born_on)
    for number, born_on in enumerate(
        [date(2021, 9, 1), date(2021, 8, 31), date(2021, 3, 1), date(2022, 1, 1), date(2022, 8, 31), None]
    )
]
"""Two children who are six by 31 August 2027, three who are five, and one whose day of birth is not known."""


def preview(opened: Open, old_value: str, new_value: str) -> ModulePreview:
    people = [*CHILDREN, child(99, date(1980, 1, 1))]
    return only_module(report_of(opened, people, STORED, (RULEBOOK, draft_of(AGE, old_value, new_value)), NOW))


def test_a_lower_age_of_entry_admits_younger_children_and_leaves_those_of_six_too_old(opened: Open) -> None:
    module = preview(opened, "value: 6, source: years_2018", "value: 5, source: years_2018")
    assert matrix(module) == {
        ("admissible", "too_old"): 2,
        ("too_young", "admissible"): 3,
    }
    assert (module.people, module.better, module.worse) == (5, 3, 2)
