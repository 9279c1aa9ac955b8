"""A citizen may appeal against a clawback, and repays it with one tap or by collection."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backend.benefits.ports import PayoutBank
from backend.services.talent_code.ports import PropertyRegister, SocialInsurance
from integrations._sandbox.database import CallOutcome
from tests.accounts import move_person
from tests.conftest import SignIn
from tests.services.health_code.scene import SignedInPerson, problem
from tests.services.talent_code.clawbacks import (
    REASON,
    YUAN,
    appeals,
    clawed_back,
    decides,
    repays,
    sent_notices,
    stored_claim,
)
from tests.services.talent_code.sample_rules import write_rules
from tests.services.talent_code.scene import CARD, DOCTOR, NOON, Scene

# ── appeals ──


def test_an_appeal_within_its_period_delays_the_collection(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = clawed_back(scene, doctor)
    scene.clock.now = NOON + timedelta(days=45) - timedelta(seconds=1)
    for _ in range(2):
        answer = appeals(scene, doctor, claim)
        assert (answer.status_code, answer.json()["clawback"]["appeal"]) == (200, "pending")
    problem(appeals(scene, doctor, claim, "And another thing"), 409, "nothing-to-appeal")
    problem(repays(scene, doctor, claim, 100_000), 409, "nothing-to-repay")
    scene.time_passes(days=60)
    assert scene.claim(doctor, claim)["clawback"]["owed_fen"] == 100_000 * YUAN
    assert scene.budget("home_purchase") == (100_000, 100_000, 0, 1)


def test_no_appeal_is_possible_after_its_period_or_without_a_clawback(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    other = scene.claimed(doctor, "graduate_allowance")
    problem(appeals(scene, doctor, other), 409, "nothing-to-appeal")
    claim = clawed_back(scene, doctor)
    scene.clock.now = NOON + timedelta(days=45)
    problem(appeals(scene, doctor, claim), 409, "nothing-to-appeal")


def test_an_officer_reads_an_appeal_visibly_to_the_citizen_and_drops_the_clawback(scene: Scene) -> None:
    doctor, officer = scene.talent(DOCTOR), scene.officer()
    claim = clawed_back(scene, doctor)
    problem(scene.client.get(f"/v1/talent-appeals/{claim['id']}", headers=officer), 404, "not-found")
    appeals(scene, doctor, claim)
    listed = scene.client.get("/v1/talent-appeals", headers=officer).json()["appeals"]
    assert [(one["claim"], one["amount_fen"]) for one in listed] == [(claim["id"], 100_000 * YUAN)]
    assert scene.claim(doctor, claim)["read_by_officers"] == []
    scene.time_passes(hours=1)
    shown = scene.client.get(f"/v1/talent-appeals/{claim['id']}", headers=officer).json()
    assert (shown["text"], shown["claim"]["clawback"]["differing_facts"]) == ("I sold it", ["homes"])
    assert scene.claim(doctor, claim)["read_by_officers"] == ["2026-04-01T05:00:00Z"]
    for _ in range(2):
        answer = decides(scene, officer, claim, "drop")
        assert answer.status_code == 200
    problem(decides(scene, officer, claim, "uphold"), 409, "nothing-to-appeal")
    clawback = scene.claim(doctor, claim)["clawback"]
    assert (clawback["appeal"], clawback["owed_fen"], clawback["decision"]) == ("granted", 0, REASON)
    assert scene.client.get("/v1/talent-appeals", headers=officer).json()["appeals"] == []
    assert sent_notices(scene, claim)[-1] == "appeal_granted"
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=90)
    assert scene.budget("home_purchase") == (0, 200_000, 0, 1)  # the other half is paid as well


def test_after_a_rejected_appeal_there_are_thirty_days_to_repay(scene: Scene) -> None:
    doctor, officer = scene.talent(DOCTOR), scene.officer()
    claim = clawed_back(scene, doctor)
    appeals(scene, doctor, claim)
    scene.clock.now = NOON + timedelta(days=100)
    assert decides(scene, officer, claim, "uphold").status_code == 200
    clawback = scene.claim(doctor, claim)["clawback"]
    assert (clawback["appeal"], clawback["owed_fen"], clawback["decision"]) == ("rejected", 100_000 * YUAN, REASON)
    assert datetime.fromisoformat(clawback["collect_at"]) == NOON + timedelta(days=130)
    scene.time_passes(days=29, hours=23)
    assert scene.budget("home_purchase") == (0, 100_000, 0, 1)
    scene.time_passes(hours=1)
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)


def test_an_appeal_is_decided_only_by_another_person_who_is_an_officer_and_gives_a_reason(
    scene: Scene, sign_in: SignIn
) -> None:
    doctor = scene.talent(DOCTOR)
    claim = clawed_back(scene, doctor)
    appeals(scene, doctor, claim)
    problem(decides(scene, doctor, claim, "drop"), 403, "not-allowed")
    problem(scene.client.get("/v1/talent-appeals", headers=doctor), 403, "not-allowed")
    del sign_in.refresh_tokens["13800000101"]  # it expired a month ago
    as_officer = SignedInPerson(scene.client.app, sign_in("13800000101", roles=["talent_officer"]))
    problem(decides(scene, as_officer, claim, "drop"), 403, "own-appeal")
    another_account = scene.officer("13800000904")
    scene.call(move_person, scene.city, doctor.id, "13800000904")
    problem(decides(scene, another_account, claim, "drop"), 403, "own-appeal")
    scene.call(move_person, scene.city, doctor.id, "13800000101")
    at, officer = f"/v1/talent-appeals/{claim['id']}", scene.officer()
    for reason in ({"zh": "", "en": "x"}, {"zh": "x"}):
        answer = scene.client.put(at, json={"decision": "drop", "reason": reason}, headers=officer)
        assert answer.status_code == 400
    assert scene.claim(doctor, claim)["clawback"]["appeal"] == "pending"


# ── repayment ──


def test_the_debt_is_collected_after_its_deadline_and_retried_daily(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    bank.close_account(CARD)
    scene.clock.now = NOON + timedelta(days=75) - timedelta(seconds=1)
    scene.time_passes()
    assert stored_claim(scene, claim).clawback.collections == ()
    scene.time_passes(seconds=1)
    for attempts in (1, 2):
        assert [one.state for one in stored_claim(scene, claim).clawback.collections] == ["failed"] * attempts
        scene.time_passes(hours=23)
        assert len(stored_claim(scene, claim).clawback.collections) == attempts
        if attempts == 2:
            bank.reopen_account(CARD)
        scene.time_passes(hours=1)
    shown = scene.claim(doctor, claim)
    assert (shown["clawback"]["owed_fen"], shown["returned_fen"]) == (0, 100_000 * YUAN)
    assert [one.kind for one in bank.entries()] == ["payout", "collection"]
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)
    assert sent_notices(scene, claim)[-1] == "repayment_received"


def test_a_citizen_repays_once_with_one_tap(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    assert problem(repays(scene, doctor, claim, 99_999, "other"), 409, "nothing-to-repay")["owed_fen"] == 100_000 * YUAN
    answers = [repays(scene, doctor, claim, 100_000) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["clawback"]["owed_fen"], answers[0].json()["returned_fen"]) == (0, 100_000 * YUAN)
    problem(repays(scene, doctor, claim, 100_000, "once-more"), 409, "nothing-to-repay")
    problem(appeals(scene, doctor, claim), 409, "nothing-to-appeal")
    assert [one.kind for one in bank.entries()] == ["payout", "collection"]
    scene.time_passes(days=90)
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)


def test_after_a_failed_repayment_the_debt_and_the_right_to_appeal_remain(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    bank.database.script_outcomes("collect", "refused")
    for _ in range(2):
        problem(repays(scene, doctor, claim, 100_000), 402, "repayment-failed")
    assert scene.claim(doctor, claim)["clawback"]["owed_fen"] == 100_000 * YUAN
    assert appeals(scene, doctor, claim).status_code == 200


@pytest.mark.parametrize("outcome", ["lost_before", "lost_after", "pending"])
def test_nothing_is_repaid_twice_while_the_bank_does_not_answer(scene: Scene, outcome: CallOutcome) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    bank.database.script_outcomes("collect", outcome)
    answer = repays(scene, doctor, claim, 100_000)
    assert (answer.status_code, answer.json()["clawback"]["owed_fen"]) == (201, 100_000 * YUAN)
    problem(repays(scene, doctor, claim, 100_000, "once-more"), 409, "repayment-in-progress")
    scene.time_passes(seconds=20)
    scene.time_passes(seconds=10)
    assert scene.claim(doctor, claim)["clawback"]["owed_fen"] == 0
    assert [one.kind for one in bank.entries()] == ["payout", "collection"]
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)


def test_after_the_appeal_period_a_debtor_can_claim_nothing_new(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = clawed_back(scene, doctor)
    assert scene.claimed(doctor, "monthly_rent", homes=0)["stage"] == "paid"
    scene.clock.now = NOON + timedelta(days=45)
    refusal = problem(scene.claims(doctor, "graduate_allowance"), 409, "repayment-outstanding")
    assert refusal["owed_fen"] == 100_000 * YUAN
    assert repays(scene, doctor, claim, 100_000).status_code == 201
    assert scene.claimed(doctor, "graduate_allowance")["stage"] == "granted"


def test_repaid_money_is_paid_to_the_waiting_list(scene: Scene, tmp_path: Path) -> None:
    scene.rules_change(write_rules(tmp_path / "rules", 50 * YUAN))
    owner, other = scene.talent(DOCTOR), scene.talent(DOCTOR, "13800000102")
    claim, waiting = scene.claimed(owner, "plain"), scene.claimed(other, "plain")
    assert waiting["stage"] == "waiting"
    scene.port(PropertyRegister).set_homes(owner.id_number, 1)
    scene.time_passes(days=3)
    assert repays(scene, owner, claim, 50).status_code == 201
    scene.call(scene.wait_for_jobs)
    assert scene.claim(other, waiting)["stage"] == "paid"
    assert scene.budget("plain") == (0, 100, 50, 2)
