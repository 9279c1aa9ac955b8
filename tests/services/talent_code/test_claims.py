"""One tap pays, within seconds and once, whatever the bank and the registries do."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from msgspec.structs import replace

from backend.benefits.claim import PastClaim
from backend.benefits.offers import ClaimRestriction, Offers
from backend.benefits.ports import PayoutBank
from backend.benefits.problems import AlreadyClaimed
from backend.benefits.terms import Exclusion
from backend.city import upstream
from backend.city.service import City
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.facts import BenefitTerms, Pay
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.ports import SocialInsurance, Tax
from backend.web.idempotency import IdempotencyRecord
from integrations._sandbox.database import CallOutcome
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import CARD, DOCTOR, LEADER, OTHER_CARD, PROVINCIAL_LEADER, Scene

YUAN = 100


async def forget_answers(city: City) -> None:
    for answer in [one async for one in city.store.scan(IdempotencyRecord)]:
        await city.store.delete(answer)


# ── one tap ──


def test_one_tap_pays_at_once_and_gives_a_receipt(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = scene.claimed(doctor, "monthly_rent")
    assert (claim["stage"], claim["paid_fen"], claim["rule"]) == ("paid", 2_500 * YUAN, "class-e")
    assert claim["message"] == {"zh": "已发放2,500元。", "en": "2,500 yuan were paid."}
    (instalment,) = claim["instalments"]
    assert (instalment["state"], instalment["paid_at"]) == ("paid", "2026-03-02T04:00:00Z")
    assert [instalment["receipt"]] == [one.receipt for one in scene.port(PayoutBank).entries()]
    assert scene.payouts() == [(CARD, 2_500)]
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)
    assert scene.claim(doctor, claim) == claim


def test_the_same_tap_gives_the_same_answer_and_pays_once(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    first = scene.claims(doctor, "monthly_rent", key="tap")
    assert first.status_code == 201
    again = scene.claims(doctor, "monthly_rent", key="tap")
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(scene.payouts()) == 1


def test_a_tap_stands_for_one_claim(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claims(doctor, "monthly_rent", key="tap")
    problem(scene.claims(doctor, "graduate_allowance", key="tap"), 422, "idempotency-key-reused")
    problem(scene.claims(doctor, "monthly_rent", key="tap", homes=0), 422, "idempotency-key-reused")
    scene.clock.now += timedelta(days=3)
    scene.call(forget_answers, scene.city)  # the claim is not forgotten
    problem(scene.claims(doctor, "graduate_allowance", key="tap"), 422, "idempotency-key-reused")
    assert len(scene.payouts()) == 1


def test_without_a_key_nothing_is_claimed(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    answer = scene.client.post("/v1/me/claims", json={"benefit": "monthly_rent"}, headers=doctor)
    assert answer.status_code == 400
    assert stored(scene.client, Claim) == []


def test_the_keys_of_one_person_are_not_those_of_another(scene: Scene) -> None:
    for phone in ("13800000101", "13800000102"):
        assert scene.claims(scene.talent(DOCTOR, phone), "monthly_rent", key="tap").status_code == 201
    assert len(scene.payouts()) == 2


def test_a_refusal_is_the_answer_to_its_tap_and_another_tap_may_do_better(scene: Scene) -> None:
    doctor = scene.citizen()
    scene.has(doctor, DOCTOR)
    scene.declares(doctor, DOCTOR)
    for _ in range(2):
        problem(scene.claims(doctor, "monthly_rent", key="tap"), 409, "no-bank-account")
    scene.names_account(doctor)
    problem(scene.claims(doctor, "monthly_rent", key="tap"), 409, "no-bank-account")
    assert scene.claims(doctor, "monthly_rent", key="another").status_code == 201


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


def test_whoever_has_the_months_already_is_paid_all_of_it_at_once(scene: Scene) -> None:
    claim = scene.claimed(scene.talent(DOCTOR, months=12), "graduate_allowance")
    assert (claim["stage"], claim["paid_fen"]) == ("paid", 100_000 * YUAN)
    assert len(scene.payouts()) == 2


def test_months_are_asked_for_once_a_day_and_an_insurance_that_is_away_is_asked_again(scene: Scene) -> None:
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


def test_with_the_class_goes_what_is_still_to_come_of_a_home_and_the_budget_has_it_back(scene: Scene) -> None:
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


def test_the_allowance_of_graduates_goes_on_without_a_class(scene: Scene) -> None:
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


def test_what_the_bank_cannot_pay_has_failed_and_can_be_claimed_again(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.close_account(CARD)
    failed = scene.claimed(doctor, "monthly_rent")
    assert (failed["stage"], failed["instalments"][0]["state"]) == ("failed", "cancelled")
    assert scene.budget("monthly_rent") == (0, 0, 0, 0)
    assert {"monthly_rent", "home_purchase"} <= {one["benefit"] for one in scene.benefits(doctor)["available"]}
    scene.names_account(doctor, OTHER_CARD)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    assert scene.payouts() == [(OTHER_CARD, 2_500)]
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)


@pytest.mark.parametrize("outcome", ["lost_before", "lost_after", "pending"])
def test_while_the_bank_is_silent_it_is_being_paid_and_then_was_paid_once(scene: Scene, outcome: CallOutcome) -> None:
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
    scene.time_passes(seconds=10)  # what is pending is decided at the second look
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert len(scene.payouts()) == 1
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)


def test_a_bank_that_cannot_be_asked_either_is_asked_again_and_again(scene: Scene) -> None:
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


def tells(scene: Scene, claim: dict[str, Any], signature: str | None = None) -> httpx.Response:
    """Have the bank notify the city of the outcome of a claim's first payout."""
    body, signed = scene.port(PayoutBank).notice(f"{claim['id']}/payout/1/1")
    said = signed if signature is None else signature
    headers = {b"Bank-Signature": said.encode(), b"Content-Type": b"application/json"}
    return scene.client.post("/v1/payout-notices", content=body, headers=headers)


