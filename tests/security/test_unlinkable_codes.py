"""Attack: a venue collects the codes that people show, and tries to find out which belong to one person."""

from collections import defaultdict
from collections.abc import Callable

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.keys import verify_with_jwks
from tests.services.health_code.scene import Headers, id_number

PEOPLE = 10

Shown = list[tuple[int, dict[str, object]]]
"""The claims of codes, each with the number of the person who showed it, which a venue does not know."""


@pytest.fixture
def show(client: TestClient[Litestar], sign_in: Callable[..., Headers]) -> Callable[[int], Shown]:
    """Let ten people show a number of codes each."""
    people = [
        sign_in(f"138001380{number:02}", name="王芳", id_number=id_number(number + 1)) for number in range(PEOPLE)
    ]

    def show(codes: int) -> Shown:
        jwks = client.app.state.city.keys.jwks()
        shown: Shown = []
        for number, person in codes * list(enumerate(people)):
            payload = client.get("/v1/me/health-code", headers=person).json()["payload"]
            shown.append((number, msgspec.json.decode(verify_with_jwks(payload, jwks) or b"")))
        return shown

    return show


def test_no_value_in_a_code_is_shared_by_codes_of_one_person_only(show: Callable[[int], Shown]) -> None:
    owners: defaultdict[tuple[str, object], list[int]] = defaultdict(list)
    for person, claims in show(100):
        for claim in claims.items():
            owners[claim].append(person)
    assert [claim for claim, people in owners.items() if len(people) > 1 and len(set(people)) < PEOPLE] == []


def test_the_subjects_of_one_person_are_not_more_alike_than_those_of_two(show: Callable[[int], Shown]) -> None:
    """Compare the characters at each place: equal ones are as frequent within a person's codes as between people's."""
    subjects = [(person, str(claims["sub"])) for person, claims in show(30)]
    equal: defaultdict[bool, list[float]] = defaultdict(list)
    for at, (person, subject) in enumerate(subjects):
        for other, compared in subjects[at + 1 :]:
            equal[person == other].append(sum(map(str.__eq__, subject, compared)) / len(subject))
    for is_same in (True, False):
        assert sum(equal[is_same]) / len(equal[is_same]) == pytest.approx(1 / 64, abs=0.004)
