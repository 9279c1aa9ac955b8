"""What holds of all claims, whatever comes twice, late, unheard, turns out false, or is cut off in the middle."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from backend.benefits import budget as budget_model
from backend.benefits.audits import decide_appeal, file_appeal
from backend.benefits.budget import BudgetExhausted, StaleEntry
from backend.benefits.budgets import apply_to_budget
from backend.benefits.claims import claims_of, record_answer, repay
from backend.benefits.reservations import leave_waitlist
from backend.benefits.waitlist import serve_all_waitlists
from backend.city.service import City
from backend.i18n import Text
from backend.problems import Problem
from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.eligibility import update_talent
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.talent import Talent, request_recheck
from backend.services.talent_code.saga import benefits, claims, reviews
from backend.store import Conflict
from integrations._sandbox.database import CallOutcome
from tests.draws import draws
from tests.services.killing import Killed
from tests.services.talent_code.sample_rules import TERMS
from tests.services.talent_code.world import BUDGETS_FEN, DOCTOR, LEADER, NOON, Person, World

pytestmark = pytest.mark.slow

EXAMPLES = draws(60, soak=1_200)
WHO = st.integers(0, 3)
BENEFIT = st.sampled_from(sorted(TERMS))
PLACE = st.integers(0, 11)
DIES = st.none() | st.integers(0, 17)
SAME_YEAR = timedelta(days=150)
REASON = Text(zh="已核实", en="Looked into")


class Claims(RuleBasedStateMachine):
    """People claim, months pass, budgets change, facts turn out false, bank and registries misbehave, processes die."""

    world: ClassVar[World]

    @initialize(budget=st.integers(0, len(BUDGETS_FEN) - 1))
    def people(self, budget: int) -> None:
        world = self.world
        world.clock.now = NOON.replace(year=NOON.year)
        world.clear_faults()
        world.run(self._forget)
        for store in world.stores:
            store.carried.clear()
        self.budget, self.process, self.taps, self.most = budget, 0, 0, BUDGETS_FEN[budget]
        self.persons: list[Person] = [
            world.person(*said) for said in ((LEADER, DOCTOR), (DOCTOR,), (DOCTOR,), (LEADER,))
        ]

    async def _forget(self) -> None:
        """Begin with budgets of which nothing was ever spent."""
        store = self.world.real.store
        for kind in (Budget, Claim):
            for document in [one async for one in store.scan(kind)]:
                await store.delete(document)

    @property
    def city(self) -> City:
        """Give the city as one of two processes has it, by turns."""
        self.process += 1
        return self.world.city(self.process, self.budget)

    def _claims(self, who: int | None = None) -> list[Claim]:
        persons = self.persons if who is None else [self.persons[who]]
        city = self.world.real
        return [
            claim
            for person in persons
            for claim in self.world.run(lambda one=person: claims_of(benefits, city, one.id))
        ]

    def _one(self, place: int) -> Claim | None:
        claims = self._claims()
        return claims[place % len(claims)] if claims else None

    # ── what happens ──

    @rule(who=WHO, benefit=BENEFIT, homes=st.sampled_from([None, 0, 0, 1]), spent=st.integers(0, 90_00), dies=DIES)
    def claims(self, who: int, benefit: str, homes: int | None, spent: int, dies: int | None = None) -> None:
        self._let_die(dies)
        stated = {"homes": homes} if homes is not None else {}
        if benefit == "spent":
            stated["spent_fen"] = spent
        self.taps += 1
        with suppress(Problem, Conflict, Killed):
            self.world.run(lambda: claim_benefit(self.city, self.persons[who].id, benefit, f"{self.taps}", stated))

    @rule(who=WHO, benefit=BENEFIT)
    def claims_the_same_on_two_phones_at_once(self, who: int, benefit: str) -> None:
        self.taps += 2
        person, stated = self.persons[who].id, {"spent_fen": 30_00} if benefit == "spent" else {}

        async def at_once() -> None:
            taps = [claim_benefit(self.city, person, benefit, f"{self.taps - place % 2}", stated) for place in range(4)]
            await asyncio.gather(*taps, return_exceptions=True)

        with suppress(Killed):
            self.world.run(at_once)

    @rule(benefit=BENEFIT, dies=DIES)
    def all_claim_at_once(self, benefit: str, dies: int | None) -> None:
        self._let_die(dies)
        self.taps += 1
        stated = {"spent_fen": 55_55} if benefit == "spent" else {}

        async def at_once() -> None:
            taps = [claim_benefit(self.city, one.id, benefit, f"{self.taps}", stated) for one in self.persons]
            await asyncio.gather(*taps, return_exceptions=True)

        with suppress(Killed):
            self.world.run(at_once)

    @rule(place=PLACE)
    def somebody_leaves_the_line(self, place: int) -> None:
        waiting = [claim for claim in self._claims() if claim.state == "waiting"]
        if waiting:
            with suppress(Problem, Conflict, Killed):
                self.world.run(lambda: claims.decide(self.city, waiting[place % len(waiting)], leave_waitlist))

    @rule(place=PLACE)
    def advances_at_several_places_at_once(self, place: int) -> None:
        claim = self._one(place)
        if claim is None:
            return

        async def at_once() -> None:
            await asyncio.gather(*(claims.resume(self.city, claim.id) for _ in range(3)), return_exceptions=True)

        with suppress(Killed):
            self.world.run(at_once)

    @rule(place=st.integers(0, 60), times=st.integers(1, 3))
    def a_process_that_hung_comes_with_its_entries_late(self, place: int, times: int) -> None:
        carried = [one for store in self.world.stores for one in store.carried]
        for number in range(times if carried else 0):
            budget, entry = carried[(place + 7 * number) % len(carried)]
            with suppress(BudgetExhausted, StaleEntry, Conflict, Killed):
                self.world.run(partial(apply_to_budget, benefits, self.city, budget, entry))
                self.world.did["late entries"] += 1

    @rule(budget=st.integers(0, len(BUDGETS_FEN) - 1))
    def the_budgets_change(self, budget: int) -> None:
        self.budget = budget
        self.most = max(self.most, BUDGETS_FEN[budget])

    @rule(hours=st.sampled_from([0.01, 1, 25, 24 * 4, 24 * 4, 24 * 16, 24 * 46]))
    def time_passes(self, hours: float) -> None:
        if self.world.clock.now + timedelta(hours=hours) - NOON < SAME_YEAR:
            self.world.clock.now += timedelta(hours=hours)
        self._sweep()

    @rule()
    def lines_are_served(self) -> None:
        with suppress(Conflict, Killed):
            self.world.run(lambda: serve_all_waitlists(claims, self.city))

    @rule(who=WHO, months=st.sampled_from([3, 6, 12]))
    def months_are_insured(self, who: int, months: int) -> None:
        self.world.insurance.set_months(self.persons[who].number, months)

    @rule(who=WHO, homes=st.integers(0, 1))
    def a_home_is_found(self, who: int, homes: int) -> None:
        self.world.property.set_homes(self.persons[who].number, homes)

    @rule(who=WHO, benefit=BENEFIT)
    def claims_with_a_false_statement_that_is_audited(self, who: int, benefit: str) -> None:
        self.world.property.set_homes(self.persons[who].number, 1)
        self.claims(who, benefit, 0, 30_00)
        self.time_passes(24 * 4)

    @rule(who=WHO, fen=st.integers(0, 60_00))
    def invoices_are_found(self, who: int, fen: int) -> None:
        self.world.tax.set_invoiced(self.persons[who].number, "spent", fen)

    @rule(who=WHO, all_of_it=st.booleans())
    def evidence_turns_out_false(self, who: int, all_of_it: bool) -> None:
        person = self.persons[who]
        self.world.employment.set_merits(person.number)
        if all_of_it:
            self.world.education.set_degrees(person.number)
        with suppress(Conflict, Killed):
            self.world.run(lambda: update_talent(self.city, person.id, request_recheck))
            self.world.run(lambda: reviews.resume(self.city, person.id))

    @rule(who=WHO, broken=st.booleans())
    def an_account_is_closed(self, who: int, broken: bool) -> None:
        change = self.world.bank.close_account if broken else self.world.bank.reopen_account
        change(self.persons[who].account)

    @rule(place=PLACE)
    def somebody_appeals(self, place: int) -> None:
        claim = self._one(place)
        if claim is not None:
            with suppress(Problem, Conflict, Killed):
                self.world.run(lambda: claims.decide(self.city, claim, partial(file_appeal, text="it is wrong")))

    @rule(place=PLACE, upheld=st.booleans())
    def an_appeal_is_decided(self, place: int, upheld: bool) -> None:
        appealed = [claim for claim in self._claims() if claim.clawback is not None and claim.clawback.has_open_appeal]
        if appealed:
            claim = appealed[place % len(appealed)]
            with suppress(Problem, Conflict, Killed):
                decide = partial(decide_appeal, decision_upheld=upheld, reason=REASON)
                self.world.run(lambda: claims.decide(self.city, claim, decide))

    @rule(place=PLACE, twice=st.booleans())
    def somebody_pays_back(self, place: int, twice: bool) -> None:
        owing = [claim for claim in self._claims() if claim.clawback is not None and claim.clawback.owed_fen > 0]
        if not owing:
            return
        claim = owing[place % len(owing)]
        assert claim.clawback is not None
        fen = claim.clawback.owed_fen
        for _ in range(1 + twice):
            with suppress(Problem, Conflict, Killed):
                self.world.run(lambda: repay(claims, self.city, claim, "key", fen))

    @rule(place=PLACE)
    def the_bank_tells_twice(self, place: int) -> None:
        claim = self._one(place)
        asked = self._bank_step(claim) if claim is not None else None
        if claim is None or asked is None or not self._bank_has(asked):
            return
        notice = self.world.bank.read_notice(*self.world.bank.notice(asked))
        for _ in range(2):
            with suppress(Conflict, Killed):
                self.world.run(lambda: record_answer(claims, self.city, notice.id, notice.answer))

    @staticmethod
    def _bank_step(claim: Claim) -> str | None:
        transfer = claim.pending_transfer()
        return transfer.id if transfer is not None else None

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

    @rule(
        call=st.sampled_from(["insured_months", "confirm_degree", "confirm_merit", "homes", "invoiced_fen"]),
        outcome=st.sampled_from(["lost_before", "refused", "pending", "wrong"]),
    )
    def a_registry_misbehaves(self, call: str, outcome: CallOutcome) -> None:
        self.world.bank.database.script_outcomes(call, outcome)
        self.world.did[f"{call} {outcome}"] += 1

    @rule(dies=st.integers(0, 17))
    def processes_will_be_killed(self, dies: int) -> None:
        self._let_die(dies)

    def _let_die(self, dies: int | None) -> None:
        """Let each process die at a write to come: before it for an even number, after it for an odd one."""
        if dies is None:
            return
        for store in self.world.stores:
            store.countdown, store.after = dies // 2, bool(dies % 2)

    def _sweep(self) -> None:
        """Review the people of this example, and advance their due claims."""
        now_ms = int(self.world.clock.now.timestamp() * 1_000)
        for person in self.persons:
            with suppress(Conflict, Killed):
                self.world.run(lambda one=person: reviews.resume(self.city, one.id))
        for claim in self._claims():
            if claim.due_ms is not None and claim.due_ms <= now_ms:
                with suppress(Conflict, Killed, Problem):
                    self.world.run(lambda one=claim: claims.resume(self.city, one.id))

    # ── what holds at every moment; that no write overspends a budget, the store itself watches ──

    @invariant()
    def nobody_is_paid_twice(self) -> None:
        for claim in self._claims() if hasattr(self, "persons") else ():
            assert sum(instalment.state == "requested" for instalment in claim.instalments) <= 1
            assert claim.paid_fen <= claim.amount_fen

    @invariant()
    def exclusion_and_cooldown_hold(self) -> None:
        for who in range(len(self.persons)) if hasattr(self, "persons") else ():
            counting = sorted(
                (one for one in self._claims(who) if one.state not in ("draft", "failed", "withdrawn")),
                key=lambda claim: claim.claimed_at,
            )
            self._keep_apart(counting)

    def _keep_apart(self, counting: list[Claim]) -> None:
        for benefit in TERMS:
            terms = offers_of(self.world.rulebooks[0]).terms(benefit, NOON)
            assert terms is not None
            own = [claim.claimed_at for claim in counting if claim.benefit == benefit]
            assert len(own) <= terms.times_at_most
            assert all(later - earlier >= terms.cooldown for earlier, later in pairwise(own))
            for excluded in terms.excludes:
                others = [claim.claimed_at for claim in counting if claim.benefit == excluded.benefit]
                assert excluded.within is not None
                assert all(abs(other - one) >= excluded.within for one in own for other in others)

    # ── what holds when all is calm again ──

    def teardown(self) -> None:
        if not hasattr(self, "persons"):
            return
        self.world.clear_faults()
        self._come_to_rest()
        claims = self._claims()
        entries = self.world.bank.entries()
        for claim in claims:
            self._is_at_rest(claim)
            moved = [entry for entry in entries if entry.id.startswith(f"{claim.id}/")]
            self._agrees_with_the_bank(claim, moved)
        self._budgets_agree(claims)
        self._nothing_lies_idle(claims)
        self._a_lost_class_stops_what_its_rule_says(claims)
        self.world.did["claims"] += len(claims)
        self.world.did["paid"] += sum(claim.paid_fen > 0 for claim in claims)
        self.world.did["waiting"] += sum(claim.state == "waiting" for claim in claims)
        self.world.did["clawed back"] += sum(claim.clawback is not None for claim in claims)
        self.world.did["reduced"] += sum(notice.kind == "reduced" for claim in claims for notice in claim.notifications)
        self.world.did["repayment_received"] += sum(claim.returned_fen > 0 for claim in claims)

    def _come_to_rest(self) -> None:
        for person in self.persons:
            self.world.bank.reopen_account(person.account)
        for days in (1, 1, 1, 1, 4, 46, 1, 4, 46, 1, 1):
            self.world.clock.now += timedelta(days=days, hours=2)
            for _ in range(2):
                self._sweep()
                self.world.clock.now += timedelta(seconds=30)
            self.world.run(lambda: serve_all_waitlists(claims, self.city))
        for _ in range(3):  # with the clock standing still: whatever came back just now is handed on
            for claim in self._claims():
                self.world.run(lambda one=claim: claims.resume(self.city, one.id))
            self.world.run(lambda: serve_all_waitlists(claims, self.city))

    @staticmethod
    def _is_at_rest(claim: Claim) -> None:
        assert claim.entry is None
        assert claim.pending_transfer() is None
        assert claim.state in ("waiting", "granted", "failed", "withdrawn"), claim.state
        assert claim.state not in ("failed", "withdrawn") or claim.unblocked
        if claim.clawback is not None and not claim.clawback.has_open_appeal:
            assert claim.clawback.owed_fen == claim.excess_fen == 0
        assert all(notice.sent for notice in claim.notifications)

    @staticmethod
    def _agrees_with_the_bank(claim: Claim, moved: list[object]) -> None:
        """Each part was paid by one payout, and all that came back was collected."""
        paid = {
            instalment.payout: instalment.amount_fen for instalment in claim.instalments if instalment.state == "paid"
        }
        collections = claim.clawback.collections if claim.clawback is not None else ()
        returned = {one.id: one.amount_fen for one in collections if one.state == "done"}
        assert {one.id: one.amount_fen for one in moved if one.kind == "payout"} == paid
        assert {one.id: one.amount_fen for one in moved if one.kind == "collection"} == returned
        assert len(moved) == len(paid) + len(returned)
        assert sum(returned.values()) <= claim.paid_fen

    def _budgets_agree(self, claims: list[Claim]) -> None:
        """Paid and still reserved are, with what was released, all that was ever reserved: to the fen."""
        budgets = {one.id: one for one in self.world.run(self._all_budgets)}
        for name, budget in budgets.items():
            mine = [claim for claim in claims if claim.budget == name and claim.reserved]
            assert budget.paid_fen == sum(claim.paid_fen for claim in mine), name
            assert budget.reserved_fen == sum(claim.sum_fen("open") for claim in mine), name
            assert budget.returned_fen == sum(claim.returned_fen for claim in mine), name
            assert budget.quota_used == sum(claim.state == "granted" for claim in mine), name
        for claim in claims:
            if claim.paid_fen or claim.sum_fen("open") * claim.reserved:
                assert claim.budget in budgets

    async def _all_budgets(self) -> list[Budget]:
        return [one async for one in self.world.real.store.scan(Budget)]

    def _nothing_lies_idle(self, claims: list[Claim]) -> None:
        budgets = {one.id.partition(":")[0]: one for one in self.world.run(self._all_budgets)}
        city = self.world.city(0, self.budget)
        for claim in claims:
            if claim.state != "waiting":
                continue
            terms = offers_of(city.rulebook).terms(claim.benefit, self.world.clock.now)
            assert terms is not None
            budget = replace(budgets[claim.benefit], limit_fen=terms.budget_fen, quota=terms.quota)
            assert not budget.covers(claim.amount_fen), "budget lies idle while a claim waits that it could pay"

    def _a_lost_class_stops_what_its_rule_says(self, claims: list[Claim]) -> None:
        talents = self.world.run(lambda: self.world.real.store.get_many(Talent, [person.id for person in self.persons]))
        for claim in claims:
            lost = talents[claim.subject].lost_class_since(claim.claimed_at)
            stopped = sum(instalment.state == "cancelled" for instalment in claim.instalments)
            if lost and claim.after_withdrawal == "stop":
                assert claim.sum_fen("open") == 0
                assert claim.state != "waiting"
            untouched = claim.audit is None and not any(instalment.attempts for instalment in claim.instalments)
            if claim.state == "granted" and claim.after_withdrawal == "go_on" and untouched:
                assert stopped == 0, "only its own rule stops what is to come"


@pytest.fixture
def world(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Make the city; its budgets drop entries as soon as they may, which a city's do only under load."""
    monkeypatch.setattr(budget_model, "MAX_ENTRIES", 1)
    monkeypatch.setattr(budget_model, "MIN_RETENTION", timedelta(seconds=-1))
    Claims.world = world = World(tmp_path, address, "pymongo")
    yield world
    world.close()


def test_whatever_happens_every_fen_is_accounted_for(world: World, address: str) -> None:
    examples = EXAMPLES if address.startswith("sqlite") else EXAMPLES // 8
    run_state_machine_as_test(
        Claims,
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
