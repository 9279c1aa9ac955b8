"""A claim takes one tap, is paid at once, and is subject to exclusions and entitlement."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

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
from backend.services.talent_code.ports import Tax
from backend.web.idempotency import IdempotencyRecord
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import CARD, DOCTOR, LEADER, PROVINCIAL_LEADER, Scene

YUAN = 100


async def forget_answers(city: City) -> None:
    for answer in [one async for one in city.store.scan(IdempotencyRecord)]:
        await city.store.delete(answer)


# ── one tap ──


def test_a_claim_is_paid_at_once_with_a_receipt(scene: Scene) -> None:
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


def test_a_repeated_claim_gets_the_same_answer_and_is_paid_once(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    first = scene.claims(doctor, "monthly_rent", key="tap")
    assert first.status_code == 201
    again = scene.claims(doctor, "monthly_rent", key="tap")
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(scene.payouts()) == 1


def test_an_idempotency_key_belongs_to_one_claim(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claims(doctor, "monthly_rent", key="tap")
    problem(scene.claims(doctor, "graduate_allowance", key="tap"), 422, "idempotency-key-reused")
    problem(scene.claims(doctor, "monthly_rent", key="tap", homes=0), 422, "idempotency-key-reused")
    scene.clock.now += timedelta(days=3)
    scene.call(forget_answers, scene.city)  # the claim itself is still stored
    problem(scene.claims(doctor, "graduate_allowance", key="tap"), 422, "idempotency-key-reused")
    assert len(scene.payouts()) == 1


def test_a_claim_without_an_idempotency_key_is_refused(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    answer = scene.client.post("/v1/me/claims", json={"benefit": "monthly_rent"}, headers=doctor)
    assert answer.status_code == 400
    assert stored(scene.client, Claim) == []


def test_two_people_may_use_the_same_key(scene: Scene) -> None:
    for phone in ("13800000101", "13800000102"):
        assert scene.claims(scene.talent(DOCTOR, phone), "monthly_rent", key="tap").status_code == 201
    assert len(scene.payouts()) == 2


def test_a_refused_claim_is_judged_again_with_its_key_and_made_once_it_may_be(scene: Scene) -> None:
    doctor = scene.citizen()
    scene.has(doctor, DOCTOR)
    scene.declares(doctor, DOCTOR)
    for _ in range(2):
        problem(scene.claims(doctor, "monthly_rent", key="tap"), 409, "no-bank-account")
    scene.registers_account(doctor)
    for _ in range(2):
        assert scene.claims(doctor, "monthly_rent", key="tap").status_code == 201
    assert len(scene.payouts()) == 1


# ── exclusions of a claim ──

DAY = timedelta(days=1)
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
MONTHLY = BenefitTerms(subject="person", gives="money", budget_fen=1, times_at_most=3, cooldown=30 * DAY)
NOT_WITH_RENT = replace(MONTHLY, times_at_most=1, cooldown=0 * DAY, excludes=(Exclusion("rent", 10 * DAY),))


def test_a_cooldown_of_a_benefit_that_is_had_once_has_no_effect() -> None:
    assert [name for name, _, _ in replace(MONTHLY, times_at_most=1).without_effect()] == ["cooldown"]
    assert list(MONTHLY.without_effect()) == []


class SomeOffers(Offers[BenefitTerms]):
    """Offers in which rent and home exclude each other for ten days, and home and car for ever."""

    def title(self, benefit: str) -> Text:
        return Text(zh=benefit, en=benefit)

    def terms(self, benefit: str, at: datetime) -> BenefitTerms:  # noqa: ARG002  the terms never change
        return {
            "rent": MONTHLY,
            "home": NOT_WITH_RENT,
            "car": replace(MONTHLY, excludes=(Exclusion("home"), Exclusion("rent", 2 * DAY))),
        }[benefit]


def restriction(benefit: str, now: datetime, *past_claims: tuple[str, datetime]) -> ClaimRestriction | None:
    """Return what restricts a benefit after these claims."""
    claims = tuple(PastClaim(f"c{place}", name, at) for place, (name, at) in enumerate(past_claims))
    talent = Talent(id="p", code_id="c", born_at=NOON, past_claims=claims)
    nothing = Rulebook({}, {}, "", ZoneInfo("Asia/Shanghai"))
    return SomeOffers(nothing, BenefitTerms).restriction(talent, benefit, now)


def test_a_benefit_can_be_claimed_again_after_its_cooldown_up_to_its_maximum() -> None:
    first, second, third = NOON, NOON + 30 * DAY, NOON + 60 * DAY
    assert restriction("rent", NOON) is None
    early = restriction("rent", second - timedelta(milliseconds=1), ("rent", first))
    assert early is not None
    assert (early.ends_at, early.limit_reached) == (second, False)
    assert restriction("rent", second, ("rent", first)) is None
    limit_reached = restriction("rent", NOON + 1_000 * DAY, ("rent", first), ("rent", second), ("rent", third))
    assert limit_reached is not None
    assert (limit_reached.ends_at, limit_reached.limit_reached) == (None, True)


@pytest.mark.parametrize(("first", "other"), [("rent", "home"), ("home", "rent")])
def test_an_exclusion_is_mutual_for_the_same_period(first: str, other: str) -> None:
    during = restriction(other, NOON + 10 * DAY - timedelta(milliseconds=1), (first, NOON))
    assert during is not None
    assert (during.ends_at, during.limit_reached) == (NOON + 10 * DAY, False)
    assert restriction(other, NOON + 10 * DAY, (first, NOON)) is None


@pytest.mark.parametrize(("first", "other"), [("car", "home"), ("home", "car")])
def test_a_permanent_exclusion_has_no_end(first: str, other: str) -> None:
    ever = restriction(other, NOON + 9_000 * DAY, (first, NOON))
    assert ever is not None
    assert (ever.ends_at, ever.limit_reached) == (None, False)


def test_monthly_rent_is_paid_again_after_thirty_days(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claimed(doctor, "monthly_rent")
    scene.time_passes(days=30, seconds=-1)
    refusal = problem(scene.claims(doctor, "monthly_rent"), 409, "already-claimed")
    assert refusal["ends_at"] == "2026-04-01T04:00:00Z"
    scene.time_passes(seconds=1)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    assert scene.budget("monthly_rent") == (0, 5_000, 0, 2)


def test_a_home_is_paid_once_and_not_together_with_rent(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.claimed(doctor, "home_purchase")
    refusal = problem(scene.claims(doctor, "monthly_rent"), 409, "already-claimed")
    assert refusal["ends_at"] == "2026-04-01T04:00:00Z"
    scene.time_passes(days=30)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    refusal = problem(scene.claims(doctor, "home_purchase"), 409, "already-claimed")
    assert (refusal["ends_at"], refusal["detail"]) == (None, "您已按规定次数享受该项政策，不能再次申领。")


def test_of_concurrent_claims_that_exclude_each_other_one_is_accepted_and_the_others_leave_no_trace(
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


# ── refusals ──


def test_another_persons_claim_is_not_found(scene: Scene) -> None:
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
def test_neither_a_service_nor_an_unknown_benefit_can_be_claimed(scene: Scene, benefit: str) -> None:
    problem(scene.claims(scene.talent(DOCTOR), benefit), 404, "unknown-benefit")
    assert stored(scene.client, Claim) == []


def test_a_person_who_is_not_entitled_learns_why_and_what_would_help(scene: Scene) -> None:
    refusal = problem(scene.claims(scene.talent(LEADER), "monthly_rent"), 409, "not-entitled")
    assert (refusal["rule"], refusal["because"]["en"]) == (
        "otherwise",
        "Your talent class does not include the rent subsidy",
    )
    assert (refusal["remedy"]["en"], refusal["class_ended_at"]) == (
        "You can claim it once you are granted class E",
        None,
    )


def test_a_stated_fact_is_used_at_once(scene: Scene) -> None:
    refusal = problem(scene.claims(scene.talent(DOCTOR), "monthly_rent", homes=1), 409, "not-entitled")
    assert refusal["because"]["en"] == "You own a home in the city"


def test_a_refusal_after_a_withdrawal_states_when_the_class_ended(scene: Scene) -> None:
    leader = scene.talent(LEADER)
    scene.loses_class(leader)
    refusal = problem(scene.claims(leader, "home_purchase"), 409, "not-entitled")
    assert (refusal["rule"], refusal["class_ended_at"]) == ("otherwise", "2026-03-02T04:00:01Z")


def test_a_class_entitles_to_nothing_from_the_second_on_at_which_it_ends(scene: Scene) -> None:
    """A class for pay lasts 1,095 days, and in 2029 the pay of 2025 no longer gives one."""
    manager = scene.citizen()
    scene.earns(manager, 900_000 * YUAN, 0)
    scene.earns(manager, 0, 0, 2028)
    scene.declares(manager, Pay(2025, 900_000 * YUAN))
    scene.registers_account(manager)
    ends_at = datetime(2029, 3, 1, 4, tzinfo=UTC)
    scene.clock.now = ends_at - timedelta(seconds=1)
    assert {one["benefit"] for one in scene.benefits(manager)["available"]} == {"home_purchase"}
    scene.clock.now = ends_at
    for _ in range(2):
        refusal = problem(scene.claims(manager, "home_purchase", key="tap"), 409, "not-entitled")
        assert refusal["class_ended_at"] == "2029-03-01T04:00:00Z"


@pytest.fixture
def short_upstream_timeout(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(upstream, "UPSTREAM_TIMEOUT_SECONDS", 0.5)  # a loaded machine needs more than 0.05
    return


@pytest.mark.usefixtures("short_upstream_timeout")
@pytest.mark.parametrize("call", ["insured_months", "tax_year"])
def test_while_a_registry_has_never_answered_benefits_that_depend_on_it_are_not_decided(
    scene: Scene, call: str
) -> None:
    scene.port(Tax).database.inject_faults(call, {"hang": 1_000})
    doctor = scene.talent(DOCTOR)
    problem(scene.claims(doctor, "tax_reward"), 503, "upstream-unavailable")
    problem(scene.claims(doctor, "monthly_rent", homes=1), 503, "upstream-unavailable")
    assert stored(scene.client, Claim) == []
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"
    scene.port(Tax).database.clear_faults()
    problem(scene.claims(doctor, "tax_reward"), 409, "not-entitled")


def test_the_tax_of_one_year_is_not_rewarded_as_that_of_the_next_which_is_unknown(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.earns(doctor, 1_500_000 * YUAN, 400_000 * YUAN)
    scene.time_passes(days=31)
    assert "tax_reward" in {one["benefit"] for one in scene.benefits(doctor)["available"]}
    scene.clock.now = datetime(2027, 1, 5, 4, tzinfo=UTC)
    scene.port(Tax).database.inject_faults("tax_year", {"lost_before": 1_000})
    problem(scene.claims(doctor, "tax_reward"), 503, "upstream-unavailable")


def test_a_claim_records_which_facts_are_unverified_statements(scene: Scene) -> None:
    leader = scene.talent(PROVINCIAL_LEADER)
    scene.has(leader, PROVINCIAL_LEADER, DOCTOR)
    scene.declares(leader, DOCTOR)
    scene.claimed(leader, "home_purchase")
    scene.claimed(leader, "car_plate", spent_fen=1)
    scene.claimed(leader, "graduate_allowance", homes=1)
    stated = {claim.benefit: claim.stated for claim in stored(scene.client, Claim)}
    assert stated == {"home_purchase": ("homes",), "car_plate": ("spent_fen",), "graduate_allowance": ()}
