"""Claims are paid out in instalments, each once, whatever the bank and the social insurance do."""

from typing import Any

import httpx
import pytest

from backend.benefits.ports import PayoutBank
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.ports import SocialInsurance
from integrations._sandbox.database import CallOutcome
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import CARD, DOCTOR, LEADER, OTHER_CARD, Scene

YUAN = 100


# ── instalments ──


def test_instalments_are_paid_when_their_months_of_insurance_are_reached_and_not_before(scene: Scene) -> None:
    graduate = scene.talent(DOCTOR)
    claim = scene.claimed(graduate, "graduate_allowance")
    assert (claim["stage"], claim["paid_fen"]) == ("granted", 0)
    assert scene.budget("graduate_allowance") == (100_000, 0, 0, 1)
    insurance = scene.port(SocialInsurance)
    for months, paid_yuan, stage in [(5, 0, "granted"), (6, 50_000, "partly_paid"), (11, 50_000, "partly_paid")]:
        insurance.set_months(graduate.id_number, months)
        scene.time_passes(days=1)
        shown = scene.claim(graduate, claim)
        assert (shown["paid_fen"], shown["stage"]) == (paid_yuan * YUAN, stage)
    insurance.set_months(graduate.id_number, 12)
    scene.time_passes(days=1)
    assert scene.claim(graduate, claim)["stage"] == "paid"
    assert scene.payouts() == [(CARD, 50_000)] * 2
    assert scene.budget("graduate_allowance") == (0, 100_000, 0, 1)


def test_all_instalments_are_paid_at_once_if_the_months_are_already_reached(scene: Scene) -> None:
    claim = scene.claimed(scene.talent(DOCTOR, months=12), "graduate_allowance")
    assert (claim["stage"], claim["paid_fen"]) == ("paid", 100_000 * YUAN)
    assert len(scene.payouts()) == 2


def test_months_are_queried_once_a_day_and_again_if_the_insurance_does_not_answer(scene: Scene) -> None:
    graduate = scene.talent(DOCTOR)
    claim = scene.claimed(graduate, "graduate_allowance")
    insurance = scene.port(SocialInsurance)
    insurance.set_months(graduate.id_number, 6)
    scene.time_passes(hours=23)
    assert scene.claim(graduate, claim)["paid_fen"] == 0
    insurance.database.inject_faults("insured_months", {"lost_before": 500, "wrong": 500})
    scene.time_passes(hours=2)
    scene.time_passes(hours=1)
    assert scene.claim(graduate, claim)["paid_fen"] == 0
    insurance.database.clear_faults()
    scene.time_passes(hours=1)
    assert scene.claim(graduate, claim)["paid_fen"] == 50_000 * YUAN


def test_losing_the_class_cancels_open_instalments_for_a_home_and_frees_their_budget(scene: Scene) -> None:
    leader = scene.talent(LEADER)
    claim = scene.claimed(leader, "home_purchase")
    assert scene.budget("home_purchase") == (500_000, 500_000, 0, 1)
    scene.loses_class(leader)
    shown = scene.claim(leader, claim)
    assert [instalment["state"] for instalment in shown["instalments"]] == ["paid", "cancelled"]
    assert scene.budget("home_purchase") == (0, 500_000, 0, 1)
    scene.port(SocialInsurance).set_months(leader.id_number, 12)
    scene.time_passes(days=2)
    assert len(scene.payouts()) == 1


def test_the_graduate_allowance_continues_without_a_class(scene: Scene) -> None:
    doctor = scene.talent(LEADER)
    scene.has(doctor, LEADER, DOCTOR)
    scene.declares(doctor, DOCTOR)
    claim = scene.claimed(doctor, "graduate_allowance")
    scene.loses_class(doctor)
    scene.port(SocialInsurance).set_months(doctor.id_number, 6)
    scene.time_passes(days=1)
    shown = scene.claim(doctor, claim)
    assert (shown["stage"], shown["paid_fen"]) == ("partly_paid", 50_000 * YUAN)


# ── the bank ──


def test_a_claim_whose_payout_fails_can_be_claimed_again(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.close_account(CARD)
    failed = scene.claimed(doctor, "monthly_rent")
    assert (failed["stage"], failed["instalments"][0]["state"]) == ("failed", "cancelled")
    assert scene.budget("monthly_rent") == (0, 0, 0, 0)
    assert {"monthly_rent", "home_purchase"} <= {one["benefit"] for one in scene.benefits(doctor)["available"]}
    scene.registers_account(doctor, OTHER_CARD, phone=doctor.phone)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    assert scene.payouts() == [(OTHER_CARD, 2_500)]
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)


