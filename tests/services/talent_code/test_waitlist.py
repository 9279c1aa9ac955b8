"""Claims that exceed a budget wait, and are paid automatically as soon as it covers them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.benefits.budget import Entry, apply_entry
from backend.benefits.budgets import get_or_create_budget
from backend.benefits.ports import PayoutBank
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.saga import benefits
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.sample_rules import write_rules
from tests.services.talent_code.scene import CARD, DOCTOR, LEADER, OTHER_CARD, Citizen, Scene

SetBudget = Callable[[int], None]


@pytest.fixture
def set_budget(scene: Scene, tmp_path: Path) -> SetBudget:
    """Give what has the city go by rules in which every benefit has a budget of so many yuan for the year."""

    def change(yuan: int) -> None:
        folder = tmp_path / f"rules-{yuan}"
        scene.rules_change(folder if folder.exists() else write_rules(folder, yuan * 100))

    return change


def doctors(scene: Scene, count: int) -> list[Citizen]:
    """Sign people of class E in, who have 50 yuan of the benefit `plain`."""
    return [scene.talent(DOCTOR, f"138000002{place:02d}") for place in range(count)]


def stages(scene: Scene, people: list[Citizen], claims: list[dict[str, Any]]) -> list[str]:
    return [scene.claim(person, claim)["stage"] for person, claim in zip(people, claims, strict=True)]


def told(scene: Scene, claim: dict[str, Any]) -> list[str]:
    """Give what the person was told of a claim."""
    found = scene.call(scene.city.store.get, Claim, claim["id"])
    assert found is not None
    assert all(notice.sent for notice in found.notifications)
    return [notice.kind for notice in found.notifications]


# ── waiting ──


def test_when_the_budget_is_used_up_one_is_told_at_once_and_waits(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(149)
    people = doctors(scene, 4)
    claims = [scene.claimed(person, "plain") for person in people]
    assert [claim["stage"] for claim in claims] == ["paid", "paid", "waiting", "waiting"]
    assert claims[2]["message"]["en"].startswith("This year's budget is used up. Your claim is on the waiting list")
    assert [told(scene, claim) for claim in claims[1:3]] == [["paid"], ["waiting"]]
    scene.time_passes(days=1)
    assert stages(scene, people, claims) == ["paid", "paid", "waiting", "waiting"]
    assert scene.budget("plain") == (0, 100, 0, 2)
    assert told(scene, claims[2]) == ["waiting"]  # once


def test_when_the_budget_grows_they_are_paid_by_themselves_in_their_order(scene: Scene, set_budget: SetBudget) -> None:
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
    assert told(scene, claims[0]) == ["waiting", "paid"]
    assert stored(scene.client, Claim)[0].waitlist is None


def test_whoever_comes_later_does_not_come_first(scene: Scene, set_budget: SetBudget) -> None:
    """The budget has grown, but nobody has served the line yet; the newcomer's tap does."""
    set_budget(0)
    people = doctors(scene, 2)
    claims = [scene.claimed(people[0], "plain")]
    set_budget(50)
    scene.clock.now = scene.clock.now.replace(minute=1)
    claims.append(scene.claimed(people[1], "plain"))
    assert claims[1]["stage"] == "waiting"
    scene.call(scene.jobs_end)
    assert stages(scene, people, claims) == ["paid", "waiting"]


def test_a_payout_that_fails_lets_the_next_have_the_money_at_once(scene: Scene, set_budget: SetBudget) -> None:
    set_budget(50)
    people, bank = doctors(scene, 2), scene.port(PayoutBank)
    bank.database.script_outcomes("pay_out", "pending")
    claims = [scene.claimed(person, "plain") for person in people]
    assert [claim["stage"] for claim in claims] == ["paying", "waiting"]
    scene.names_account(people[1], OTHER_CARD)
    bank.close_account(CARD)
    body, signature = bank.notice(f"{claims[0]['id']}/payout/1/1")
    headers = {"Bank-Signature": signature, "Content-Type": "application/json"}
    assert scene.client.post("/v1/payout-notices", content=body, headers=headers).status_code == 202
    scene.call(scene.jobs_end)
    assert stages(scene, people, claims) == ["failed", "paid"]
    assert scene.budget("plain") == (0, 50, 0, 1)


