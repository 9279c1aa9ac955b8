"""Attack: a person whose code an authority turned red or yellow tries to turn it milder with their own declarations."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.health_code.model import HealthRecord, apply_reports, new_record
from backend.services.health_code.records import update_record
from backend.services.health_code.reports import (
    MAX_REPORTS,
    CaseEnded,
    CaseReported,
    CheckedIn,
    ContactReported,
    EntryReported,
    FalseStatementFound,
    HealthDeclared,
    IsolationEnded,
    IsolationOrdered,
    MassTestMissed,
    Report,
    SampleTested,
    StayReported,
    derive_facts,
)
from backend.services.health_code.rule_modules import COLOUR, COLOURS
from backend.settings import Settings
from tests.conftest import ROOT, Clock
from tests.draws import draws
from tests.services.health_code.scene import Headers, Scene, assign_source, id_number, stored

FLOOD = 6
"""Requests of a flood; with twenty contacts, stays and entries each, they are more than a record takes."""


@pytest.fixture(name="settings")
def settings_of_either_store(settings: Settings, address: str) -> Settings:
    return replace(settings, store=address)


@pytest.fixture
def scene(client: TestClient[Litestar], clock: Clock, sign_in: Callable[..., Headers]) -> Scene:
    officer = sign_in("13800138002", name="陈静", id_number=id_number(902), roles=("health_officer",))
    return Scene(client, clock, officer)


@pytest.fixture
def person(sign_in: Callable[..., Headers]) -> Headers:
    return sign_in("13800138001", name="王芳", id_number=id_number(1))


def flood(scene: Scene, person: Headers, days_ago: float) -> None:
    """Declare hundreds of contacts and stays of long ago, or of today."""
    for request in range(FLOOD):
        old = [scene.ago(days=days_ago, minutes=request * 20 + number) for number in range(20)]
        body = {
            "symptoms": [],
            "contacts": [{"level": "nearby", "at": at} for at in old],
            "stays": [{"risk": "low", "entered_at": at, "left_at": at} for at in old],
            "entries": [{"country": "IT", "entered_at": at} for at in old],
        }
        answer = scene.client.post("/v1/me/health-declarations", headers=person, json=body)
        assert answer.status_code == 201, answer.text


REASONS: list[tuple[str, dict[str, str]]] = [
    ("contact", {"level": "close", "at": "2022-04-19T08:00:00+08:00"}),
    ("stay", {"risk": "high", "entered_at": "2022-04-18T08:00:00+08:00"}),
    ("entry", {"country": "US", "entered_at": "2022-04-19T08:00:00+08:00"}),
    ("case", {"status": "confirmed", "since": "2022-04-19T08:00:00+08:00"}),
    ("isolation", {"place": "home", "began_at": "2022-04-19T08:00:00+08:00"}),
    ("test", {"test": "pcr", "result": "positive", "sampled_at": "2022-04-19T08:00:00+08:00"}),
]


@pytest.mark.parametrize("days_ago", [300, 0.2])
def test_a_red_person_stays_red_whatever_they_declare(scene: Scene, person: Headers, days_ago: float) -> None:
    for kind, details in REASONS:
        event = scene.event(kind, kind, **details)
        scene.report(event)
        rule = scene.code(person)["rule"]
        flood(scene, person, days_ago)
        assert (scene.colour(person), scene.outcomes(event)) == ("red", ["repeated"]), rule
        assert scene.outcomes(scene.event("withdrawal", of=kind)) == ["applied"], rule


def test_an_authority_reports_and_withdraws_whatever_the_person_has_declared(scene: Scene, person: Headers) -> None:
    flood(scene, person, 300)
    assert scene.colour(person) == "green"
    contact = scene.event("contact", "c-1", level="close", at=scene.ago(days=1))
    assert scene.outcomes(contact) == ["applied"]
    flood(scene, person, 300)
    assert scene.colour(person) == "red"
    assert scene.outcomes(scene.event("withdrawal", of="c-1")) == ["applied"]
    assert (scene.colour(person), scene.outcomes(contact)) == ("green", ["repeated"])
    assert scene.colour(person) == "green", "a withdrawn event that is sent again stays withdrawn"


def test_an_authority_withdraws_and_sends_again_what_a_full_record_has_discarded(
    client: TestClient[Litestar], scene: Scene, person: Headers
) -> None:
    doses = [
        scene.event("vaccination", f"d-{number}", at=scene.ago(days=400 - number)) for number in range(MAX_REPORTS + 10)
    ]
    assert set(scene.outcomes(*doses)) == {"applied"}
    [record] = stored(client, HealthRecord)
    assert len(record.reports) == MAX_REPORTS
    assert scene.outcomes(doses[0], doses[-1]) == ["repeated", "repeated"]
    assert stored(client, HealthRecord) == [record]
    assert (
        scene.outcomes(*(scene.event("withdrawal", of=f"d-{number}") for number in (0, MAX_REPORTS + 9)))
        == ["applied"] * 2
    )
    [again] = scene.report(scene.event("withdrawal", of="d-0"))
    assert again["problem"]["type"] == "/problems/nothing-to-withdraw"
    contact = scene.event("contact", level="close", at=scene.ago(days=1))
    assert (scene.outcomes(contact), scene.colour(person)) == (["applied"], "red")


def test_a_report_that_an_earlier_edition_let_a_person_displace_returns_when_it_is_sent_again(
    client: TestClient[Litestar], scene: Scene, person: Headers
) -> None:
    contact = scene.event("contact", level="close", at=scene.ago(days=1))
    scene.report(contact)
    city = client.app.state.city
    [record] = stored(client, HealthRecord)

    def displace(record: HealthRecord) -> HealthRecord:
        return replace(record, reports=(), facts=derive_facts(None, ()))

    client.blocking_portal.call(update_record, city, record.id, city.now(), displace)
    assert scene.colour(person) == "green"
    assert (scene.outcomes(contact), scene.colour(person)) == (["repeated"], "red")


def test_a_laboratory_does_not_replace_the_sample_of_another(
    client: TestClient[Litestar], scene: Scene, person: Headers
) -> None:
    midnight = "2022-04-20T00:00:00+08:00"
    for laboratory in ("lab-a", "lab-b"):
        assign_source(client, scene.officer, laboratory, "laboratory", sample_ids=False)

    def sample(laboratory: str, event_id: str, result: str, **more: str) -> dict[str, Any]:
        details = {"test": "pcr", "result": result, "sampled_at": midnight, **more}
        return scene.event("test", event_id, **details) | {"source": laboratory}

    positive, negative = sample("lab-a", "p1", "positive"), sample("lab-b", "n1", "negative")
    for first, second in ((positive, negative), (negative, positive)):
        scene.report(first, second)
        assert scene.code(person)["rule"] == "positive-pcr"
        withdrawals = [scene.event("withdrawal", of=one["id"]) | {"source": one["source"]} for one in (first, second)]
        assert scene.outcomes(*withdrawals) == ["applied", "applied"]
        for one in (positive, negative):
            one["id"] += "-again"
    scene.report(sample("lab-a", "s1", "positive", sample_id="1"), sample("lab-a", "s2", "negative", sample_id="2"))
    assert scene.colour(person) == "red", "two samples of one laboratory"
    scene.report(sample("lab-a", "s3", "negative", sample_id="1"))
    assert scene.colour(person) == "green", "the laboratory corrected its own sample"


# ── Whatever the sequence ──

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
past = some.integers(0, 20 * 24).map(lambda hours: NOON - timedelta(hours=hours))

contacts = some.builds(ContactReported, some.sampled_from(["close", "secondary", "nearby"]), past)
stays = some.builds(StayReported, some.sampled_from(["high", "medium", "low"]), past, some.none() | some.just(NOON))
entries = some.builds(EntryReported, some.sampled_from(["IT", "US", "GB"]), past)

by_officers_only = some.one_of(
    some.builds(CaseReported, some.sampled_from(["confirmed", "suspected", "asymptomatic"]), past),
    some.builds(CaseEnded, past),
    some.builds(SampleTested, some.sampled_from(["pcr", "antigen"]), some.sampled_from(["positive", "negative"]), past),
    some.builds(IsolationOrdered, some.sampled_from(["central", "home", "observation"]), past),
    some.builds(IsolationEnded, past),
    some.builds(MassTestMissed, past),
    some.builds(FalseStatementFound, past),
)
by_the_person_only = some.one_of(
    some.builds(HealthDeclared, past, some.sampled_from([(), ("fever",), ("cough",)])),
    past.map(lambda at: CheckedIn(at, at.replace(hour=16))),
)
official = some.one_of(contacts, stays, entries, by_officers_only)
own = some.one_of(contacts, stays, entries, by_the_person_only)
LONG_AGO = NOON - timedelta(days=300)
harmless = some.sampled_from(
    [ContactReported("close", LONG_AGO), StayReported("high", LONG_AGO, LONG_AGO), EntryReported("IT", LONG_AGO)]
)
requests_of_all = some.lists(
    some.one_of(
        official.map(lambda event: [Report(event, "official")]),
        own.map(lambda event: [Report(event)]),
        some.one_of(harmless, own).map(lambda event: [Report(event)] * 250),
    ),
    min_size=2,
    max_size=8,
)


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(ROOT / "rules", facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai"))


@given(requests_of_all, some.integers(0, 7).map(lambda days: NOON + timedelta(days=days)))
@example(
    [
        [Report(ContactReported("close", NOON - timedelta(days=1)), "official")],
        [Report(ContactReported("nearby", NOON - timedelta(days=300)))] * 250,
    ],
    NOON,
)
@settings(max_examples=draws(200, 5_000))
def test_no_sequence_of_own_reports_is_milder_than_the_official_ones_and_the_check_ins(
    rulebook: Rulebook, requests: Sequence[Sequence[Report]], at: datetime
) -> None:
    record = new_record("p", "c", None, rulebook, NOON)
    allowed: list[Report] = []
    for number, request in enumerate(requests):
        numbered = [replace(report, key=f"key-{number}") if report.key else report for report in request]
        record = apply_reports(record, numbered, rulebook, NOON)
        allowed += [one for one in numbered if one.key is not None or isinstance(one.event, CheckedIn)]
    mildest = rulebook.evaluate(COLOUR, derive_facts(None, allowed), at).result
    assert COLOURS.index(rulebook.evaluate(COLOUR, record.facts, at).result) >= COLOURS.index(mildest)
