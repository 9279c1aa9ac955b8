"""A state machine of hospitals, patients, the insurance and the bank, with calls that fail and processes that die."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.paylater.credit_line import CreditLine
from backend.paylater.transfers import pay, record_bank_answer
from backend.problems import Problem
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.hospital_commands import handle_command, is_unchanged
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    ChangeVisit,
    CloseVisit,
    Command,
    OpenVisit,
    ReopenVisit,
    WithdrawCounterPayment,
)
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import CounterPayment, Line, Visit, visit_id
from backend.services.medical_credit.ports import Split
from backend.services.medical_credit.saga import visit_saga
from backend.store import Conflict
from integrations._sandbox.database import CallOutcome
from tests.services.health_code.scene import id_number
from tests.services.killing import Killed
from tests.services.medical_credit.scene import FACTS, NOON
from tests.services.medical_credit.world import HOSPITALS, World

FEN = st.integers(1, 90_000)
PLACES = st.integers(0, 2)
VISITS = st.integers(0, 9)
CALLS = ("settle", "cancel", "reverse", "pay", "refund", "look_up")


class VisitMachine(RuleBasedStateMachine):
    """Hospitals send commands, people pay, insurance and bank fail, processes are killed; then all steps finish."""

    world: ClassVar[World]

    @initialize(automatic=st.booleans())
    def people(self, automatic: bool) -> None:
        world = self.world
        world.clock.now = NOON
        world.insurance.database.clear_faults()
        world.store.countdown = None
        self.numbers: list[tuple[Hospital, str]] = []
        self.sent_commands: list[tuple[Hospital, str, Command, str]] = []
        self.events = count(1)
        self.persons = [self._enrol(automatic) for _ in range(2)]

    def _enrol(self, automatic: bool) -> tuple[str, str]:
        world = self.world
        serial = next(world.serial)
        number = id_number(serial % 1_000, 1990 + serial // 1_000)

        async def enrol() -> str:
            known = parse_id_number(number, world.city.today())
            profile = await find_or_create_person(world.city.store, world.city.encryption, known, NOON)
            await world.city.store.insert(
                Enrolment(
                    id=profile.id,
                    agreement="2026-01",
                    consented_at=NOON,
                    automatic_debit=automatic,
                    facts=FACTS,
                    facts_at=NOON + timedelta(days=10_000),
                )
            )
            return profile.id

        world.insurance.set_balance(number, 5_000)
        return number, world.run(enrol)

    # ── events ──

    def _send(self, hospital: Hospital, number: str, command: Command, event: str | None = None) -> None:
        """Send a command; if the process is killed meanwhile, the hospital sends it again."""
        event = event or f"event-{next(self.events)}"
        for _ in range(3):
            with suppress(Killed):
                try:
                    self.world.run(lambda: handle_command(self.world.city, hospital, number, command, event))
                except Problem:
                    return
                self.sent_commands.append((hospital, number, command, event))
                return

    def _at(self, place: int) -> tuple[Hospital, str]:
        return self.numbers[place % len(self.numbers)]

    @rule(who=PLACES, where=PLACES, kind=st.sampled_from(["outpatient", "emergency", "inpatient"]))
    def opens(self, who: int, where: int, kind: VisitKind) -> None:
        hospital, number = HOSPITALS[where % 2], f"V{next(self.world.serial)}"
        self.numbers.append((hospital, number))
        self._send(hospital, number, OpenVisit(self.persons[who % 2][0], kind, self.world.clock.now))
        self.world.visit_count += 1

    @rule(who=PLACES, where=PLACES, fen=FEN, kind=st.sampled_from(["outpatient", "emergency", "inpatient"]))
    def a_whole_visit_takes_place(self, who: int, where: int, fen: int, kind: VisitKind) -> None:
        self.opens(who, where, kind)
        place = len(self.numbers) - 1
        for line in range(3):
            self.charges(place, line, fen + line)
        self.closes_and_bills(place)

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, line=PLACES, fen=FEN)
    def charges(self, place: int, line: int, fen: int) -> None:
        self._send(*self._at(place), Line(f"L{line}", "charge", "110100001", "诊查费", fen, self.world.clock.now))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, line=PLACES, of=PLACES, fen=FEN)
    def credits(self, place: int, line: int, of: int, fen: int) -> None:
        self._send(*self._at(place), Line(f"C{line}", "credit", "", "", -fen, self.world.clock.now, f"L{of}"))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, line=PLACES, of=PLACES, fen=st.integers(-9_000, 9_000))
    def adjusts(self, place: int, line: int, of: int, fen: int) -> None:
        self._send(*self._at(place), Line(f"A{line}", "adjustment", "", "", fen, self.world.clock.now, f"L{of}"))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, payment=PLACES, fen=FEN)
    def is_paid_at_the_counter(self, place: int, payment: int, fen: int) -> None:
        self._send(*self._at(place), CounterPayment(f"P{payment}", fen, self.world.clock.now))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, payment=PLACES, mistaken=st.booleans())
    def withdraws_a_payment_at_the_counter(self, place: int, payment: int, mistaken: bool) -> None:
        self._send(*self._at(place), WithdrawCounterPayment(f"P{payment}", mistaken=mistaken))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, final=st.booleans())
    def closes(self, place: int, final: bool) -> None:
        self._send(*self._at(place), CloseVisit(self.world.clock.now, final))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS)
    def closes_and_bills(self, place: int) -> None:
        self._send(*self._at(place), CloseVisit(self.world.clock.now, final=True))
        self.advances(place)

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, kind=st.sampled_from(["outpatient", "emergency", "inpatient"]))
    def changes_kind(self, place: int, kind: VisitKind) -> None:
        self._send(*self._at(place), ChangeVisit(kind))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS)
    def reopens(self, place: int) -> None:
        self._send(*self._at(place), ReopenVisit())

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS)
    def cancels(self, place: int) -> None:
        self._send(*self._at(place), CancelVisit())

    @precondition(lambda self: self.sent_commands)
    @rule(place=st.integers(0, 50))
    def a_command_is_repeated(self, place: int) -> None:
        """A command that was accepted before changes nothing."""
        hospital, number, command, event = self.sent_commands[place % len(self.sent_commands)]
        before = self._visit(hospital, number)
        with suppress(Killed):  # a repeated opening tries to store the visit
            result = self.world.run(lambda: handle_command(self.world.city, hospital, number, command, event))
            assert is_unchanged(before, result), command
        assert self._visit(hospital, number) == before

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, who=PLACES, key=st.sampled_from(["a", "b"]), everything=st.booleans())
    def pays(self, place: int, who: int, key: str, everything: bool) -> None:
        world, visit = self.world, self._visit(*self._at(place))
        if visit is None or visit.stage() != "billed":
            return
        fen = visit.owed_fen() if everything else visit.payable_now_fen(world.clock.now)
        with suppress(Problem, Conflict, Killed):
            world.run(
                lambda: pay(
                    world.city, visit_saga, visit, self.persons[who % 2][1], key, fen, "all" if everything else "now"
                )
            )

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS)
    def the_bank_notifies_twice(self, place: int) -> None:
        visit = self._visit(*self._at(place))
        pending = visit.pending_payment() if visit is not None else None
        if pending is None or self._bank_has(pending.id) is None:
            return
        notice = self.world.bank.read_notice(*self.world.bank.notice(pending.id))
        for _ in range(2):
            with suppress(Conflict, Killed):
                self.world.run(lambda: record_bank_answer(self.world.city, visit_saga, notice.id, notice.answer))

    def _bank_has(self, transfer_id: str) -> object:
        return self.world.bank.database.do(
            lambda file: file.execute("SELECT 1 FROM transfers WHERE id = ?", (transfer_id,)).fetchone()
        )

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS)
    def advances(self, place: int) -> None:
        key = visit_id(self._at(place)[0].id, self._at(place)[1])
        with suppress(Conflict, Killed):
            self.world.run(lambda: visit_saga.resume(self.world.city, key))

    @precondition(lambda self: self.numbers)
    @rule(place=VISITS, fen=FEN)
    def several_processes_advance_a_visit_at_once(self, place: int, fen: int) -> None:
        hospital, number = self._at(place)
        key, city = visit_id(hospital.id, number), self.world.city
        command = Line(f"M{fen}", "charge", "110100001", "诊查费", fen, self.world.clock.now)

        async def at_once() -> None:
            handling = handle_command(city, hospital, number, command, f"at-once-{fen}")
            await asyncio.gather(
                visit_saga.resume(city, key), handling, visit_saga.resume(city, key), return_exceptions=True
            )

        with suppress(Killed):
            self.world.run(at_once)

    @rule(minutes=st.sampled_from([1, 2, 31, 60 * 24, 60 * 49, 60 * 24 * 31]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.now += timedelta(minutes=minutes)
        self._sweep()

    @rule(call=st.sampled_from(CALLS), outcome=st.sampled_from(["lost_before", "lost_after", "refused", "pending"]))
    def a_call_will_fail(self, call: str, outcome: CallOutcome) -> None:
        fits = {"pending": ("pay", "refund"), "refused": ("settle", "pay")}.get(outcome, CALLS)
        if call in fits:
            self.world.insurance.database.script_outcomes(call, outcome)
            self.world.injected_faults[f"{call} {outcome}"] += 1

    @rule(countdown=st.integers(0, 4), after=st.booleans())
    def a_process_will_be_killed(self, countdown: int, after: bool) -> None:
        self.world.store.countdown, self.world.store.after = countdown, after

    def _sweep(self) -> int:
        """Run the due steps of this example's visits, as one sweep does; return the number of due visits."""
        city, now_ms = self.world.city, int(self.world.clock.now.timestamp() * 1_000)
        found = 0
        for hospital, number in self.numbers:
            visit = self._visit(hospital, number)
            if visit is not None and visit.due_ms is not None and visit.due_ms <= now_ms:
                found += 1
                with suppress(Conflict, Killed):
                    self.world.run(lambda key=visit.id: visit_saga.resume(city, key))
        return found

    def _visit(self, hospital: Hospital, number: str) -> Visit | None:
        return self.world.run(lambda: self.world.city.store.get(Visit, visit_id(hospital.id, number)))

    def _visits(self) -> list[Visit]:
        found = [self._visit(hospital, number) for hospital, number in self.numbers]
        return [visit for visit in found if visit is not None]

    def _credit(self) -> dict[tuple[str, str], CreditLine]:
        """Return the lines of credit by person and purpose."""
        ids = [person for _, person in self.persons]
        enrolments = self.world.run(lambda: self.world.city.store.get_many(Enrolment, ids))
        return {(key, purpose): line for key, one in enrolments.items() for purpose, line in one.credit.items()}

    # ── invariants at every moment ──

    @invariant()
    def the_limit_is_kept(self) -> None:
        for line in self._credit().values() if hasattr(self, "persons") else ():
            assert line.held_fen(self.world.clock.now) + line.used_fen() <= line.limit_fen

    @invariant()
    def nobody_pays_twice_at_once(self) -> None:
        for visit in self._visits() if hasattr(self, "persons") else ():
            assert sum(payment.state == "requested" for payment in visit.payments) <= 1

    # ── invariants once all steps are finished ──

    def teardown(self) -> None:
        if not hasattr(self, "persons"):
            return
        self.world.insurance.database.clear_faults()
        self.world.store.countdown = None
        self._finish_all_steps()
        settlements = self.world.insurance.in_force()
        entries = self.world.bank.entries()
        credit = self._credit()
        for visit in self._visits():
            self._is_finished(visit)
            self._is_settled_once(visit, settlements.get(visit.id))
            transfers = {entry.id: entry for entry in entries if entry.id.startswith(f"{visit.id}/")}
            self._agrees_with_the_bank(visit, transfers)
        for number, person in self.persons:
            self._agrees_with_the_account(person, credit)
            withdrawn_fen = sum(
                settlements[visit.id].account_fen for visit in self._visits() if self._is_settled_for(visit, person)
            )
            assert self.world.insurance.balance_fen(number) + withdrawn_fen == 5_000

    @staticmethod
    def _is_settled_for(visit: Visit, person: str) -> bool:
        return visit.person == person and visit.settlement is not None and visit.settlement.split.settlement_id != ""

    def _finish_all_steps(self) -> None:
        for _ in range(400):
            due = [visit.due_ms for visit in self._visits() if visit.due_ms is not None]
            if not due:
                return
            at = datetime.fromtimestamp(min(due) / 1_000, UTC) + timedelta(milliseconds=1)
            self.world.clock.now = max(self.world.clock.now, at)
            self._sweep()
        raise AssertionError([(visit, visit.due_ms) for visit in self._visits() if visit.due_ms is not None])

    @staticmethod
    def _is_finished(visit: Visit) -> None:
        assert visit.attempt is None
        assert visit.stage() not in ("closing", "cancelling"), visit
        assert all(payment.state != "requested" for payment in visit.payments)
        assert all(payment.applied for payment in visit.payments if payment.state == "paid")
        assert all(refund.applied for refund in visit.refunds if refund.state == "done")
        assert all(notice.sent for notice in visit.notices)

    @staticmethod
    def _is_settled_once(visit: Visit, in_force: Split | None) -> None:
        if visit.stage() in ("open", "cancelled") or visit.total_fen() == 0:
            assert in_force is None, visit
            return
        assert visit.settlement is not None
        split = visit.settlement.split
        assert split == in_force
        assert split.medfee_fen == visit.total_fen() == sum(line.amount_fen for line in visit.lines)
        assert split.medfee_fen == split.fund_fen + split.hospital_part_fen + (
            split.account_fen + split.family_account_fen + split.cash_fen
        )
        assert visit.bill is not None
        assert visit.bill.cash_fen == split.cash_fen
        assert split.cash_fen == visit.bill.covered_fen + visit.bill.exception_fen + visit.bill.counter_fen
        assert min(visit.bill.covered_fen, visit.bill.exception_fen, visit.bill.counter_fen) >= 0
        counter_fen = min(visit.counter_paid_fen(), split.cash_fen)
        assert visit.bill.counter_fen >= counter_fen, "nobody is asked for what was paid at the counter"
        assert visit.counter_overpaid_fen() == visit.counter_paid_fen() - counter_fen
        assert sum(part.amount_fen for part in visit.bill.schedule) == visit.payable_fen()

    @staticmethod
    def _agrees_with_the_bank(visit: Visit, transfers: dict[str, Any]) -> None:
        paid = {payment.id: payment.amount_fen for payment in visit.payments if payment.state == "paid"}
        returned = {refund.id: refund.amount_fen for refund in visit.refunds if refund.state == "done"}
        assert {entry.id: entry.amount_fen for entry in transfers.values() if entry.kind == "payment"} == paid
        assert {entry.id: entry.amount_fen for entry in transfers.values() if entry.kind == "refund"} == returned
        assert visit.owed_fen() >= 0, "nobody has paid more than the bill"

    def _agrees_with_the_account(self, person: str, credit: dict[tuple[str, str], CreditLine]) -> None:
        """The account and the bills agree on the debt of each visit."""
        now = self.world.clock.now
        for visit in self._visits():
            if visit.person != person:
                continue
            purpose = "inpatient" if visit.kind == "inpatient" else "outpatient"
            left = credit.get(
                (person, "outpatient" if purpose == "inpatient" else "inpatient"), CreditLine(limit_fen=0)
            )
            holds = [hold for hold in left.holds if hold.id.startswith(f"{visit.id}/")]
            assert not any(hold.held_fen(now) or hold.owed_fen() for hold in holds), "it left this line"
            holds = [hold for hold in credit[person, purpose].holds if hold.id.startswith(f"{visit.id}/")]
            if visit.stage() == "open":
                continue
            assert sum(hold.due_fen() for hold in holds) == visit.payable_fen(), visit
            assert sum(hold.owed_fen() for hold in holds) == visit.owed_fen(), visit
            assert sum(hold.held_fen(now) for hold in holds) == 0
            over_limit_fen = sum(hold.due_fen() for hold in holds if hold.over_limit)
            assert over_limit_fen == (visit.bill.exception_fen if visit.bill is not None else 0)
