"""People declare evidence, and registries confirm or refute it, or fail to answer."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from backend.city import upstream
from backend.services.talent_code.facts import Pay, Post, Title
from backend.services.talent_code.model.evidence import Qualification
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.ports import Education, SocialInsurance
from integrations._sandbox.database import CallOutcome
from tests.conftest import SignIn
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import DOCTOR, LEADER, PAID_WELL, STATE_SECOND, Citizen, Scene

HEAD = Post("key_firm_head", datetime(2023, 12, 31, 16, tzinfo=UTC))


@pytest.fixture
def wang(scene: Scene) -> Citizen:
    """Wang Fang, a doctor and municipal leader who earned 900,000 yuan last year."""
    return qualified_citizen(scene, "13800000101")


def qualified_citizen(scene: Scene, phone: str) -> Citizen:
    person = scene.citizen(phone)
    scene.has(person, DOCTOR, LEADER, STATE_SECOND, HEAD)
    scene.earns(person, 90_000_000, 0)
    return person


def newest(answer: httpx.Response) -> dict[str, Any]:
    """Return the newest evidence in a response."""
    return answer.json()["evidence"][-1]


def states(scene: Scene, person: Citizen) -> list[str]:
    return [one["state"] for one in scene.shown(person)["evidence"]]


# ── answers of the registries ──


def test_true_evidence_is_confirmed_at_once(scene: Scene, wang: Citizen) -> None:
    for qualification in (DOCTOR, LEADER, STATE_SECOND, HEAD, PAID_WELL, Pay(2025, 89_999_999)):
        answer = scene.declares(wang, qualification)
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        evidence = newest(answer)
        assert msgspec.convert(evidence.pop("qualification"), Qualification) == qualification
        assert len(evidence.pop("id")) == 20
        at = "2026-03-02T04:00:00Z"
        assert evidence == {"state": "confirmed", "declared_at": at, "answered_at": at}
        assert scene.shown(wang) == answer.json()


def test_false_evidence_is_refuted_and_gives_no_class(scene: Scene, wang: Citizen) -> None:
    no_such_title = Title("academician", LEADER.granted_at)
    another_day = replace(DOCTOR, awarded_at=DOCTOR.awarded_at - timedelta(milliseconds=1))
    another_school = replace(DOCTOR, school="world_100")
    ended = replace(HEAD, until=datetime(2024, 12, 31, 16, tzinfo=UTC))
    more_than_was_earned = Pay(2025, 90_000_001)
    for qualification in (no_such_title, another_day, another_school, ended, more_than_was_earned):
        answer = scene.declares(wang, qualification)
        assert newest(answer)["state"] == "refuted"
        assert (answer.json()["talent_class"], answer.json()["class_if_confirmed"]) == ("none", "none")


def test_a_registry_that_fails_or_gives_an_invalid_answer_is_asked_again(scene: Scene) -> None:
    calls: dict[str, Qualification] = {
        "confirm_degree": DOCTOR,
        "confirm_merit": LEADER,
        "tax_year": Pay(2024, 90_000_000),
    }
    outcomes: tuple[CallOutcome, ...] = ("pending", "refused", "wrong", "lost_before", "lost_after")
    for place, outcome in enumerate(outcomes):
        person = qualified_citizen(scene, f"1380000010{place}")
        scene.earns(person, 90_000_000, 0, 2024)
        scene.shown(person)  # fetches last year's income now, so that later requests are those for evidence
        for call, qualification in calls.items():
            scene.port(Education).database.script_outcomes(call, outcome)
            evidence = newest(scene.declares(person, qualification))
            assert (evidence["state"], evidence["answered_at"]) == ("declared", None)
            scene.time_passes(seconds=9.999)
            assert states(scene, person)[-1] == "declared"
            scene.time_passes(seconds=0.001)
            assert states(scene, person)[-1] == "confirmed"


def test_an_impossible_figure_is_not_accepted_as_an_answer(scene: Scene, wang: Citizen) -> None:
    for income_fen, declared_fen in ((-1, 1), (10**13 + 1, 2)):
        scene.earns(wang, income_fen, 0)
        assert newest(scene.declares(wang, Pay(2025, declared_fen)))["state"] == "declared"
    scene.earns(wang, 90_000_000, 0)
    for months in (-1, 1_201):
        scene.port(SocialInsurance).set_months(wang.id_number, months)
        scene.shown(wang)
    [talent] = stored(scene.client, Talent)
    assert talent.figures is None


# ── a registry that never answers ──


def inject_fault(scene: Scene, outcome: CallOutcome, *calls: str) -> None:
    for call in calls:
        scene.port(Education).database.inject_faults(call, {outcome: 1_000})


REGISTRIES = ("confirm_degree", "confirm_merit", "tax_year", "insured_months")


def test_a_request_waits_once_for_registries_that_do_not_answer_however_much_was_declared(
    scene: Scene, wang: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "UPSTREAM_TIMEOUT_SECONDS", 0.5)
    inject_fault(scene, "lost_before", *REGISTRIES)
    for qualification in (DOCTOR, LEADER, STATE_SECOND, HEAD, PAID_WELL, Pay(2024, 1), Pay(2023, 1)):
        scene.declares(wang, qualification)
    scene.clock.now += timedelta(minutes=1)
    inject_fault(scene, "hang", *REGISTRIES)
    began = time.monotonic()
    scene.declares(wang, Pay(2022, 1))
    assert 0.5 <= time.monotonic() - began < 2
    assert states(scene, wang) == ["declared"] * 8


def test_a_registry_is_asked_with_growing_pauses_for_thirty_days_and_then_the_person_is_notified(
    scene: Scene, wang: Citizen, sent_notices: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "UPSTREAM_TIMEOUT_SECONDS", 0.05)
    inject_fault(scene, "hang", "confirm_degree")
    scene.declares(wang, DOCTOR)
    pauses: list[float] = []
    for _ in range(14):
        [talent] = stored(scene.client, Talent)
        pauses.append(talent.due_ms / 1_000 - scene.clock.now.timestamp())
        scene.time_passes(seconds=pauses[-1])
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 21_600, 21_600]
    scene.clock.now = datetime(2026, 4, 1, 3, 59, tzinfo=UTC)
    scene.time_passes()
    assert (states(scene, wang), sent_notices()) == (["declared"], [])
    scene.time_passes(hours=6)
    assert (states(scene, wang), sent_notices()) == (["unconfirmed"], ["unconfirmed"])
    scene.port(Education).database.clear_faults()
    scene.time_passes(days=30)
    assert (states(scene, wang), sent_notices()) == (["unconfirmed"], ["unconfirmed"])
    assert newest(scene.declares(wang, DOCTOR))["state"] == "confirmed", "it may be declared again"
    assert states(scene, wang) == ["confirmed"]


# ── repeated declarations and withdrawals ──


def test_evidence_is_not_declared_twice_while_it_is_valid_or_being_checked(scene: Scene, wang: Citizen) -> None:
    scene.port(Education).database.script_outcomes("confirm_degree", "pending")
    scene.declares(wang, DOCTOR)
    in_the_city = replace(DOCTOR, awarded_at=DOCTOR.awarded_at.astimezone(ZoneInfo("Asia/Shanghai")))
    for known in ("declared", "confirmed"):
        for qualification in (DOCTOR, in_the_city):
            assert problem(scene.declares(wang, qualification), 409, "evidence-on-record")["state"] == known
        scene.time_passes(seconds=10)


def test_refuted_evidence_may_be_declared_again_after_the_registry_was_corrected(scene: Scene, wang: Citizen) -> None:
    scene.has(wang)
    assert newest(scene.declares(wang, DOCTOR))["state"] == "refuted"
    scene.has(wang, DOCTOR)
    assert scene.declares(wang, DOCTOR).json()["talent_class"] == "e"
    assert states(scene, wang) == ["confirmed"]


def withdraw(scene: Scene, person: Citizen, evidence: dict[str, Any]) -> httpx.Response:
    return scene.client.delete(f"/v1/me/talent/evidence/{evidence['id']}", headers=person)


def test_evidence_that_was_never_confirmed_can_be_withdrawn_even_while_an_answer_is_pending(
    scene: Scene, wang: Citizen
) -> None:
    scene.port(Education).database.script_outcomes("confirm_degree", "pending")
    declared = newest(scene.declares(wang, DOCTOR))
    refuted = newest(scene.declares(wang, Pay(2025, 90_000_001)))
    for evidence in (declared, refuted):
        assert withdraw(scene, wang, evidence).status_code == 204
        problem(withdraw(scene, wang, evidence), 404, "not-found")
    scene.time_passes(days=1)
    assert (scene.shown(wang)["evidence"], scene.shown(wang)["talent_class"]) == ([], "none")


def test_confirmed_evidence_stays_on_record(scene: Scene, wang: Citizen) -> None:
    evidence = newest(scene.declares(wang, DOCTOR))
    assert problem(withdraw(scene, wang, evidence), 409, "evidence-on-record")["state"] == "confirmed"
    scene.has(wang)
    scene.reviewed(wang)
    assert problem(withdraw(scene, wang, evidence), 409, "evidence-on-record")["state"] == "refuted"
    scene.port(Education).database.script_outcomes("confirm_degree", "pending")
    assert newest(scene.declares(wang, DOCTOR))["state"] == "declared"
    assert problem(withdraw(scene, wang, evidence), 409, "evidence-on-record")["state"] == "declared"


def test_nobody_sees_or_withdraws_another_persons_evidence(scene: Scene, wang: Citizen) -> None:
    scene.has(wang)
    evidence = newest(scene.declares(wang, DOCTOR))
    other = qualified_citizen(scene, "13800000102")
    assert scene.shown(other)["evidence"] == []
    problem(withdraw(scene, other, evidence), 404, "not-found")
    same = newest(scene.declares(other, DOCTOR))
    assert (same["state"], same["id"] == evidence["id"]) == ("confirmed", False)
    assert states(scene, wang) == ["refuted"]


# ── invalid declarations ──


def test_a_person_may_have_at_most_fifty_pieces_of_evidence(scene: Scene, wang: Citizen) -> None:
    for more_fen in range(1, 51):
        assert newest(scene.declares(wang, Pay(2025, 90_000_000 + more_fen)))["state"] == "refuted"
    problem(scene.declares(wang, DOCTOR), 409, "evidence-limit-reached")
    assert scene.declares(wang, Pay(2025, 90_000_001)).status_code == 201, "a repeated declaration does not add a piece"
    withdraw(scene, wang, scene.shown(wang)["evidence"][0])
    assert newest(scene.declares(wang, DOCTOR))["state"] == "confirmed"


def test_evidence_from_the_future_is_refused(scene: Scene, wang: Citizen) -> None:
    in_a_moment = scene.clock.now + timedelta(milliseconds=1)
    for qualification in (Title("professor", in_a_moment), Post("key_firm_head", in_a_moment), Pay(2026, 1)):
        assert (
            problem(scene.declares(wang, qualification), 409, "evidence-in-future")["errors"][0]["pointer"]
            == "/qualification"
        )
    assert states(scene, wang) == []
    scene.clock.now = datetime(2026, 12, 31, 15, 59, 59, 999_000, tzinfo=UTC)
    problem(scene.declares(wang, Pay(2026, 1)), 409, "evidence-in-future")
    scene.clock.now += timedelta(milliseconds=1)
    assert scene.declares(wang, Pay(2026, 1)).status_code == 201, "it is midnight in the city"


def test_an_invalid_declaration_is_refused_with_a_pointer_to_the_fault(scene: Scene, wang: Citizen) -> None:
    professor = {"type": "title", "title": "professor", "granted_at": "2024-01-01T00:00:00Z"}
    pay = {"type": "pay", "year": 2024, "income_fen": 1}
    wrong: list[tuple[str, Any]] = [
        ("/qualification/granted_at", {**professor, "granted_at": "2024-01-01T00:00:00"}),
        ("/qualification/granted_at", {**professor, "granted_at": "2024-02-30T00:00:00Z"}),
        ("/qualification/title", {**professor, "title": "king"}),
        ("/qualification", {**professor, "state": "confirmed"}),
        ("/qualification", {"type": "title", "title": "professor"}),
        ("/qualification", {**professor, "type": "merit"}),
        ("/qualification/income_fen", {**pay, "income_fen": -1}),
        ("/qualification/income_fen", {**pay, "income_fen": 1.5}),
        ("/qualification/year", {**pay, "year": 1989}),
        ("/qualification", "a professor"),
        ("/qualification", None),
    ]
    for pointer, qualification in wrong:
        answer = scene.client.post("/v1/me/talent/evidence", json={"qualification": qualification}, headers=wang)
        assert problem(answer, 400, "invalid-request")["errors"][0]["pointer"].startswith(pointer), qualification
    answer = scene.client.post(
        "/v1/me/talent/evidence", json={"qualification": professor, "state": "confirmed"}, headers=wang
    )
    problem(answer, 400, "invalid-request")
    assert stored(scene.client, Talent) == []


def test_a_body_of_twenty_megabytes_is_refused_and_leaves_nothing_behind(scene: Scene, wang: Citizen) -> None:
    body = {"qualification": msgspec.to_builtins(DOCTOR), "scan": "x" * 20_000_000}
    problem(scene.client.post("/v1/me/talent/evidence", json=body, headers=wang), 413, "body-too-large")
    assert stored(scene.client, Talent) == []


def test_a_person_without_a_verified_identity_cannot_declare_evidence(scene: Scene, sign_in: SignIn) -> None:
    unproved = sign_in("13912345099")
    problem(scene.client.get("/v1/me/talent"), 401, "not-signed-in")
    problem(scene.client.get("/v1/me/talent", headers=unproved), 403, "step-up-required")
    body = {"qualification": msgspec.to_builtins(DOCTOR)}
    answer = scene.client.post("/v1/me/talent/evidence", json=body, headers=unproved)
    problem(answer, 403, "step-up-required")
    assert stored(scene.client, Talent) == []
