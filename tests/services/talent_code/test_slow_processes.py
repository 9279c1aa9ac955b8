"""A process hangs between reading a claim and changing its budget, and continues when others have finished the work."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from backend.benefits import budget as budget_model
from backend.benefits.budget import Entry, StaleEntry
from backend.benefits.budgets import apply_to_budget, get_or_create_budget
from backend.benefits.claim import notify
from backend.benefits.claims import receive_notice
from backend.benefits.notifications import send_notification
from backend.benefits.reservations import post_entry
from backend.benefits.transfers import apply_answer
from backend.benefits.waitlist import leave_waitlist, serve_waitlist
from backend.city.notices import Notice
from backend.city.upstream import BankAnswer, BankNotice
from backend.services.talent_code import saga
from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.talent import Talent
from tests.benefits.world import NOON
from tests.services.talent_code.world import BUDGETS_FEN, DOCTOR, LEADER, Person, TalentWorld

pytestmark = pytest.mark.slow

NOTHING, A_HUNDRED, FOUR_HUNDRED = 0, 1, 3
assert (BUDGETS_FEN[NOTHING], BUDGETS_FEN[A_HUNDRED], BUDGETS_FEN[FOUR_HUNDRED]) == (0, 100_00, 400_00)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TalentWorld]:
    """A city whose budgets drop entries as early as possible."""
    monkeypatch.setattr(budget_model, "MAX_ENTRIES", 0)
    monkeypatch.setattr(budget_model, "MIN_RETENTION", timedelta(seconds=-1))
    world = TalentWorld(tmp_path, f"sqlite:///{tmp_path}/city.db")
    yield world
    world.close()


def claims(world: TalentWorld, person: Person, budget: int) -> Claim:
    """Claim the plain benefit: 70.01 yuan in class D, 50 yuan in class E."""
    world.clock.now += timedelta(seconds=1)
    return world.run(lambda: claim_benefit(world.city(0, budget), person.id, "plain", "tap", {}))


def budget_of(world: TalentWorld, budget: int) -> Budget:
    return world.run(lambda: get_or_create_budget(saga.benefits, world.city(0, budget), f"plain:{NOON.year}"))


def recorded_entries(world: TalentWorld, claim: Claim) -> list[Entry]:
    """Return the entries that were recorded in a claim, in their order."""
    return [entry for _, entry in world.stores[0].recorded_entries if entry.claim == claim.id]


def apply_late(world: TalentWorld, entry: Entry, budget: int) -> None:
    """Let a second process apply an entry that it read long ago."""
    world.run(lambda: apply_to_budget(saga.benefits, world.city(1, budget), f"plain:{NOON.year}", entry))


def check_all_are_stale(world: TalentWorld, entries: list[Entry]) -> None:
    """Check that each entry is refused without a change, although the budget would cover it."""
    before = budget_of(world, FOUR_HUNDRED)
    for entry in entries:
        with pytest.raises(StaleEntry):
            apply_late(world, entry, FOUR_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED) == before


def test_a_late_reservation_for_a_waiting_claim_is_found_by_the_waiting_list(world: TalentWorld) -> None:
    waiting = claims(world, world.person(DOCTOR), NOTHING)
    assert waiting.state == "waiting"
    apply_late(world, recorded_entries(world, waiting)[0], A_HUNDRED)
    claims(world, world.person(DOCTOR), A_HUNDRED)  # this claim's entries cause recorded ones to be dropped
    world.run(lambda: serve_waitlist(saga.claims, world.city(0, A_HUNDRED), "plain"))
    served = world.run(lambda: world.real.store.get(Claim, waiting.id))
    assert served is not None
    assert (served.state, served.paid_fen) == ("granted", 50_00)
    budget = budget_of(world, A_HUNDRED)
    assert (budget.paid_fen, budget.reserved_fen, budget.quota_used) == (100_00, 0, 2)


def test_nothing_is_reserved_for_a_claim_that_has_left_the_waiting_list(world: TalentWorld) -> None:
    waiting = claims(world, world.person(LEADER), NOTHING)
    world.run(lambda: saga.claims.decide(world.city(0, NOTHING), waiting, leave_waitlist))
    check_all_are_stale(world, recorded_entries(world, waiting)[:1])
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 0


def test_a_reservation_just_before_a_claim_leaves_the_waiting_list_is_returned(world: TalentWorld) -> None:
    waiting = claims(world, world.person(LEADER), NOTHING)
    apply_late(world, recorded_entries(world, waiting)[0], FOUR_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 70_01
    world.run(lambda: saga.claims.decide(world.city(0, NOTHING), waiting, leave_waitlist))
    budget = budget_of(world, FOUR_HUNDRED)
    assert (budget.reserved_fen, budget.quota_used) == (0, 0)


def test_what_was_reserved_for_a_draft_that_another_process_deleted_is_taken_back(world: TalentWorld) -> None:
    """The other process found a claim that excluded the draft, and that failed before this process looked."""
    city, template = world.city(0, FOUR_HUNDRED), claims(world, world.person(DOCTOR), NOTHING)
    person = world.person(DOCTOR)
    new = replace(template, id="draft", subject=person.id, revision=0, state="draft", account=None, budget=None)
    draft = world.run(lambda: saga.claims.start(city, replace(new, decided_at=None, notifications=(), waitlist=None)))
    world.run(lambda: world.real.store.delete(draft))
    assert world.run(lambda: saga.claims.run(city, draft)) is None
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 0
    talent = world.run(lambda: world.real.store.get(Talent, person.id))
    assert talent is not None
    assert talent.past_claims == ()


def test_an_entry_that_was_applied_and_dropped_is_never_applied_again(world: TalentWorld) -> None:
    paid = claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    assert not any(entry.claim == paid.id for entry in budget_of(world, FOUR_HUNDRED).entries)
    check_all_are_stale(world, recorded_entries(world, paid))


def test_a_payment_that_a_second_process_learns_of_late_is_posted_once(world: TalentWorld) -> None:
    world.bank.database.script_outcomes("pay_out", "pending")
    requested = claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    transfer = requested.pending_transfer()
    assert transfer is not None
    body, signature = world.bank.notice(transfer.id)
    world.run(lambda: receive_notice(saga.claims, world.city(0, FOUR_HUNDRED), body, signature))
    world.run(lambda: saga.claims.resume(world.city(0, FOUR_HUNDRED), requested.id))
    claims(world, world.person(DOCTOR), FOUR_HUNDRED)  # the budget drops the entry
    before = budget_of(world, FOUR_HUNDRED)
    assert (before.paid_fen, before.reserved_fen) == (100_00, 0)

    world.clock.now += timedelta(seconds=9)
    slow = world.city(1, FOUR_HUNDRED)
    paid = apply_answer(requested, transfer.id, BankAnswer("done"), slow.now(), saga.benefits.terms(slow, slow.now()))
    world.run(lambda: post_entry(saga.benefits, slow, paid, slow.now()))
    assert budget_of(world, FOUR_HUNDRED) == before


def test_the_budget_agrees_with_the_answer_that_was_stored_first(world: TalentWorld) -> None:
    """A process posts that the bank has paid, and hangs before it stores that; the bank then says that it has not."""
    world.bank.database.script_outcomes("pay_out", "pending")
    requested = claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    transfer = requested.pending_transfer()
    assert transfer is not None
    slow = world.city(1, FOUR_HUNDRED)
    paid = apply_answer(requested, transfer.id, BankAnswer("done"), slow.now(), saga.benefits.terms(slow, slow.now()))
    assert world.run(lambda: post_entry(saga.benefits, slow, paid, slow.now())).entry is None
    assert budget_of(world, FOUR_HUNDRED).paid_fen == 50_00

    body = msgspec.json.encode(BankNotice(transfer.id, BankAnswer("failed")))
    city = world.city(0, FOUR_HUNDRED)
    world.run(lambda: receive_notice(saga.claims, city, body, world.bank.sign(body)))
    failed = world.run(lambda: saga.claims.resume(city, requested.id))
    assert failed is not None
    assert (failed.state, failed.paid_fen) == ("failed", 0)
    budget = budget_of(world, FOUR_HUNDRED)
    assert (budget.reserved_fen, budget.paid_fen, budget.quota_used) == (0, 0, 0)
    assert paid.entry is not None
    check_all_are_stale(world, [paid.entry])


def test_news_that_are_told_before_they_are_stored_are_told_once(world: TalentWorld) -> None:
    """A process tells of a payment, and finds other news stored when it stores that; it tells of the payment again."""
    claim, city = claims(world, world.person(DOCTOR), NOTHING), world.city(0, NOTHING)
    assert [one.kind for one in claim.notifications] == ["waiting"]

    async def tell_all(news: Claim) -> None:
        while any(not one.sent for one in news.notifications):
            news = await send_notification(saga.benefits, city, news, NOON)

    async def told() -> list[str]:
        return [one.text.en async for one in world.real.store.scan(Notice)]

    world.run(lambda: tell_all(notify(claim, "paid", 50_00, NOON)))
    world.run(lambda: tell_all(notify(notify(claim, "cancelled", 0, NOON), "paid", 50_00, NOON)))
    texts = world.run(told)
    assert len(texts) == len(set(texts)) == len(["waiting", "paid", "cancelled"])


def test_a_reservation_that_was_decided_twice_is_made_once(
    world: TalentWorld,
) -> None:
    waiting = claims(world, world.person(DOCTOR), NOTHING)
    apply_late(world, recorded_entries(world, waiting)[0], A_HUNDRED)
    world.clock.now += timedelta(seconds=1)
    world.run(
        lambda: serve_waitlist(saga.claims, world.city(0, A_HUNDRED), "plain")
    )  # decides again, and finds the reservation made
    first, second = (entry for entry in recorded_entries(world, waiting) if entry.kind == "reserve")
    assert first.decided_at < second.decided_at
    check_all_are_stale(world, [first, second])


def test_nothing_is_reserved_twice_if_the_second_decision_has_a_slower_clock(world: TalentWorld) -> None:
    waiting = claims(world, world.person(DOCTOR), NOTHING)
    world.clock.now -= timedelta(seconds=0.5)
    world.run(lambda: serve_waitlist(saga.claims, world.city(0, A_HUNDRED), "plain"))
    world.clock.now -= timedelta(seconds=1)
    claims(world, world.person(DOCTOR), A_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED).paid_fen == 100_00
    check_all_are_stale(world, recorded_entries(world, waiting)[:1])


def test_a_reservation_voided_with_a_slower_clock_is_never_made_later(world: TalentWorld) -> None:
    waiting = claims(world, world.person(LEADER), NOTHING)
    apply_late(world, recorded_entries(world, waiting)[0], FOUR_HUNDRED)
    world.clock.now -= timedelta(seconds=1)
    world.run(lambda: saga.claims.decide(world.city(0, NOTHING), waiting, leave_waitlist))
    world.clock.now -= timedelta(seconds=1.5)
    claims(world, world.person(DOCTOR), FOUR_HUNDRED)
    assert budget_of(world, FOUR_HUNDRED).reserved_fen == 0
    check_all_are_stale(world, recorded_entries(world, waiting)[:1])