def test_a_smaller_claim_is_not_held_up_by_a_larger_one(scene: Scene, set_budget: SetBudget) -> None:
    """Of 100 yuan 40 are paid; 60.01 are too many, and 40 after them are not."""
    set_budget(100)
    first, last = doctors(scene, 2)
    large = scene.talent(LEADER)
    scene.claimed(first, "spent", spent_fen=40_00)
    waiting = scene.claimed(large, "halves")
    assert waiting["stage"] == "waiting"  # 101.01 yuan, whatever is left
    scene.clock.now = scene.clock.now.replace(minute=1)
    small = scene.claimed(last, "halves")
    scene.call(scene.jobs_end)
    assert stages(scene, [large, last], [waiting, small]) == ["waiting", "partly_paid"]
    assert scene.budget("halves")[3] == 1


def test_of_a_quota_the_place_of_a_failed_payout_goes_to_the_next(scene: Scene, set_budget: SetBudget) -> None:
    """Three have a place; the money would suffice for more."""
    set_budget(20_000)
    people = doctors(scene, 4)
    claims = [scene.claimed(person, "thirds") for person in people[:2]]
    scene.port(PayoutBank).database.script_outcomes("pay_out", "pending")
    claims += [scene.claimed(person, "thirds") for person in people[2:]]
    assert [claim["stage"] for claim in claims] == ["partly_paid", "partly_paid", "paying", "waiting"]
    assert scene.budget("thirds")[3] == 3
    scene.port(PayoutBank).close_account(CARD)
    scene.names_account(people[3], OTHER_CARD)
    scene.time_passes(seconds=20)
    scene.time_passes(seconds=30)
    scene.time_passes(seconds=30)
    assert stages(scene, people, claims) == ["partly_paid", "partly_paid", "failed", "partly_paid"]
    assert scene.budget("thirds")[3] == 3


# ── another year ──


def test_with_the_new_year_they_are_paid_from_its_budget_and_nothing_of_the_last(
    scene: Scene, set_budget: SetBudget
) -> None:
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
    assert stages(scene, people, claims)[2:] == ["paid", "paid", "waiting"]  # 70.01 yuan are too many
    assert scene.budget("plain", 2026) == (0, 100, 0, 2)
    assert scene.budget("plain", 2027) == (0, 100, 0, 2)
    found = {claim.id: claim for claim in stored(scene.client, Claim)}
    assert [found[claim["id"]].budget for claim in claims[:4]] == ["plain:2026"] * 2 + ["plain:2027"] * 2
    last_year = scene.call(scene.city.store.get, Budget, "plain:2026")
    assert last_year is not None
    voided = {entry.claim for entry in last_year.entries if entry.kind == "void"}
    assert claims[2]["id"] in voided


# ── the end of waiting ──


def test_whoever_leaves_the_line_is_free_of_it(scene: Scene, set_budget: SetBudget) -> None:
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


def test_whose_class_is_withdrawn_waits_no_more_where_it_stops_with_the_class(
    scene: Scene, set_budget: SetBudget
) -> None:
    set_budget(0)
    (doctor,) = doctors(scene, 1)
    claims = [scene.claimed(doctor, benefit) for benefit in ("halves", "plain")]
    scene.loses_class(doctor)
    assert stages(scene, [doctor, doctor], claims) == ["failed", "waiting"]
    assert told(scene, claims[0]) == ["waiting", "cancelled"]
    set_budget(1_000)
    scene.time_passes(seconds=15)
    assert stages(scene, [doctor, doctor], claims) == ["failed", "paid"]


def test_a_benefit_that_ends_ends_the_waiting_for_it(scene: Scene, set_budget: SetBudget, tmp_path: Path) -> None:
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
    assert told(scene, claims[1]) == ["waiting", "cancelled"]
    assert "plain" not in {one["benefit"] for one in scene.benefits(people[1])["available"]}
    problem(scene.claims(people[1], "plain"), 404, "unknown-benefit")


def test_money_that_was_reserved_by_one_who_was_slow_reaches_whoever_waits_for_it(
    scene: Scene, set_budget: SetBudget
) -> None:
    """Nothing else is free, and somebody stands before them.

    One process was told that there is no money, so that the claim waits; the budget grew, and only then another process
    made the same claim's entry, which it had decided on before.
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

    async def comes_late() -> None:
        await scene.city.store.replace(
            apply_entry(await get_or_create_budget(benefits, scene.city, "plain:2026"), entry)
        )

    set_budget(50)
    scene.call(comes_late)
    scene.time_passes(seconds=75)
    assert stages(scene, people, claims) == ["paid", "waiting"]
    assert scene.budget("plain") == (0, 50, 0, 1)


# ── what officers see ──


def test_officers_see_budgets_and_whether_anybody_waits(scene: Scene, set_budget: SetBudget) -> None:
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