@pytest.mark.parametrize("outcome", ["lost_before", "lost_after", "pending"])
def test_a_claim_is_in_progress_while_the_bank_does_not_answer_and_is_then_paid_once(
    scene: Scene, outcome: CallOutcome
) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", outcome)
    claim = scene.claimed(doctor, "monthly_rent")
    assert (claim["stage"], claim["paid_fen"]) == ("paying", 0)
    assert claim["message"]["en"] == "The bank is processing your payment; please do not claim again."
    problem(scene.claims(doctor, "monthly_rent"), 409, "already-claimed")
    assert scene.budget("monthly_rent") == (2_500, 0, 0, 1)
    scene.time_passes(seconds=19)
    assert scene.claim(doctor, claim)["stage"] == "paying"
    scene.time_passes(seconds=1)
    scene.time_passes(seconds=10)  # a pending payout is decided at the second look-up
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert len(scene.payouts()) == 1
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)


def test_look_ups_are_repeated_until_the_bank_answers(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", "lost_after")
    bank.database.inject_faults("look_up", {"lost_before": 1_000})
    claim = scene.claimed(doctor, "monthly_rent")
    for _ in range(5):
        scene.time_passes(minutes=10)
        assert scene.claim(doctor, claim)["stage"] == "paying"
    bank.database.clear_faults()
    scene.time_passes(hours=1)
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert len(scene.payouts()) == 1


def bank_notifies(scene: Scene, claim: dict[str, Any], signature: str | None = None) -> httpx.Response:
    """Have the bank notify the city of the outcome of a claim's first payout."""
    body, signed = scene.port(PayoutBank).notice(f"{claim['id']}/payout/1/1")
    sent = signed if signature is None else signature
    headers = {b"Bank-Signature": sent.encode(), b"Content-Type": b"application/json"}
    return scene.client.post("/v1/payout-notices", content=body, headers=headers)


def test_a_late_and_repeated_notice_of_the_bank_is_applied_once(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    for _ in range(2):
        assert bank_notifies(scene, claim).status_code == 202
        shown = scene.claim(doctor, claim)
        assert (shown["stage"], shown["paid_fen"]) == ("paid", 2_500 * YUAN)
    scene.time_passes(minutes=1)
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)


def test_a_late_failure_fails_the_claim(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    bank.close_account(CARD)
    assert bank_notifies(scene, claim).status_code == 202
    scene.time_passes(seconds=10)
    assert scene.claim(doctor, claim)["stage"] == "failed"
    assert scene.budget("monthly_rent") == (0, 0, 0, 0)


@pytest.mark.parametrize("signature", ["", "0" * 64, "银行"])
def test_a_forged_notice_changes_nothing(scene: Scene, signature: str) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    problem(bank_notifies(scene, claim, signature), 403, "not-allowed")
    assert scene.claim(doctor, claim)["stage"] == "paying"


def test_a_notice_that_repeats_a_key_changes_nothing(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    body, _ = bank.notice(f"{claim['id']}/payout/1/1")
    body = body.replace(b'"outcome":', b'"outcome":"failed","outcome":')
    headers = {"Bank-Signature": bank.sign(body)}
    (error,) = problem(scene.client.post("/v1/payout-notices", content=body, headers=headers), 400, "invalid-request")[
        "errors"
    ]
    assert error["pointer"] == "/answer/outcome"
    assert scene.claim(doctor, claim)["stage"] == "paying"


def test_a_notice_of_an_unknown_payout_changes_nothing(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = scene.claimed(doctor, "monthly_rent")
    assert bank_notifies(scene, {"id": "0" * 24}).status_code == 202
    assert scene.claim(doctor, claim) == claim


def test_a_later_instalment_is_retried_daily_while_the_account_is_closed(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR, months=6), scene.port(PayoutBank)
    claim = scene.claimed(doctor, "graduate_allowance")
    bank.close_account(CARD)
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=1)
    assert scene.claim(doctor, claim)["stage"] == "partly_paid"
    bank.reopen_account(CARD)
    scene.time_passes(hours=23)
    assert len(scene.payouts()) == 1
    scene.time_passes(hours=1)
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert scene.budget("graduate_allowance") == (0, 100_000, 0, 1)


def test_a_failed_instalment_is_paid_as_soon_as_another_account_is_registered(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR, months=6), scene.port(PayoutBank)
    claim = scene.claimed(doctor, "graduate_allowance")
    bank.close_account(CARD)
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=1)
    scene.registers_account(doctor, CARD)  # the same account does not cause another attempt
    scene.time_passes(seconds=30)
    assert [instalment.attempts for instalment in stored(scene.client, Claim)[0].instalments] == [0, 1]
    scene.registers_account(doctor, OTHER_CARD, phone=doctor.phone)
    scene.time_passes(seconds=5)
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert scene.payouts() == [(CARD, 50_000), (OTHER_CARD, 50_000)]


def test_after_five_days_of_failed_payouts_the_rest_returns_to_the_budget(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR, months=6)
    claim = scene.claimed(doctor, "graduate_allowance")
    scene.port(PayoutBank).close_account(CARD)
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    for day in range(5):
        assert scene.budget("graduate_allowance") == (50_000, 50_000, 0, 1), day
        scene.time_passes(days=1)
    assert [instalment["state"] for instalment in scene.claim(doctor, claim)["instalments"]] == ["paid", "cancelled"]
    assert scene.budget("graduate_allowance") == (0, 50_000, 0, 1)
