"""Claims that exceed a budget wait, and are paid automatically as soon as it covers them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.benefits.budget import Entry, apply_entry
from backend.benefits.budgets import get_or_create_budget
from backend.benefits.ports import PayoutBank
from backend.benefits.waitlist import serve_waitlist
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.saga import benefits, claims
from tests.counting_store import CountingStore
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.sample_rules import write_rules
from tests.services.talent_code.scene import DOCTOR, LEADER, Citizen, Scene

SetBudget = Callable[[int], None]


@pytest.fixture
def set_budget(scene: Scene, tmp_path: Path) -> SetBudget:
    """Return a function that puts rules in force in which every benefit has this yearly budget in yuan."""

    def change(yuan: int) -> None:
        folder = tmp_path / f"rules-{yuan}"
        scene.rules_change(folder if folder.exists() else write_rules(folder, yuan * 100))

    return change


def doctors(scene: Scene, count: int) -> list[Citizen]:
    """Sign in people of class E, who are entitled to 50 yuan of the benefit `plain`."""
    return [scene.talent(DOCTOR, f"138000002{place:02d}") for place in range(count)]


def stages(scene: Scene, people: list[Citizen], claims: list[dict[str, Any]]) -> list[str]:
    return [scene.claim(person, claim)["stage"] for person, claim in zip(people, claims, strict=True)]


def sent_notices(scene: Scene, claim: dict[str, Any]) -> list[str]:
    """Return the kinds of notices that were sent about a claim."""
    found = scene.call(scene.city.store.get, Claim, claim["id"])
    assert found is not None
    assert all(notice.sent for notice in found.notifications)
    return [notice.kind for notice in found.notifications]


# ── the waiting list ──


def test_a_claim_over_the_budget_is_put_on_the_waiting_list_at_once(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(149)
    people = doctors(scene, 4)
    claims = [scene.claimed(person, "plain") for person in people]
    assert [claim["stage"] for claim in claims] == ["paid", "paid", "waiting", "waiting"]
    assert claims[2]["message"]["en"].startswith("This year's budget is used up. Your claim is on the waiting list")
    assert [sent_notices(scene, claim) for claim in claims[1:3]] == [["paid"], ["waiting"]]
    scene.time_passes(days=1)
    assert stages(scene, people, claims) == ["paid", "paid", "waiting", "waiting"]
    assert scene.budget("plain") == (0, 100, 0, 2)
    assert sent_notices(scene, claims[2]) == ["waiting"]  # sent once


def test_when_the_budget_grows_waiting_claims_are_paid_automatically_in_their_order(
    scene: Scene, set_budget: SetBudget
) -> None:
    set_budget(0)
    people = doctors(scene, 3)
    claims: list[dict[str, Any]] = []
    for person in people:
        scene.clock.now = scene.clock.now.replace(minute=scene.clock.now.minute + 1)
        claims.append(scene.claimed(person, "plain"))
    for yuan, expected in [
        (49, ["waiting", "waiting", "waiting"]),
        (99, ["paid", "waiting", "waiting"]),
        (150, ["paid", "paid", "paid"]),
    ]:
        set_budget(yuan)
        scene.time_passes(seconds=15)
        assert stages(scene, people, claims) == expected
    assert scene.budget("plain") == (0, 150, 0, 3)
    assert sent_notices(scene, claims[0]) == ["waiting", "paid"]
    assert stored(scene.client, Claim)[0].waitlist is None


def test_a_later_claim_does_not_overtake_the_waiting_list(scene: Scene, set_budget: SetBudget) -> None:
    """The budget has grown, but the waiting list was not served yet; the new claim serves it."""
    set_budget(0)
    people = doctors(scene, 2)
    claims = [scene.claimed(people[0], "plain")]
    set_budget(50)
    scene.clock.now = scene.clock.now.replace(minute=1)
    claims.append(scene.claimed(people[1], "plain"))
    assert claims[1]["stage"] == "waiting"
    scene.call(scene.wait_for_jobs)
    assert stages(scene, people, claims) == ["paid", "waiting"]


def test_the_money_of_a_failed_payout_goes_to_the_next_claim_at_once(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(50)
    people, bank = doctors(scene, 2), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", "pending")
    claims = [scene.claimed(person, "plain") for person in people]
    assert [claim["stage"] for claim in claims] == ["paying", "waiting"]
    bank.close_account(scene.card_of(people[0]))
    body, signature = bank.notice(f"{claims[0]['id']}/payout/1/1")
    headers = {"Bank-Signature": signature, "Content-Type": "application/json"}
    assert scene.client.post("/v1/payout-notices", content=body, headers=headers).status_code == 202
    scene.call(scene.wait_for_jobs)
    assert stages(scene, people, claims) == ["failed", "paid"]
    assert scene.budget("plain") == (0, 50, 0, 1)


def test_a_smaller_claim_is_not_held_up_by_a_larger_one(scene: Scene, set_budget: SetBudget) -> None:
    """40 of 100 yuan are paid; a claim of 60.01 yuan must wait, and one of 40 after it need not."""
    set_budget(100)
    first, last = doctors(scene, 2)
    large = scene.talent(LEADER)
    scene.claimed(first, "spent", spent_fen=40_00)
    waiting = scene.claimed(large, "halves")
    assert waiting["stage"] == "waiting"  # 101.01 yuan, more than is left
    scene.clock.now = scene.clock.now.replace(minute=1)
    small = scene.claimed(last, "halves")
    scene.call(scene.wait_for_jobs)
    assert stages(scene, [large, last], [waiting, small]) == ["waiting", "partly_paid"]
    assert scene.budget("halves")[3] == 1


def test_the_quota_place_of_a_failed_payout_goes_to_the_next_claim(scene: Scene, set_budget: SetBudget) -> None:
    """The quota has three places; the money would cover more claims."""
    set_budget(20_000)
    people = doctors(scene, 4)
    claims = [scene.claimed(person, "thirds") for person in people[:2]]
    scene.port(PayoutBank).database.script_outcomes("pay_out", "pending")
    claims += [scene.claimed(person, "thirds") for person in people[2:]]
    assert [claim["stage"] for claim in claims] == ["partly_paid", "partly_paid", "paying", "waiting"]
    assert scene.budget("thirds")[3] == 3
    scene.port(PayoutBank).close_account(scene.card_of(people[2]))
    scene.time_passes(seconds=20)
    scene.time_passes(seconds=30)
    scene.time_passes(seconds=30)
    assert stages(scene, people, claims) == ["partly_paid", "partly_paid", "failed", "partly_paid"]
    assert scene.budget("thirds")[3] == 3


# ── a new year ──


def test_in_the_new_year_waiting_claims_are_paid_only_from_its_budget(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(100)
    people = [*doctors(scene, 4), scene.talent(LEADER)]
    scene.clock.now = datetime(2026, 12, 31, 15, 59, 0, tzinfo=UTC)
    claims: list[dict[str, Any]] = []
    for person in people:
        scene.clock.now = scene.clock.now.replace(second=len(claims))
        claims.append(scene.claimed(person, "plain"))
    assert [claim["stage"] for claim in claims] == ["paid", "paid", "waiting", "waiting", "waiting"]
    scene.time_passes(seconds=55)
    assert stages(scene, people, claims)[2:] == ["waiting"] * 3
    scene.clock.now = datetime(2026, 12, 31, 16, tzinfo=UTC)  # midnight in the city
    scene.time_passes()
    scene.time_passes(seconds=15)
    assert stages(scene, people, claims)[2:] == ["paid", "paid", "waiting"]  # 70.01 yuan exceed the rest
    assert scene.budget("plain", 2026) == (0, 100, 0, 2)
    assert scene.budget("plain", 2027) == (0, 100, 0, 2)
    found = {claim.id: claim for claim in stored(scene.client, Claim)}
    assert [found[claim["id"]].budget for claim in claims[:4]] == ["plain:2026"] * 2 + ["plain:2027"] * 2
    last_year = scene.call(scene.city.store.get, Budget, "plain:2026")
    assert last_year is not None
    voided = {entry.claim for entry in last_year.entries if entry.kind == "void"}
    assert claims[2]["id"] in voided


# ── leaving the waiting list ──


def test_a_person_who_leaves_the_waiting_list_may_claim_excluded_benefits(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(50)
    (doctor,) = doctors(scene, 1)
    waiting = scene.claimed(doctor, "halves")
    assert waiting["stage"] == "waiting"
    problem(scene.claims(doctor, "spent", spent_fen=1_00), 409, "already-claimed")
    at = f"/v1/me/claims/{waiting['id']}"
    for _ in range(2):
        answer = scene.client.delete(at, headers=doctor)
        assert (answer.status_code, answer.json()["stage"]) == (200, "withdrawn")
    paid = scene.claimed(doctor, "spent", spent_fen=1_00)
    assert paid["stage"] == "paid"
    problem(scene.client.delete(f"/v1/me/claims/{paid['id']}", headers=doctor), 409, "not-on-waitlist")
    set_budget(100)
    scene.time_passes(days=1)
    assert scene.claim(doctor, waiting)["stage"] == "withdrawn"
    assert scene.budget("halves") == (0, 0, 0, 0)


def test_losing_the_class_ends_the_waiting_for_benefits_that_stop_with_it(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(0)
    (doctor,) = doctors(scene, 1)
    claims = [scene.claimed(doctor, benefit) for benefit in ("halves", "plain")]
    scene.loses_class(doctor)
    assert stages(scene, [doctor, doctor], claims) == ["failed", "waiting"]
    assert sent_notices(scene, claims[0]) == ["waiting", "cancelled"]
    set_budget(1_000)
    scene.time_passes(seconds=15)
    assert stages(scene, [doctor, doctor], claims) == ["failed", "paid"]


def test_the_end_of_a_benefit_ends_its_waiting_list(scene: Scene, set_budget: SetBudget, tmp_path: Path) -> None:
    set_budget(50)
    people = doctors(scene, 2)
    claims = [scene.claimed(person, "plain") for person in people]
    file = write_rules(tmp_path / "ending", 50_00) / "talent_code" / "benefits" / "plain.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("    subject: person", "    until: 2026-03-10\n    subject: person"), encoding="utf-8")
    scene.rules_change(tmp_path / "ending")
    scene.time_passes(days=1)
    assert stages(scene, people, claims) == ["paid", "waiting"]
    scene.clock.now = datetime(2026, 3, 9, 16, tzinfo=UTC)
    scene.time_passes()
    assert stages(scene, people, claims) == ["paid", "failed"]
    assert sent_notices(scene, claims[1]) == ["waiting", "cancelled"]
    assert "plain" not in {one["benefit"] for one in scene.benefits(people[1])["available"]}
    problem(scene.claims(people[1], "plain"), 404, "unknown-benefit")


def test_money_reserved_late_by_a_slow_process_is_paid_to_its_waiting_claim(
    scene: Scene, set_budget: SetBudget
) -> None:
    """No other money is available, and another claim is ahead on the waiting list.

    One process found the budget exhausted, so the claim waits. Then the budget grew, and only then another process
    applied the claim's entry, on which it had decided earlier.
    """
    set_budget(0)
    people = doctors(scene, 2)
    scene.clock.now = scene.clock.now.replace(minute=1)
    claims = [scene.claimed(people[0], "plain")]
    scene.clock.now = scene.clock.now.replace(minute=0)
    claims.append(scene.claimed(people[1], "plain"))
    waiting = scene.call(scene.city.store.get, Claim, claims[0]["id"])
    assert waiting is not None
    assert (waiting.budget, waiting.waitlist) == ("plain:2026", "plain")
    entry = Entry(f"{waiting.id}/0", "reserve", 50_00, waiting.claimed_at, 1)

    async def apply_late() -> None:
        await scene.city.store.replace(
            apply_entry(await get_or_create_budget(benefits, scene.city, "plain:2026"), entry)
        )

    set_budget(50)
    scene.call(apply_late)
    scene.time_passes(seconds=75)
    assert stages(scene, people, claims) == ["paid", "waiting"]
    assert scene.budget("plain") == (0, 50, 0, 1)


# ── the officer's view ──


def test_officers_see_budgets_and_whether_claims_are_waiting(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(80)
    people = doctors(scene, 2)
    for person in people:
        scene.claimed(person, "plain")
    officer = scene.officer()
    shown = {one["benefit"]: one for one in scene.client.get("/v1/benefit-budgets", headers=officer).json()["budgets"]}
    assert shown.keys() == {"halves", "plain", "spent", "thirds"}
    plain = shown["plain"]
    assert (plain["year"], plain["limit_fen"], plain["paid_fen"], plain["free_fen"]) == (2026, 80_00, 50_00, 30_00)
    assert (plain["reserved_fen"], plain["returned_fen"], plain["quota"], plain["quota_used"]) == (0, 0, None, 1)
    assert (plain["has_waitlist"], shown["thirds"]["has_waitlist"], shown["thirds"]["quota"]) == (True, False, 3)
    set_budget(100)
    scene.time_passes(seconds=15)
    (plain,) = [
        one
        for one in scene.client.get("/v1/benefit-budgets", headers=officer).json()["budgets"]
        if one["benefit"] == "plain"
    ]
    assert (plain["limit_fen"], plain["free_fen"], plain["has_waitlist"]) == (100_00, 0, False)
    problem(scene.client.get("/v1/benefit-budgets", headers=people[0]), 403, "not-allowed")


def test_a_list_of_which_the_budget_covers_none_is_not_read(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(0)
    people = doctors(scene, 3)
    waiting = [scene.claimed(person, "plain") for person in people]
    set_budget(49)
    counting = CountingStore(scene.city.store)
    scene.call(serve_waitlist, claims, replace(scene.city, store=counting), "plain")
    assert stages(scene, people, waiting) == ["waiting"] * 3
    assert counting.calls["find", "Claim"] == 2, "the first and the smallest claim"