def test_the_bank_tells_late_and_twice_and_it_counts_once(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    for _ in range(2):
        assert tells(scene, claim).status_code == 202
        shown = scene.claim(doctor, claim)
        assert (shown["stage"], shown["paid_fen"]) == ("paid", 2_500 * YUAN)
    scene.time_passes(minutes=1)
    assert scene.budget("monthly_rent") == (0, 2_500, 0, 1)


def test_a_late_failure_fails_the_claim(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    bank.close_account(CARD)
    assert tells(scene, claim).status_code == 202
    scene.time_passes(seconds=10)
    assert scene.claim(doctor, claim)["stage"] == "failed"
    assert scene.budget("monthly_rent") == (0, 0, 0, 0)


@pytest.mark.parametrize("signature", ["", "0" * 64, "银行"])
def test_a_forged_notice_changes_nothing(scene: Scene, signature: str) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).database.script_outcomes("pay_out", "pending")
    claim = scene.claimed(doctor, "monthly_rent")
    problem(tells(scene, claim, signature), 403, "not-allowed")
    assert scene.claim(doctor, claim)["stage"] == "paying"


def test_a_notice_of_something_else_changes_nothing(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = scene.claimed(doctor, "monthly_rent")
    assert tells(scene, {"id": "0" * 24}).status_code == 202
    assert scene.claim(doctor, claim) == claim


def test_a_later_instalment_is_tried_daily_while_the_account_is_closed(scene: Scene) -> None:
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


def test_it_is_paid_to_another_account_as_soon_as_that_is_named(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR, months=6), scene.port(PayoutBank)
    claim = scene.claimed(doctor, "graduate_allowance")
    bank.close_account(CARD)
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=1)
    scene.names_account(doctor, CARD)  # the same again is no reason to try
    scene.time_passes(seconds=30)
    assert [instalment.attempts for instalment in stored(scene.client, Claim)[0].instalments] == [0, 1]
    scene.names_account(doctor, OTHER_CARD)
    scene.time_passes(seconds=5)
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert scene.payouts() == [(CARD, 50_000), (OTHER_CARD, 50_000)]


def test_after_five_days_of_trying_the_rest_goes_back_to_the_budget(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR, months=6)
    claim = scene.claimed(doctor, "graduate_allowance")
    scene.port(PayoutBank).close_account(CARD)
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    for day in range(5):
        assert scene.budget("graduate_allowance") == (50_000, 50_000, 0, 1), day
        scene.time_passes(days=1)
    assert [instalment["state"] for instalment in scene.claim(doctor, claim)["instalments"]] == ["paid", "cancelled"]
    assert scene.budget("graduate_allowance") == (0, 50_000, 0, 1)


# ── exclusions of a claim ──

DAY = timedelta(days=1)
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
OF_A_MONTH = BenefitTerms(subject="person", gives="money", budget_fen=1, times_at_most=3, cooldown=30 * DAY)
BESIDE_NO_RENT = replace(OF_A_MONTH, times_at_most=1, cooldown=0 * DAY, excludes=(Exclusion("rent", 10 * DAY),))


class SomeOffers(Offers[BenefitTerms]):
    """A home is not had within ten days of a rent, and a car never beside a home."""

    def title(self, benefit: str) -> Text:
        return Text(zh=benefit, en=benefit)

    def terms(self, benefit: str, at: datetime) -> BenefitTerms:  # noqa: ARG002  they never change
        return {
            "rent": OF_A_MONTH,
            "home": BESIDE_NO_RENT,
            "car": replace(OF_A_MONTH, excludes=(Exclusion("home"), Exclusion("rent", 2 * DAY))),
        }[benefit]


def barred(benefit: str, now: datetime, *past_claims: tuple[str, datetime]) -> ClaimRestriction | None:
    """Tell what bars a benefit."""
    claims = tuple(PastClaim(f"c{place}", name, at) for place, (name, at) in enumerate(past_claims))
    talent = Talent(id="p", code_id="c", born_at=NOON, past_claims=claims)
    nothing = Rulebook({}, {}, "", ZoneInfo("Asia/Shanghai"))
    return SomeOffers(nothing, BenefitTerms).restriction(talent, benefit, now)


def test_the_same_is_had_again_when_its_time_is_over_and_so_often_at_most() -> None:
    first, second, third = NOON, NOON + 30 * DAY, NOON + 60 * DAY
    assert barred("rent", NOON) is None
    early = barred("rent", second - timedelta(milliseconds=1), ("rent", first))
    assert early is not None
    assert (early.ends_at, early.limit_reached) == (second, False)
    assert barred("rent", second, ("rent", first)) is None
    limit_reached = barred("rent", NOON + 1_000 * DAY, ("rent", first), ("rent", second), ("rent", third))
    assert limit_reached is not None
    assert (limit_reached.ends_at, limit_reached.limit_reached) == (None, True)


@pytest.mark.parametrize(("first", "other"), [("rent", "home"), ("home", "rent")])
def test_what_excludes_another_is_excluded_by_it_for_the_same_time(first: str, other: str) -> None:
    during = barred(other, NOON + 10 * DAY - timedelta(milliseconds=1), (first, NOON))
    assert during is not None
    assert (during.ends_at, during.limit_reached) == (NOON + 10 * DAY, False)
    assert barred(other, NOON + 10 * DAY, (first, NOON)) is None


@pytest.mark.parametrize(("first", "other"), [("car", "home"), ("home", "car")])
def test_what_excludes_for_ever_has_no_end(first: str, other: str) -> None:
    ever = barred(other, NOON + 9_000 * DAY, (first, NOON))
    assert ever is not None
    assert (ever.ends_at, ever.limit_reached) == (None, False)


def test_the_rent_of_a_month_is_paid_again_after_thirty_days(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claimed(doctor, "monthly_rent")
    scene.time_passes(days=30, seconds=-1)
    said = problem(scene.claims(doctor, "monthly_rent"), 409, "already-claimed")
    assert said["ends_at"] == "2026-04-01T04:00:00Z"
    scene.time_passes(seconds=1)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    assert scene.budget("monthly_rent") == (0, 5_000, 0, 2)


def test_a_home_is_paid_once_and_for_all_and_not_beside_a_rent(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claimed(doctor, "home_purchase")
    said = problem(scene.claims(doctor, "monthly_rent"), 409, "already-claimed")
    assert said["ends_at"] == "2026-04-01T04:00:00Z"
    scene.time_passes(days=30)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    said = problem(scene.claims(doctor, "home_purchase"), 409, "already-claimed")
    assert (said["ends_at"], said["detail"]) == (None, "您已按规定次数享受该项政策，不能再次申领。")


def test_of_two_that_exclude_each_other_claimed_on_two_phones_at_once_one_is_refused_without_a_trace(
    scene: Scene,
) -> None:
    doctor, city = scene.talent(DOCTOR), scene.city

    async def at_once() -> list[Claim | BaseException]:
        taps = [("monthly_rent", "one"), ("home_purchase", "other"), ("monthly_rent", "third")]
        claims = (claim_benefit(city, doctor.id, benefit, key, {}) for benefit, key in taps)
        return await asyncio.gather(*claims, return_exceptions=True)

    outcomes = scene.call(at_once)
    (claim,) = [one for one in outcomes if isinstance(one, Claim)]
    assert [type(one) for one in outcomes if one is not claim] == [AlreadyClaimed, AlreadyClaimed]
    assert [one.id for one in stored(scene.client, Claim)] == [claim.id]
    assert [one.claim for one in stored(scene.client, Talent)[0].past_claims] == [claim.id]
    assert sum(one.paid_fen + one.reserved_fen for one in stored(scene.client, Budget)) == claim.amount_fen


# ── who may not ──


def test_anothers_claim_is_nobodys(scene: Scene) -> None:
    claim = scene.claimed(scene.talent(DOCTOR), "monthly_rent")
    other, tap = scene.talent(DOCTOR, "13800000102"), {"Idempotency-Key": "tap"}
    at = f"/v1/me/claims/{claim['id']}"
    for answer in (
        scene.client.get(at, headers=other),
        scene.client.delete(at, headers=other),
        scene.client.post(f"{at}/appeal", json={"text": "I want it"}, headers=other),
        scene.client.post(f"{at}/repayments", json={"amount_fen": 1}, headers={**other, **tap}),
        scene.client.get("/v1/me/claims/unheard-of", headers=other),
    ):
        problem(answer, 404, "not-found")


@pytest.mark.parametrize("benefit", ["park_entry", "unheard_of"])
def test_neither_a_service_nor_what_there_is_not_can_be_claimed(scene: Scene, benefit: str) -> None:
    problem(scene.claims(scene.talent(DOCTOR), benefit), 404, "unknown-benefit")
    assert stored(scene.client, Claim) == []


def test_whoever_has_no_right_to_it_is_told_why_and_what_would_help(scene: Scene) -> None:
    said = problem(scene.claims(scene.talent(LEADER), "monthly_rent"), 409, "not-entitled")
    assert (said["rule"], said["because"]["en"]) == ("otherwise", "Your talent class does not include the rent subsidy")
    assert (said["remedy"]["en"], said["class_ended_at"]) == ("You can claim it once you are granted class E", None)


def test_what_is_stated_counts_at_once(scene: Scene) -> None:
    said = problem(scene.claims(scene.talent(DOCTOR), "monthly_rent", homes=1), 409, "not-entitled")
    assert said["because"]["en"] == "You own a home in the city"


def test_whose_class_was_withdrawn_is_told_when(scene: Scene) -> None:
    leader = scene.talent(LEADER)
    scene.loses_class(leader)
    said = problem(scene.claims(leader, "home_purchase"), 409, "not-entitled")
    assert (said["rule"], said["class_ended_at"]) == ("otherwise", "2026-03-02T04:00:01Z")


def test_whose_class_has_run_out_has_nothing_from_that_second_on(scene: Scene) -> None:
    """Pay gives a class for 1,095 days, and in 2029 that of 2025 gives none any more."""
    manager = scene.citizen()
    scene.earns(manager, 900_000 * YUAN, 0)
    scene.earns(manager, 0, 0, 2028)
    scene.declares(manager, Pay(2025, 900_000 * YUAN))
    scene.names_account(manager)
    ends_at = datetime(2029, 3, 1, 4, tzinfo=UTC)
    scene.clock.now = ends_at - timedelta(seconds=1)
    assert {one["benefit"] for one in scene.benefits(manager)["available"]} == {"home_purchase"}
    scene.clock.now = ends_at
    for _ in range(2):
        said = problem(scene.claims(manager, "home_purchase", key="tap"), 409, "not-entitled")
        assert said["class_ended_at"] == "2029-03-01T04:00:00Z"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(upstream, "UPSTREAM_TIMEOUT_SECONDS", 0.05)
    return


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("call", ["insured_months", "tax_year"])
def test_without_registries_that_never_answered_nothing_is_decided_that_rests_on_them(scene: Scene, call: str) -> None:
    scene.port(Tax).database.inject_faults(call, {"hang": 1_000})
    doctor = scene.talent(DOCTOR)
    problem(scene.claims(doctor, "tax_reward"), 503, "upstream-unavailable")
    problem(scene.claims(doctor, "monthly_rent", homes=1), 503, "upstream-unavailable")
    assert stored(scene.client, Claim) == []
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    scene.port(Tax).database.clear_faults()
    problem(scene.claims(doctor, "tax_reward"), 409, "not-entitled")


def test_the_tax_of_a_year_is_not_rewarded_for_another_that_the_bureau_does_not_tell(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.earns(doctor, 1_500_000 * YUAN, 400_000 * YUAN)
    scene.time_passes(days=31)
    assert "tax_reward" in {one["benefit"] for one in scene.benefits(doctor)["available"]}
    scene.clock.now = datetime(2027, 1, 5, 4, tzinfo=UTC)
    scene.port(Tax).database.inject_faults("tax_year", {"lost_before": 1_000})
    problem(scene.claims(doctor, "tax_reward"), 503, "upstream-unavailable")


def test_what_rests_on_somebodys_word_is_noted_also_where_they_say_nothing(scene: Scene) -> None:
    leader = scene.talent(PROVINCIAL_LEADER)
    scene.has(leader, PROVINCIAL_LEADER, DOCTOR)
    scene.declares(leader, DOCTOR)
    scene.claimed(leader, "home_purchase")
    scene.claimed(leader, "car_plate", spent_fen=1)
    scene.claimed(leader, "graduate_allowance", homes=1)
    stated = {claim.benefit: claim.stated for claim in stored(scene.client, Claim)}
    assert stated == {"home_purchase": ("homes",), "car_plate": ("spent_fen",), "graduate_allowance": ()}
