"""Approvers read on the server whom a release would change: both reasons, the days ahead, and nobody's name."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.city.person import Person
from backend.cli.rules.review import print_review
from backend.i18n import Text
from backend.services.health_code.facts import Contact, HealthFacts
from backend.services.health_code.model import ColourChange, HealthRecord
from tests.conftest import Clock
from tests.rulebook.test_agreement import CITY
from tests.services.rules.publishing import COLOUR, RULES, Client, Headers, city_of, review, submit

ISOLATION = RULES[COLOUR][RULES[COLOUR].index("  isolation:") : RULES[COLOUR].index("  check_ins_due:")]
STANDING_PLAN = "2025-09-01, value: 7d"
NOW = datetime(2026, 11, 29, 4, 0, tzinfo=UTC)
PEOPLE = 12
DISTRICT = "330106"


@pytest.fixture(autouse=True)
def under_the_standing_plan(clock: Clock) -> None:
    clock.now = NOW


def fill(client: Client) -> list[str]:
    """Store people whose close contact was 0.5, 1.5, 2.5 ... days ago, and who were all red once; return their ids."""
    city = city_of(client)
    now = city.now()
    ids = [f"person-{number:02}-random" for number in range(PEOPLE)]
    red = ColourChange(now - timedelta(90), "red", "x", Text(zh="因", en="why"), "0" * 64)
    green = ColourChange(now - timedelta(60), "green", "x", Text(zh="因", en="why"), "0" * 64)
    for number, person in enumerate(ids):
        facts = HealthFacts(contacts=(Contact("close", now - timedelta(days=number + 0.5)),))
        record = HealthRecord(id=person, code_id=f"code-{number:07}", facts=facts, history=(red, green))
        client.blocking_portal.call(city.store.insert, record)
        profile = Person(
            id=person,
            id_number="encrypted",
            id_digest=f"digest-{number}",
            sex=None,
            born_on=None,
            created=now,
            division=DISTRICT,
        )
        client.blocking_portal.call(city.store.insert, profile)
    return ids


def reviewed(client: Client, author: Headers, approver: Headers, isolation: str) -> dict[str, Any]:
    """Return the review of a release with these dates and figures of isolation."""
    files = RULES | {COLOUR: RULES[COLOUR].replace(ISOLATION, isolation)}
    digest = submit(client, author, files).json()["digest"]
    return review(client, approver, digest)


def preview_in(found: dict[str, Any]) -> dict[str, Any]:
    """Return what an approver reads of the colour."""
    parts = {part["name"]: part for part in found["parts"]}
    assert parts["preview"]["failure"] is None
    assert parts["replay"]["failure"] is None
    (module,) = parts["preview"]["report"]["modules"]
    return module


def test_an_approver_reads_who_changes_with_both_reasons_and_what_comes_by_itself(
    client: Client, author: Headers, approver: Headers
) -> None:
    ids = fill(client)
    longer = ISOLATION.replace(STANDING_PLAN, "2025-09-01, value: 10d")
    module = preview_in(reviewed(client, author, approver, longer))
    assert (module["people"], module["changed"], module["worse"], module["again"]) == (PEOPLE, 3, 3, 3)
    assert {(one["old"]["result"], one["new"]["result"]) for one in module["samples"]} == {("green", "red")}
    for sample in module["samples"]:
        assert all(sample[edition]["because"][language] for edition in ("old", "new") for language in ("zh", "en"))
        assert datetime.fromisoformat(sample["new"]["changes_at"]) > NOW
    reds = [day["new"].get("red", 0) for day in module["days"]]
    assert len(reds) == 15
    assert reds == sorted(reds, reverse=True)
    assert reds[0] > reds[-1]
    assert module["districts"] == [
        {"district": DISTRICT, "name": "浙江省西湖区", "people": PEOPLE, "worse": None, "better": 0, "again": None}
    ]
    assert not any(person in json.dumps(module) for person in ids)


def test_a_reform_dated_ahead_is_previewed_on_its_day(
    client: Client, author: Headers, approver: Headers, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(client)
    reform = '      - {from: 2026-12-02, value: 10d, source: "assumption [A]: a reform"}\n'
    found = reviewed(client, author, approver, ISOLATION + reform)
    module = preview_in(found)
    first = module["days"][0]
    assert datetime.fromisoformat(first["at"]) == datetime(2026, 12, 1, 16, tzinfo=UTC)
    assert (module["changed"], module["worse"], module["better"]) == (3, 3, 0)
    assert (first["worse"], first["better"]) == (3, 0)
    assert {(one["old"]["result"], one["new"]["result"]) for one in module["samples"]} == {("green", "red")}
    print_review(found, {"texts": {}}, CITY, "en")
    assert (
        "Nobody's result changes at once. This previews the first instant with a change, 2 December 2026."
        in capsys.readouterr().out
    )
