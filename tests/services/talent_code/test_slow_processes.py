"""A process that hangs between reading a claim and entering it in a budget, and comes back when all else is done."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backend.benefits import budget as budget_model
from backend.benefits.budget import Entry, StaleEntry
from backend.benefits.budgets import apply_to_budget, get_or_create_budget
from backend.benefits.waitlist import leave_waitlist, serve_waitlist
from backend.services.talent_code import saga
from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.model.claim import Budget, Claim
from tests.benefits.world import NOON
from tests.services.talent_code.world import BUDGETS_FEN, DOCTOR, LEADER, Person, TalentWorld

pytestmark = pytest.mark.slow

NOTHING, A_HUNDRED, FOUR_HUNDRED = 0, 1, 3
assert (BUDGETS_FEN[NOTHING], BUDGETS_FEN[A_HUNDRED], BUDGETS_FEN[FOUR_HUNDRED]) == (0, 100_00, 400_00)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TalentWorld]:
    """Make a city whose budgets drop entries as soon as they may."""
    monkeypatch.setattr(budget_model, "MAX_ENTRIES", 0)
    monkeypatch.setattr(budget_model, "MIN_RETENTION", timedelta(seconds=-1))
    world = TalentWorld(tmp_path, f"sqlite:///{tmp_path}/city.db")
    yield world
    world.close()


def claims(world: TalentWorld, person: Person, budget: int) -> Claim:
    """Have somebody claim the plain benefit: 70.01 yuan in class D, 50 in class E."""
    world.clock.now += timedelta(seconds=1)
    return world.run(lambda: claim_benefit(world.city(0, budget), person.id, "plain", "tap", {}))


def budget_of(world: TalentWorld, budget: int) -> Budget:
    return world.run(lambda: get_or_create_budget(saga.benefits, world.city(0, budget), f"plain:{NOON.year}"))


def all_read(world: TalentWorld, claim: Claim) -> list[Entry]:
    """Give the claim's entries that some process has read from it, the first first."""
    return [entry for _, entry in world.stores[0].carried if entry.claim == claim.id]


def comes_late(world: TalentWorld, entry: Entry, budget: int) -> None:
    """Have a second process enter what it read long ago."""
    world.run(lambda: apply_to_budget(saga.benefits, world.city(1, budget), f"plain:{NOON.year}", entry))


def each_comes_too_late(world: TalentWorld, entries: list[Entry]) -> None:
    """Have each turned away, although the budget would suffice, without a trace."""
    before = budget_of(world, FOUR_HUNDRED)
    for entry in entries:
        with pytest.raises(StaleEntry):
            comes_late(world, entry, FOUR_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED) == before


def test_what_it_reserves_for_a_claim_in_line_is_found_by_the_line(world: TalentWorld) -> None:
    waits = claims(world, world.person(DOCTOR), NOTHING)
    assert waits.state == "waiting"
    comes_late(world, all_read(world, waits)[0], A_HUNDRED)
    claims(world, world.person(DOCTOR), A_HUNDRED)  # whose entries drop those that are noted
    world.run(lambda: serve_waitlist(saga.claims, world.city(0, A_HUNDRED), "plain"))
    served = world.run(lambda: world.real.store.get(Claim, waits.id))
    assert served is not None
    assert (served.state, served.paid_fen) == ("granted", 50_00)
    budget = budget_of(world, A_HUNDRED)
    assert (budget.paid_fen, budget.reserved_fen, budget.quota_used) == (100_00, 0, 2)


def test_nothing_is_reserved_for_somebody_who_has_left_the_line(world: TalentWorld) -> None:
    waits = claims(world, world.person(LEADER), NOTHING)
    world.run(lambda: saga.claims.decide(world.city(0, NOTHING), waits, leave_waitlist))
    each_comes_too_late(world, all_read(world, waits)[:1])
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 0


def test_what_was_reserved_just_before_somebody_leaves_the_line_is_given_back(world: TalentWorld) -> None:
    waits = claims(world, world.person(LEADER), NOTHING)
    comes_late(world, all_read(world, waits)[0], FOUR_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 70_01
    world.run(lambda: saga.claims.decide(world.city(0, NOTHING), waits, leave_waitlist))
    budget = budget_of(world, FOUR_HUNDRED)
    assert (budget.reserved_fen, budget.quota_used) == (0, 0)


def test_an_entry_that_was_made_and_dropped_is_never_made_again(world: TalentWorld) -> None:
    paid = claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    assert not any(entry.claim == paid.id for entry in budget_of(world, FOUR_HUNDRED).entries)
    each_comes_too_late(world, all_read(world, paid))


def test_what_was_reserved_before_it_was_decided_on_again_is_reserved_once_for_all_who_carry_it(
    world: TalentWorld,
) -> None:
    waits = claims(world, world.person(DOCTOR), NOTHING)
    comes_late(world, all_read(world, waits)[0], A_HUNDRED)
    world.clock.now += timedelta(seconds=1)
    world.run(
        lambda: serve_waitlist(saga.claims, world.city(0, A_HUNDRED), "plain")
    )  # decides on it again, and finds it made
    first, second = (entry for entry in all_read(world, waits) if entry.kind == "reserve")
    assert first.decided_at < second.decided_at
    each_comes_too_late(world, [first, second])


def test_nothing_is_reserved_twice_where_the_second_to_decide_has_a_slower_clock(world: TalentWorld) -> None:
    waits = claims(world, world.person(DOCTOR), NOTHING)
    world.clock.now -= timedelta(seconds=0.5)
    world.run(lambda: serve_waitlist(saga.claims, world.city(0, A_HUNDRED), "plain"))
    world.clock.now -= timedelta(seconds=1)
    claims(world, world.person(DOCTOR), A_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED).paid_fen == 100_00
    each_comes_too_late(world, all_read(world, waits)[:1])


def test_what_was_undone_by_a_slower_clock_is_never_reserved_after_all(world: TalentWorld) -> None:
    waits = claims(world, world.person(LEADER), NOTHING)
    comes_late(world, all_read(world, waits)[0], FOUR_HUNDRED)
    world.clock.now -= timedelta(seconds=1)
    world.run(lambda: saga.claims.decide(world.city(0, NOTHING), waits, leave_waitlist))
    world.clock.now -= timedelta(seconds=1.5)
    claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 0
    each_comes_too_late(world, all_read(world, waits)[:1])
