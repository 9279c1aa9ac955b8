"""A state machine of the claims of any service, with requests that come twice or late and work that is interrupted."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
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
from tests.state_machines import run_state_machine

EXAMPLES = draws(60, soak=1_200)
PLACE = st.integers(0, 11)
KILL = st.none() | st.integers(0, 17)
SAME_YEAR = timedelta(days=150)
REASON = Text(zh="已核实", en="Reviewed")


class Subject(Protocol):
    """A person or firm that claims, with the account to which benefits are paid."""

    id: str
    account: str


class ClaimMachine(RuleBasedStateMachine):
    """Budgets change, bank calls fail, processes are killed; a service adds claims, and facts that turn out false."""

    world: ClassVar[World]
    saga: ClassVar[ClaimSaga[Any, Any]]
    budgets: ClassVar[int]
    subjects: Sequence[Subject] = ()

    def make_subjects(self) -> Sequence[Subject]:
        """Return the subjects of a new example."""
        raise NotImplementedError

    def review_subjects(self) -> None:
        """Run the regular work of the service on its subjects."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        world = self.world
        world.clock.now = NOON
        world.clear_faults()
        world.run(self._delete_all)
        for store in world.stores:
            store.recorded_entries.clear()
        self.budget, self.process, self.taps = data.draw(st.integers(0, self.budgets - 1)), 0, 0
        self.subjects = self.make_subjects()

    async def _delete_all(self) -> None:
        """Delete all claims and budgets, so that nothing is spent."""
        store = self.world.real.store
        for kind in (self.saga.benefits.budget, self.saga.kind):
            for document in [one async for one in store.scan(kind)]:
                await store.delete(document)

    @property
    def city(self) -> City:
        """Return the city as seen by one of two processes, in turn."""
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
        """Let a process do some work, which may be refused or interrupted."""
        with suppress(Problem, Conflict, Killed):
            self.world.run(work)

    def attempt_at_once(self, *work: Callable[[], Awaitable[object]]) -> None:
        async def at_once() -> None:
            await asyncio.gather(*(one() for one in work), return_exceptions=True)

        with suppress(Killed):
            self.world.run(at_once)

    # ── rules ──

    @rule(place=PLACE)
    def someone_leaves_the_waitlist(self, place: int) -> None:
        waiting = [claim for claim in self.claims_by() if claim.state == "waiting"]
        if waiting:
            claim = waiting[place % len(waiting)]
            self.attempt(lambda: self.saga.decide(self.city, claim, leave_waitlist))

    @rule(place=PLACE)
    def several_processes_advance_a_claim_at_once(self, place: int) -> None:
        claim = self.one_claim(place)
        if claim is not None:
            self.attempt_at_once(*[lambda: self.saga.resume(self.city, claim.id)] * 3)

    @rule(place=st.integers(0, 60), times=st.integers(1, 3))
    def a_slow_process_applies_its_entries_late(self, place: int, times: int) -> None:
        """It has registered the claim before, as every process does, so that the claim was not deleted."""
        registered = {claim.id for claim in self.claims_by() if claim.state != "draft"}
        noted = [one for store in self.world.stores for one in store.recorded_entries]
        entries = [(budget, entry) for budget, entry in noted if entry.claim in registered]
        for number in range(times if entries else 0):
            budget, entry = entries[(place + 7 * number) % len(entries)]
            with suppress(BudgetExhausted, StaleEntry, Conflict, Killed):
                self.world.run(partial(apply_to_budget, self.saga.benefits, self.city, budget, entry))
                self.world.counts["late entries"] += 1

    @rule(data=st.data())
    def the_budgets_change(self, data: st.DataObject) -> None:
        self.budget = data.draw(st.integers(0, self.budgets - 1))

    @rule(hours=st.sampled_from([0.01, 1, 25, 24 * 4, 24 * 4, 24 * 16, 24 * 46]))
    def time_passes(self, hours: float) -> None:
        if self.world.clock.now + timedelta(hours=hours) - NOON < SAME_YEAR:
            self.world.clock.now += timedelta(hours=hours)
        self.sweep()

    @rule()
    def waitlists_are_served(self) -> None:
        self.attempt(lambda: serve_all_waitlists(self.saga, self.city))

    @rule(place=PLACE, closed=st.booleans())
    def an_account_is_closed_or_reopened(self, place: int, closed: bool) -> None:
        change = self.world.bank.close_account if closed else self.world.bank.reopen_account
        change(self.subjects[place % len(self.subjects)].account)

    @rule(place=PLACE)
    def someone_appeals(self, place: int) -> None:
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
    def someone_repays(self, place: int, twice: bool) -> None:
        owing = [claim for claim in self.claims_by() if claim.owed_fen > 0]
        if owing:
            claim = owing[place % len(owing)]
            for _ in range(1 + twice):
                self.attempt(lambda: repay(self.saga, self.city, claim, "key", claim.owed_fen))

    @rule(place=PLACE)
    def the_bank_notifies_twice(self, place: int) -> None:
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
    def a_bank_call_will_fail(self, call: str, outcome: CallOutcome) -> None:
        if call == "look_up" and outcome not in ("lost_before", "lost_after"):
            return
        self.world.bank.database.script_outcomes(call, outcome)
        self.world.counts[f"{call} {outcome}"] += 1

    @rule(kill=st.integers(0, 17))
    def processes_will_be_killed(self, kill: int) -> None:
        self.schedule_kill(kill)

    def schedule_kill(self, kill: int | None) -> None:
        """Kill each process at a later write: before the write if the number is even, after it if it is odd."""
        if kill is None:
            return
        for store in self.world.stores:
            store.countdown, store.after = kill // 2, bool(kill % 2)

    def sweep(self) -> None:
        """Review the subjects of this example, and advance their due claims."""
        now_ms = int(self.world.clock.now.timestamp() * 1_000)
        self.review_subjects()
        for claim in self.claims_by():
            if claim.due_ms is not None and claim.due_ms <= now_ms:
                self.attempt(lambda one=claim: self.saga.resume(self.city, one.id))

    # ── invariants at every moment; `WatchedStore` checks that no write overspends a budget ──

    @invariant()
    def nobody_is_paid_twice(self) -> None:
        for claim in self.claims_by():
            assert sum(instalment.state == "requested" for instalment in claim.instalments) <= 1
            assert claim.paid_fen <= claim.amount_fen

    @invariant()
    def exclusions_and_cooldowns_are_kept(self) -> None:
        for subject in self.subjects:
            registered = [one for one in self.claims_by(subject) if one.state not in ("draft", "failed", "withdrawn")]
            self._check_intervals(sorted(registered, key=lambda claim: claim.claimed_at))

    def _check_intervals(self, claims: list[Claim]) -> None:
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

    # ── invariants once all steps are finished ──

    def teardown(self) -> None:
        if not self.subjects:
            return
        self.world.clear_faults()
        self._finish_all_steps()
        claims = self.claims_by()
        entries = self.world.bank.entries()
        for claim in claims:
            self._is_finished(claim)
            self._agrees_with_the_bank(claim, [entry for entry in entries if entry.id.startswith(f"{claim.id}/")])
        budgets = self.world.run(self._all_budgets)
        self._budgets_agree(claims, budgets)
        self._no_budget_is_left_idle(claims, budgets)
        self.check_service(claims)
        self.world.counts["claims"] += len(claims)
        self.world.counts["paid"] += sum(claim.paid_fen > 0 for claim in claims)
        self.world.counts["waiting"] += sum(claim.state == "waiting" for claim in claims)
        self.world.counts["clawed back"] += sum(claim.clawback is not None for claim in claims)
        self.world.counts["reduced"] += sum(one.kind == "reduced" for claim in claims for one in claim.notifications)
        self.world.counts["repayment_received"] += sum(claim.returned_fen > 0 for claim in claims)

    def check_service(self, claims: list[Any]) -> None:
        """Check further invariants of the service."""

    def _finish_all_steps(self) -> None:
        for subject in self.subjects:
            self.world.bank.reopen_account(subject.account)
        for days in (1, 1, 1, 1, 4, 46, 1, 4, 46, 1, 1):
            self.world.clock.now += timedelta(days=days, hours=2)
            for _ in range(2):
                self.sweep()
                self.world.clock.now += timedelta(seconds=30)
            self.world.run(lambda: serve_all_waitlists(self.saga, self.city))
        for _ in range(3):  # with the same clock: money that was just returned is paid to those who wait
            for claim in self.claims_by():
                self.world.run(lambda one=claim: self.saga.resume(self.city, one.id))
            self.world.run(lambda: serve_all_waitlists(self.saga, self.city))

    @staticmethod
    def _is_finished(claim: Claim) -> None:
        assert claim.entry is None
        assert claim.pending_transfer() is None
        assert claim.state in ("waiting", "granted", "failed", "withdrawn"), claim.state
        assert claim.state not in ("failed", "withdrawn") or claim.unblocked
        if claim.clawback is not None and not claim.clawback.has_open_appeal:
            assert claim.owed_fen == claim.excess_fen == 0
        assert all(notice.sent for notice in claim.notifications)

    @staticmethod
    def _agrees_with_the_bank(claim: Claim, moved: list[Any]) -> None:
        """Each paid instalment has one payout, and each repayment one collection."""
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
        """The figures of each budget are the sums over its claims, to the fen."""
        for name, budget in budgets.items():
            mine = [claim for claim in claims if claim.budget == name and claim.reserved]
            assert budget.paid_fen == sum(claim.paid_fen for claim in mine), name
            assert budget.reserved_fen == sum(claim.sum_fen("open") for claim in mine), name
            assert budget.returned_fen == sum(claim.returned_fen for claim in mine), name
            assert budget.quota_used == sum(claim.state == "granted" for claim in mine), name
        for claim in claims:
            if claim.paid_fen or claim.sum_fen("open") * claim.reserved:
                assert claim.budget in budgets

    def _no_budget_is_left_idle(self, claims: list[Claim], budgets: dict[str, Budget]) -> None:
        of_benefit = {name.partition(":")[0]: budget for name, budget in budgets.items()}
        for claim in claims:
            if claim.state != "waiting":
                continue
            terms = self.offers(self.budget).terms(claim.benefit, self.world.clock.now)
            assert terms is not None
            budget = replace(of_benefit[claim.benefit], limit_fen=terms.budget_fen, quota=terms.quota)
            assert not budget.covers(claim.amount_fen), "a claim waits although the budget covers it"


def drop_entries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let budgets drop entries as early as possible, which happens only under load in a real city."""
    monkeypatch.setattr(budget_model, "MAX_ENTRIES", 1)
    monkeypatch.setattr(budget_model, "MIN_RETENTION", timedelta(seconds=-1))


def run_machine(machine: type[ClaimMachine], world: World, address: str) -> None:
    """Run a machine, with fewer examples on MongoDB, and check that enough happened to mean something."""
    examples = EXAMPLES if address.startswith("sqlite") else EXAMPLES // 8

    def minimum_counts() -> dict[str, bool]:
        return {
            "paid claims": world.counts["paid"] >= examples / 2,
            "kills": world.kills >= examples / 2,
            "drops of entries": sum(store.drops for store in world.stores) >= examples,
        }

    try:
        run_state_machine(machine, examples, minimum_counts)
    finally:
        drops = [store.drops for store in world.stores]
        print(f"{dict(world.counts)}, {world.kills} kills, {drops} drops")  # noqa: T201
