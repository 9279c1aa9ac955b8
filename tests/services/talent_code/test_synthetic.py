"""A synthetic city has talents, and its registries confirm their qualifications."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from random import Random

import pytest
from litestar import Litestar

from backend.city.person import Person
from backend.city.service import City
from backend.cli.synthetic_data import _people
from backend.services.talent_code.facts import Degree, Prize, Title
from backend.services.talent_code.model.evidence import happened_at
from backend.services.talent_code.model.talent import request_recheck
from backend.services.talent_code.review import update_talent
from backend.services.talent_code.saga import reviews
from backend.services.talent_code.synthetic import Merit, synthesize, synthetic_degrees, synthetic_merits
from tests.conftest import Clock
from tests.services.talent_code.scene import Scene

TODAY = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


@pytest.fixture
def city(app: Litestar, clock: Clock) -> City:
    clock.now = TODAY
    return app.state.city


def people_of(city: City, count: int) -> list[Person]:
    return list(islice(_people(city, Random("people 1")), count))


@pytest.fixture
def people(city: City) -> list[Person]:
    return people_of(city, 1_000)


def known_of(city: City, person: Person) -> set[Degree | Merit]:
    number = city.encryption.read(person, "id_number")
    return {*synthetic_degrees(number, city.now()), *synthetic_merits(number, city.now())}


def test_several_hundred_of_5000_people_have_a_class_and_every_class_occurs(city: City) -> None:
    classes = Counter(talent.class_at(TODAY) for talent in synthesize(city, Random(1), people_of(city, 5_000)))
    assert 200 < classes.total() < 400
    assert classes["e"] > classes["d"] > classes["c"] > classes["b"] > classes["a"] > 0
    assert classes["none"] == 0


def test_four_in_five_people_whose_degree_gives_a_class_have_it(city: City) -> None:
    people = people_of(city, 5_000)
    talents = {talent.id for talent in synthesize(city, Random(1), people)}
    doctors = [
        person.id
        for person in people
        if any(
            isinstance(one, Degree) and one.level == "doctor" and one.full_time and one.awarded_at.year < 2026
            for one in known_of(city, person)
        )
    ]
    assert 0.7 < len(talents & set(doctors)) / len(doctors) < 0.9


def test_all_evidence_of_a_talent_is_confirmed_and_known_to_the_registries(city: City, people: list[Person]) -> None:
    profiles = {person.id: person for person in people}
    for talent in synthesize(city, Random(1), people):
        assert {one.qualification for one in talent.evidence} <= known_of(city, profiles[talent.id])
        assert {one.state for one in talent.evidence} == {"confirmed"}
        (grant,) = talent.grants
        assert all(one.confirmed_at == grant.granted_at <= TODAY for one in talent.evidence)


def test_the_same_seed_makes_the_same_talents(city: City, people: list[Person]) -> None:
    one, other = (list(synthesize(city, Random(7), people[:500])) for _ in range(2))
    assert one == other
    assert one != list(synthesize(city, Random(8), people[:500]))
    assert one == list(synthesize(city, Random(7), people))[: len(one)], "a bigger city begins with the same talents"


def test_a_city_created_in_another_month_has_the_same_talents(city: City, clock: Clock) -> None:
    """Ages are the same, so dates of birth and ID numbers differ."""
    talents: list[set[tuple[str, str]]] = []
    for month in (3, 4):
        clock.now = TODAY.replace(month=month)
        talents.append({(one.id, one.grants[0].rule) for one in synthesize(city, Random(1), people_of(city, 1_000))})
    assert len(talents[0] & talents[1]) > 0.95 * len(talents[0])


def test_no_talent_is_due_and_no_notice_is_unsent_before_a_review(city: City, people: list[Person]) -> None:
    soon_ms = TODAY.timestamp() * 1_000
    for talent in synthesize(city, Random(1), people):
        assert talent.due_ms is not None
        assert talent.due_ms > soon_ms
        assert all(notice.sent for notice in talent.notifications)


def test_nobody_has_a_degree_from_before_1982(city: City, people: list[Person]) -> None:
    degrees = [one for person in people for one in known_of(city, person) if isinstance(one, Degree)]
    assert min(one.awarded_at.year for one in degrees) == 1982


def test_people_born_in_1990_graduate_by_2019_and_have_merits_from_2018_on(city: City) -> None:
    numbers = [f"99{serial:04d}199001010011" for serial in range(500)]
    degrees = [one for number in numbers for one in synthetic_degrees(number, TODAY)]
    assert {(one.level, one.awarded_at.year) for one in degrees} == {
        ("bachelor", 2012),
        ("master", 2015),
        ("doctor", 2019),
    }
    merits = [one for number in numbers for one in synthetic_merits(number, TODAY)]
    assert {happened_at(one, city.rulebook.time_zone).year for one in merits} == set(range(2018, 2027))


def test_a_review_confirms_the_evidence_of_a_synthetic_talent(scene: Scene) -> None:
    people = {person.id: person for person in people_of(scene.city, 400)}
    talents = list(synthesize(scene.city, Random(1), list(people.values())))
    graduate = next(one for one in talents if isinstance(one.evidence[0].qualification, Degree))
    with_merit = next(one for one in talents if isinstance(one.evidence[-1].qualification, (Prize, Title)))
    for talent in (graduate, with_merit):
        scene.call(scene.city.store.insert, people[talent.id])
        scene.call(scene.city.store.insert, talent)
        scene.clock.now = datetime(2026, 3, 3, 4, 0, tzinfo=UTC)
        scene.call(update_talent, scene.city, talent.id, request_recheck)
        reviewed = scene.call(reviews.resume, scene.city, talent.id)
        assert reviewed is not None
        assert [one.state for one in reviewed.evidence] == ["confirmed"] * len(talent.evidence)
        assert all(one.answered_at == scene.clock.now for one in reviewed.evidence)
        assert reviewed.grants == talent.grants
