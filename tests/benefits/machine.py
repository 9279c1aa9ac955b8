"""What happens to the claims of any service, and what holds of them, whatever comes twice, late, or half done."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from backend.benefits import budget as budget_model
from backend.benefits.audits import decide_appeal, file_appeal
from backend.benefits.budget import Budget, BudgetExhausted, StaleEntry
from backend.benefits.budgets import apply_to_budget
from backend.benefits.claim import Claim
from backend.benefits.claims import claims_of, receive_notice, repay
from backend.benefits.offers import Offers
from backend.benefits.saga import ClaimSaga
from backend.benefits.terms import OfferTerms
from backend.benefits.waitlist import leave_waitlist, serve_all_waitlists
from backend.city.service import City
from backend.i18n import Text
from backend.problems import Problem
from backend.store import Conflict
from integrations._sandbox.database import CallOutcome
from tests.benefits.world import NOON, World
from tests.draws import draws
from tests.services.killing import Killed

EXAMPLES = draws(60, soak=1_200)
PLACE = st.integers(0, 11)
DIES = st.none() | st.integers(0, 17)
SAME_YEAR = timedelta(days=150)
REASON = Text(zh="已核实", en="Looked into")


class Subject(Protocol):
    """Somebody who claims, with the account that is paid to."""

    id: str
    account: str


class ClaimMachine(RuleBasedStateMachine):
    """Budgets change, the bank misbehaves, processes die; a service adds claims, and facts that turn out false."""

    world: ClassVar[World]
    saga: ClassVar[ClaimSaga[Any, Any]]
    budgets: ClassVar[int]
    subjects: Sequence[Subject] = ()

    def make_subjects(self) -> Sequence[Subject]:
        """Return the subjects of a new example."""
        raise NotImplementedError

    def review_subjects(self) -> None:
        """Do what the service does about its subjects from time to time."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        world = self.world
        world.clock.now = NOON
        world.clear_faults()
        world.run(self._forget)
        for store in world.stores:
            store.carried.clear()
        self.budget, self.process, self.taps = data.draw(st.integers(0, self.budgets - 1)), 0, 0
        self.subjects = self.make_subjects()

    async def _forget(self) -> None:
        """Begin with budgets of which nothing was ever spent."""
        store = self.world.real.store
        for kind in (self.saga.benefits.budget, self.saga.kind):
            for document in [one async for one in store.scan(kind)]:
                await store.delete(document)

    @property
    def city(self) -> City:
        """Return the city as one of two processes has it, by turns."""
        self.process += 1
        return self.world.city(self.process, self.budget)

    def offers(self, budget: int = 0) -> Offers[OfferTerms]:
        return self.saga.benefits.offers(self.world.city(0, budget))

    def claims_by(self, *subjects: Subject) -> list[Any]:
        """Return the claims of these subjects, or of all."""
        benefits, city = self.saga.benefits, self.world.real
        found = [
            self.world.run(lambda one=subject: claims_of(benefits, city, one.id))
            for subject in subjects or self.subjects
        ]
        return [claim for some in found for claim in some]

    def one_claim(self, place: int) -> Any:  # noqa: ANN401  a claim of the service, or None
        claims = self.claims_by()
        return claims[place % len(claims)] if claims else None

    def attempt(self, work: Callable[[], Awaitable[object]]) -> None:
        """Let a process do some work, which may be refused or cut off."""
        with suppress(Problem, Conflict, Killed):
            self.world.run(work)

    def attempt_at_once(self, *work: Callable[[], Awaitable[object]]) -> None:
        async def at_once() -> None:
            await asyncio.gather(*(one() for one in work), return_exceptions=True)

        with suppress(Killed):
            self.world.run(at_once)

    # ── what happens ──

    @rule(place=PLACE)
    def somebody_leaves_the_line(self, place: int) -> None:
        waiting = [claim for claim in self.claims_by() if claim.state == "waiting"]
        if waiting:
            claim = waiting[place % len(waiting)]
            self.attempt(lambda: self.saga.decide(self.city, claim, leave_waitlist))

    @rule(place=PLACE)
    def advances_at_several_places_at_once(self, place: int) -> None:
        claim = self.one_claim(place)
        if claim is not None:
            self.attempt_at_once(*[lambda: self.saga.resume(self.city, claim.id)] * 3)

    @rule(place=st.integers(0, 60), times=st.integers(1, 3))
    def a_process_that_hung_comes_with_its_entries_late(self, place: int, times: int) -> None:
        carried = [one for store in self.world.stores for one in store.carried]
        for number in range(times if carried else 0):
            budget, entry = carried[(place + 7 * number) % len(carried)]
            with suppress(BudgetExhausted, StaleEntry, Conflict, Killed):
                self.world.run(partial(apply_to_budget, self.saga.benefits, self.city, budget, entry))
                self.world.did["late entries"] += 1

    @rule(data=st.data())
    def the_budgets_change(self, data: st.DataObject) -> None:
        self.budget = data.draw(st.integers(0, self.budgets - 1))

    @rule(hours=st.sampled_from([0.01, 1, 25, 24 * 4, 24 * 4, 24 * 16, 24 * 46]))
    def time_passes(self, hours: float) -> None:
        if self.world.clock.now + timedelta(hours=hours) - NOON < SAME_YEAR:
            self.world.clock.now += timedelta(hours=hours)
        self.sweep()

    @rule()
    def lines_are_served(self) -> None:
        self.attempt(lambda: serve_all_waitlists(self.saga, self.city))

    @rule(place=PLACE, broken=st.booleans())
    def an_account_is_closed(self, place: int, broken: bool) -> None:
        change = self.world.bank.close_account if broken else self.world.bank.reopen_account
        change(self.subjects[place % len(self.subjects)].account)

    @rule(place=PLACE)
    def somebody_appeals(self, place: int) -> None:
        claim = self.one_claim(place)
        if claim is not None:
            self.attempt(lambda: self.saga.decide(self.city, claim, partial(file_appeal, text="it is wrong")))

    @rule(place=PLACE, upheld=st.booleans())
    def an_appeal_is_decided(self, place: int, upheld: bool) -> None:
        appealed = [one for one in self.claims_by() if one.clawback is not None and one.clawback.has_open_appeal]
        if appealed:
            claim, decide = appealed[place % len(appealed)], partial(decide_appeal, decision_upheld=upheld)
            self.attempt(lambda: self.saga.decide(self.city, claim, partial(decide, reason=REASON)))

    @rule(place=PLACE, twice=st.booleans())
    def somebody_pays_back(self, place: int, twice: bool) -> None:
        owing = [claim for claim in self.claims_by() if claim.owed_fen > 0]
        if owing:
            claim = owing[place % len(owing)]
            for _ in range(1 + twice):
                self.attempt(lambda: repay(self.saga, self.city, claim, "key", claim.owed_fen))

    @rule(place=PLACE)
    def the_bank_tells_twice(self, place: int) -> None:
        claim = self.one_claim(place)
        transfer = claim.pending_transfer() if claim is not None else None
        if transfer is None or not self._bank_has(transfer.id):
            return
        body, signature = self.world.bank.notice(transfer.id)
        for _ in range(2):
            self.attempt(lambda: receive_notice(self.saga, self.city, body, signature))

    def _bank_has(self, transfer: str) -> bool:
        asked = "SELECT 1 FROM payouts WHERE id = ?"
        return bool(self.world.bank.database.do(lambda file: file.execute(asked, (transfer,)).fetchone()))

    @rule(
        call=st.sampled_from(["pay_out", "pay_out", "pay_out", "collect", "look_up"]),
        outcome=st.sampled_from(["lost_before", "lost_after", "refused", "pending"]),
    )
    def the_bank_misbehaves(self, call: str, outcome: CallOutcome) -> None:
        if call == "look_up" and outcome not in ("lost_before", "lost_after"):
            return
        self.world.bank.database.script_outcomes(call, outcome)
        self.world.did[f"{call} {outcome}"] += 1

    @rule(dies=st.integers(0, 17))
    def processes_will_be_killed(self, dies: int) -> None:
        self.let_die(dies)

    def let_die(self, dies: int | None) -> None:
        """Let each process die at a write to come: before it for an even number, after it for an odd one."""
        if dies is None:
            return
        for store in self.world.stores:
            store.countdown, store.after = dies // 2, bool(dies % 2)

    def sweep(self) -> None:
        """Review the subjects of this example, and advance their due claims."""
        now_ms = int(self.world.clock.now.timestamp() * 1_000)
        self.review_subjects()
        for claim in self.claims_by():
            if claim.due_ms is not None and claim.due_ms <= now_ms:
                self.attempt(lambda one=claim: self.saga.resume(self.city, one.id))

    # ── what holds at every moment; that no write overspends a budget, the store itself watches ──

    @invariant()
    def nobody_is_paid_twice(self) -> None:
        for claim in self.claims_by():
            assert sum(instalment.state == "requested" for instalment in claim.instalments) <= 1
            assert claim.paid_fen <= claim.amount_fen

    @invariant()
    def exclusion_and_cooldown_hold(self) -> None:
        for subject in self.subjects:
            registered = [one for one in self.claims_by(subject) if one.state not in ("draft", "failed", "withdrawn")]
            self._are_apart(sorted(registered, key=lambda claim: claim.claimed_at))

    def _are_apart(self, claims: list[Claim]) -> None:
        for benefit in self.offers().names():
            terms = self.offers().terms(benefit, NOON)
            assert terms is not None
            own = [claim.claimed_at for claim in claims if claim.benefit == benefit]
            assert len(own) <= terms.times_at_most
            assert all(later - earlier >= terms.cooldown for earlier, later in pairwise(own))
            for excluded in terms.excludes:
                others = [claim.claimed_at for claim in claims if claim.benefit == excluded.benefit]
                assert excluded.within is not None
                assert all(abs(other - one) >= excluded.within for one in own for other in others)

    # ── what holds when all is calm again ──

    def teardown(self) -> None:
        if not self.subjects:
            return
        self.world.clear_faults()
        self._come_to_rest()
        claims = self.claims_by()
        entries = self.world.bank.entries()
        for claim in claims:
            self._is_at_rest(claim)
            self._agrees_with_the_bank(claim, [entry for entry in entries if entry.id.startswith(f"{claim.id}/")])
        budgets = self.world.run(self._all_budgets)
        self._budgets_agree(claims, budgets)
        self._nothing_lies_idle(claims, budgets)
        self.also_holds(claims)
        self.world.did["claims"] += len(claims)
        self.world.did["paid"] += sum(claim.paid_fen > 0 for claim in claims)
        self.world.did["waiting"] += sum(claim.state == "waiting" for claim in claims)
        self.world.did["clawed back"] += sum(claim.clawback is not None for claim in claims)
        self.world.did["reduced"] += sum(one.kind == "reduced" for claim in claims for one in claim.notifications)
        self.world.did["repayment_received"] += sum(claim.returned_fen > 0 for claim in claims)

    def also_holds(self, claims: list[Any]) -> None:
        """Check what else the service promises."""

    def _come_to_rest(self) -> None:
        for subject in self.subjects:
            self.world.bank.reopen_account(subject.account)
        for days in (1, 1, 1, 1, 4, 46, 1, 4, 46, 1, 1):
            self.world.clock.now += timedelta(days=days, hours=2)
            for _ in range(2):
                self.sweep()
                self.world.clock.now += timedelta(seconds=30)
            self.world.run(lambda: serve_all_waitlists(self.saga, self.city))
        for _ in range(3):  # with the clock standing still: whatever came back just now is handed on
            for claim in self.claims_by():
                self.world.run(lambda one=claim: self.saga.resume(self.city, one.id))
            self.world.run(lambda: serve_all_waitlists(self.saga, self.city))

    @staticmethod
    def _is_at_rest(claim: Claim) -> None:
        assert claim.entry is None
        assert claim.pending_transfer() is None
        assert claim.state in ("waiting", "granted", "failed", "withdrawn"), claim.state
        assert claim.state not in ("failed", "withdrawn") or claim.unblocked
        if claim.clawback is not None and not claim.clawback.has_open_appeal:
            assert claim.owed_fen == claim.excess_fen == 0
        assert all(notice.sent for notice in claim.notifications)

    @staticmethod
    def _agrees_with_the_bank(claim: Claim, moved: list[Any]) -> None:
        """Each part was paid by one payout, and all that came back was collected."""
        paid = {
            instalment.payout: instalment.amount_fen for instalment in claim.instalments if instalment.state == "paid"
        }
        returned = {one.id: one.amount_fen for one in claim.collections if one.state == "done"}
        assert {one.id: one.amount_fen for one in moved if one.kind == "payout"} == paid
        assert {one.id: one.amount_fen for one in moved if one.kind == "collection"} == returned
        assert len(moved) == len(paid) + len(returned)
        assert sum(returned.values()) <= claim.paid_fen

    async def _all_budgets(self) -> dict[str, Budget]:
        return {one.id: one async for one in self.world.real.store.scan(self.saga.benefits.budget)}

    @staticmethod
    def _budgets_agree(claims: list[Claim], budgets: dict[str, Budget]) -> None:
        """Paid and still reserved are, with what was released, all that was ever reserved: to the fen."""
        for name, budget in budgets.items():
            mine = [claim for claim in claims if claim.budget == name and claim.reserved]
            assert budget.paid_fen == sum(claim.paid_fen for claim in mine), name
            assert budget.reserved_fen == sum(claim.sum_fen("open") for claim in mine), name
            assert budget.returned_fen == sum(claim.returned_fen for claim in mine), name
            assert budget.quota_used == sum(claim.state == "granted" for claim in mine), name
        for claim in claims:
            if claim.paid_fen or claim.sum_fen("open") * claim.reserved:
                assert claim.budget in budgets

    def _nothing_lies_idle(self, claims: list[Claim], budgets: dict[str, Budget]) -> None:
        of_benefit = {name.partition(":")[0]: budget for name, budget in budgets.items()}
        for claim in claims:
            if claim.state != "waiting":
                continue
            terms = self.offers(self.budget).terms(claim.benefit, self.world.clock.now)
            assert terms is not None
            budget = replace(of_benefit[claim.benefit], limit_fen=terms.budget_fen, quota=terms.quota)
            assert not budget.covers(claim.amount_fen), "budget lies idle while a claim waits that it could pay"


def drop_entries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let budgets drop entries as soon as they may, which a city's do only under load."""
    monkeypatch.setattr(budget_model, "MAX_ENTRIES", 1)
    monkeypatch.setattr(budget_model, "MIN_RETENTION", timedelta(seconds=-1))


def run_machine(machine: type[ClaimMachine], world: World, address: str) -> None:
    """Run a machine, fewer times on MongoDB, and check that enough happened to mean something."""
    examples = EXAMPLES if address.startswith("sqlite") else EXAMPLES // 8
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
    print(f"{dict(world.did)}, {world.kills} kills, {[store.drops for store in world.stores]} drops")  # noqa: T201
    assert world.did["paid"] >= examples / 2
    assert world.kills >= examples / 2
    assert sum(store.drops for store in world.stores) >= examples
