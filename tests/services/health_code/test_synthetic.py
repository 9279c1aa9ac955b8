from collections import Counter
from datetime import datetime
from random import Random

import pytest
from litestar import Litestar
from msgspec.structs import replace

from backend.city.id_number import parse_id_number
from backend.city.person import Person, new_person
from backend.services.health_code.rule_modules import COLOUR
from backend.services.health_code.synthetic import synthesize
from tests.services.health_code.scene import Clock


@pytest.fixture
def people(app: Litestar) -> list[Person]:
    city = app.state.city
    id_number = parse_id_number("11010519491231002X", city.now().date())
    person = new_person(city.encryption, id_number, "person", city.now())
    return [replace(person, id=f"person-{number}") for number in range(2_000)]


@pytest.mark.parametrize("day", ["2020-03-01", "2022-04-20", "2022-09-01", "2022-12-20", "2026-11-23"])
def test_a_synthetic_city_is_mostly_green_whenever_the_rules_are_in_force(
    app: Litestar, people: list[Person], clock: Clock, day: str
) -> None:
    city = app.state.city
    clock.now = datetime.fromisoformat(f"{day}T04:00:00+00:00")
    colours = Counter(
        city.rulebook.evaluate(COLOUR, record.facts, clock.now).result for record in synthesize(city, Random(1), people)
    )
    assert 0.89 < colours["green"] / len(people) < 0.95
    assert 0.03 < colours["yellow"] / len(people) < 0.07
    assert 0.02 < colours["red"] / len(people) < 0.04


def test_a_synthetic_city_is_the_same_for_the_same_seed(app: Litestar, people: list[Person]) -> None:
    one, other = (list(synthesize(app.state.city, Random(7), people[:50])) for _ in range(2))
    assert one == other
    assert one != list(synthesize(app.state.city, Random(8), people[:50]))


def test_the_history_of_a_synthetic_person_ends_with_the_current_verdict(app: Litestar, people: list[Person]) -> None:
    city = app.state.city
    for record in synthesize(city, Random(1), people[:200]):
        verdict = city.rulebook.evaluate(COLOUR, record.facts, city.now())
        assert (record.history[-1].colour, record.history[-1].rule) == (verdict.result, verdict.rule)
