"""What is paid at the hospital's counter lowers the bill, and a withdrawal raises it again."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.paylater.transfers import pay
from backend.problems import Problem
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    CloseVisit,
    Command,
    OpenVisit,
    WithdrawCounterPayment,
)
from backend.services.medical_credit.model.problems import UnknownLine, WithdrawalDiffers
from backend.services.medical_credit.model.visit import CounterPayment, Line, Visit, visit_id
from backend.services.medical_credit.saga import visit_saga
from tests.draws import draws
from tests.services.medical_credit.scene import NOON, Patient, Scene
from tests.services.medical_credit.test_every_difference import COUNTER, FILE, VISIT, Day, without
from tests.services.medical_credit.visit_machine import VisitMachine
from tests.services.medical_credit.world import HOSPITALS, World


def pays_at_counter(scene: Scene, fen: int, payment: str = "P1") -> Visit:
    scene.send(CounterPayment(payment, fen, scene.clock.now))
    return scene.advanced()


def withdraws(scene: Scene, payment: str = "P1") -> Visit:
    scene.send(WithdrawCounterPayment(payment))
    return scene.advanced()


def test_a_payment_at_the_counter_lowers_what_the_patient_is_asked_for(scene: Scene, patient: Patient) -> None:
    share_fen = scene.billed(patient, 20_000).owed_fen()
    visit = pays_at_counter(scene, 1_000)
    assert visit.owed_fen() == share_fen - 1_000
    shown = scene.visit_details(patient, visit)["bill"]
    assert (shown["owed_fen"], shown["counter_paid_fen"], shown["counter_overpaid_fen"]) == (
        share_fen - 1_000,
        1_000,
        0,
    )
    assert shown["cash_fen"] == share_fen == shown["covered_fen"] + shown["counter_fen"]
    assert scene.limit(patient)["used_fen"] == share_fen - 1_000


def test_a_payment_before_the_bill_is_not_billed(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    scene.charges("L1", 20_000)
    scene.send(CounterPayment("P1", 1_000, scene.clock.now))
    scene.closes()
    visit = scene.advanced()
    assert visit.bill is not None
    assert visit.owed_fen() == visit.bill.cash_fen - 1_000


def test_the_part_that_credit_does_not_cover_is_paid_first(scene: Scene, patient: Patient) -> None:
    limit_fen = scene.limit(patient)["limit_fen"]
    visit = scene.billed(patient, 10 * limit_fen)
    assert visit.bill is not None
    assert (visit.owed_fen(), visit.bill.counter_fen) == (limit_fen, visit.bill.cash_fen - limit_fen)
    visit = pays_at_counter(scene, visit.bill.counter_fen)
    assert visit.owed_fen() == limit_fen
    assert pays_at_counter(scene, 100, "P2").owed_fen() == limit_fen - 100


def test_a_bill_paid_at_the_counter_is_settled_and_the_patient_is_told(scene: Scene, patient: Patient) -> None:
    share_fen = scene.billed(patient, 20_000).owed_fen()
    visit = pays_at_counter(scene, share_fen)
    assert (visit.stage(), visit.owed_fen()) == ("paid", 0)
    assert [(one.kind, one.amount_fen, one.sent) for one in visit.notices][-1] == ("paid_at_counter", share_fen, True)
    scene.time_passes(days=10)
    assert scene.advanced().payments == ()


def test_a_repeated_report_lowers_the_bill_once(scene: Scene, patient: Patient) -> None:
    share_fen = scene.billed(patient, 20_000).owed_fen()
    pays_at_counter(scene, 1_000)
    assert pays_at_counter(scene, 1_000).owed_fen() == share_fen - 1_000


def test_what_was_paid_to_the_city_and_at_the_counter_is_refunded(scene: Scene, patient: Patient) -> None:
    visit = scene.billed(patient, 20_000)
    share_fen = visit.owed_fen()
    scene.pays(patient, visit)
    visit = pays_at_counter(scene, share_fen)
    assert (visit.paid_fen(), visit.counter_overpaid_fen()) == (0, 0)
    assert sum(one.amount_fen for one in visit.refunds if one.is_done()) == share_fen


def test_more_than_the_share_is_for_the_hospital_to_give_back(scene: Scene, patient: Patient) -> None:
    share_fen = scene.billed(patient, 20_000).owed_fen()
    visit = pays_at_counter(scene, share_fen + 500)
    assert (visit.owed_fen(), visit.counter_overpaid_fen()) == (0, 500)
    assert visit.notices[-1].kind == "overpaid_at_counter"
    assert scene.visit_details(patient, visit)["bill"]["counter_overpaid_fen"] == 500


def test_a_cancelled_visit_leaves_the_hospital_all_of_it_to_give_back(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    pays_at_counter(scene, 700)
    scene.cancels()
    assert scene.advanced().counter_overpaid_fen() == 700


def test_a_withdrawn_payment_is_asked_for_again(scene: Scene, patient: Patient) -> None:
    share_fen = scene.billed(patient, 20_000).owed_fen()
    pays_at_counter(scene, share_fen)
    scene.time_passes(days=9)
    visit = withdraws(scene)
    assert (visit.stage(), visit.owed_fen()) == ("billed", share_fen)
    assert visit.notices[-1].kind == "bill"
    assert visit.unpaid()[0].due_at == scene.clock.now + timedelta(hours=48)
    assert withdraws(scene) == visit
    assert scene.pays(patient, visit).status_code == 201
    assert scene.advanced().stage() == "paid"


def test_only_a_payment_that_was_reported_is_withdrawn(scene: Scene, patient: Patient) -> None:
    scene.billed(patient, 20_000)
    with pytest.raises(UnknownLine):
        scene.send(WithdrawCounterPayment("P1"))
    pays_at_counter(scene, 1_000)
    with pytest.raises(WithdrawalDiffers):
        scene.send(WithdrawCounterPayment("P1", amount_fen=999))
    assert scene.send(WithdrawCounterPayment("P1", amount_fen=1_000)).visit.counter_paid_fen() == 0
    with pytest.raises(WithdrawalDiffers):
        scene.send(WithdrawCounterPayment("P1", amount_fen=999))


def test_an_overdue_bill_that_is_paid_at_the_counter_restores_pay_later(scene: Scene, patient: Patient) -> None:
    share_fen = scene.billed(patient, 20_000).owed_fen()
    for _ in range(8):
        scene.time_passes(days=1)
    assert scene.credit(patient)["standing"] == "suspended"
    visit = pays_at_counter(scene, share_fen)
    assert scene.credit(patient)["standing"] == "good"
    assert visit.notices[-1].kind == "restored"


def test_a_debit_in_flight_when_the_counter_is_paid_is_refunded(scene: Scene) -> None:
    patient = scene.patient("13800000105", automatic_debit=True)
    share_fen = scene.billed(patient, 20_000).owed_fen()
    scene.bank.database.script_outcomes("pay", "pending")
    scene.time_passes(hours=48)
    assert scene.advanced().pending_payment() is not None
    pays_at_counter(scene, share_fen)
    scene.time_passes(minutes=5)
    scene.time_passes(minutes=5)
    visit = scene.advanced()
    assert (visit.owed_fen(), visit.paid_fen()) == (0, 0)
    assert scene.limit(patient)["used_fen"] == 0


# ── reconciliation ──


def test_a_payment_that_was_withdrawn_here_and_is_still_in_the_file_is_told() -> None:
    withdrawn = replace(VISIT, counter_payments=(CounterPayment("P1", 5_00, NOON, NOON),))
    (found,) = Day(visits=(withdrawn,)).differences()
    assert (found.kind, found.ours_fen, found.theirs_fen) == ("counter_only_at_hospital", None, 5_00)
    assert found.detail is not None
    assert found.detail.en.startswith("The hospital withdrew the counter payment P1 of 5.00 yuan here")


def test_a_payment_that_the_file_withdraws_is_missing_there() -> None:
    (found,) = Day(file=(*FILE, COUNTER.replace("5.00", "-5.00"))).differences()
    assert found.kind == "counter_missing_at_hospital"


def test_a_payment_that_both_sides_withdrew_is_no_difference() -> None:
    withdrawn = replace(VISIT, counter_payments=(CounterPayment("P1", 5_00, NOON, NOON),))
    assert Day(visits=(withdrawn,), file=(*FILE, COUNTER.replace("5.00", "-5.00"))).differences() == []


def test_several_counter_payments_may_be_one_on_the_other_side() -> None:
    rows = without(COUNTER, COUNTER.replace("P1", "P2").replace("5.00", "2.00"), COUNTER.replace("P1,,,5", "P3,,,3"))
    assert rows(Day()).differences() == []


# ── any order ──


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        VisitMachine.world = world = World(Path(folder))
        yield world
        world.run(world.city.store.close)
        world.runner.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("counter"), st.integers(0, 2), st.integers(1, 30_000)),
        st.tuples(st.just("withdraw"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("pay"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("fault"), st.just(0), st.just(0)),
        st.tuples(st.just("hours"), st.sampled_from([0, 1, 49, 24 * 8]), st.just(0)),
        st.tuples(st.just("credit"), st.integers(0, 2), st.integers(1, 9_000)),
    ),
    max_size=12,
)


class Bill:
    """One billed visit of a new person, and what happens to it."""

    def __init__(self, world: World, *, automatic: bool, fen: int) -> None:
        self.world, self.number = world, f"C{next(world.serial)}"
        machine = VisitMachine.__new__(VisitMachine)
        self.id_number, self.person = machine._enrol(automatic)
        self.send(OpenVisit(self.id_number, "emergency", NOON))
        self.send(Line("L1", "charge", "110100001", "诊查费", fen, NOON))
        self.send(CloseVisit(NOON, final=True))
        self.resume()

    @property
    def id(self) -> str:
        return visit_id(HOSPITALS[0].id, self.number)

    def send(self, command: Command) -> None:
        event = f"event-{next(self.world.serial)}"
        with suppress(Problem):
            self.world.run(lambda: handle_command(self.world.city, HOSPITALS[0], self.number, command, event))

    def resume(self) -> Visit:
        visit = self.world.run(lambda: visit_saga.resume(self.world.city, self.id))
        assert visit is not None
        return visit

    def do(self, step: tuple[str, int, int]) -> None:
        world, (what, which, fen) = self.world, step
        now = world.clock.now
        steps: dict[str, Callable[[], object]] = {
            "counter": lambda: self.send(CounterPayment(f"P{which}", fen, now)),
            "withdraw": lambda: self.send(WithdrawCounterPayment(f"P{which}")),
            "credit": lambda: self.send(Line(f"C{which}", "credit", "", "", -fen, now, "L1")),
            "pay": lambda: self.pays(f"key-{which}"),
            "fault": lambda: world.bank.database.script_outcomes("pay", "pending"),
            "hours": lambda: setattr(world.clock, "now", now + timedelta(hours=which)),
        }
        steps[what]()
        if which % 2 == 0:  # otherwise the next step comes before the saga continues
            self.resume()

    def pays(self, key: str) -> None:
        visit = self.resume()
        if visit.stage() == "billed":
            fen = visit.owed_fen()
            with suppress(Problem):
                self.world.run(lambda: pay(self.world.city, visit_saga, visit, self.person, key, fen, "all"))

    def finished(self) -> Visit:
        """Return the visit once the person has paid what they are asked for, and all money has moved."""
        self.world.bank.database.clear_faults()
        for turn in range(20):
            self.world.clock.now += timedelta(minutes=2)
            visit = self.resume()
            self.pays(f"last-{turn}")
            if visit.stage() == "paid" and visit.due_ms is None:
                return visit
        raise AssertionError(visit)


@settings(
    max_examples=draws(25, soak=2_000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(automatic=st.booleans(), fen=st.integers(100, 60_000), steps=STEPS)
def test_in_any_order_a_person_pays_exactly_their_share(
    world: World, automatic: bool, fen: int, steps: list[tuple[str, int, int]]
) -> None:
    bill = Bill(world, automatic=automatic, fen=fen)
    for step in steps:
        bill.do(step)
    visit = bill.finished()
    assert visit.settlement is not None
    assert visit.bill is not None
    share_fen = visit.settlement.split.cash_fen
    at_counter_fen = visit.counter_paid_fen() - visit.counter_overpaid_fen()
    assert visit.paid_fen() + at_counter_fen == share_fen, "an emergency is covered in full"
    entries = [one for one in world.bank.entries() if one.id.startswith(f"{visit.id}/")]
    signed = [one.amount_fen if one.kind == "payment" else -one.amount_fen for one in entries]
    assert sum(signed) == visit.paid_fen()


def test_a_cancelled_visit_returns_what_was_paid_to_the_city_whatever_was_paid_at_the_counter(world: World) -> None:
    bill = Bill(world, automatic=False, fen=20_000)
    bill.do(("counter", 0, 1_000))
    bill.pays("key")
    bill.do(("withdraw", 0, 0))
    bill.send(CancelVisit())
    for _ in range(5):
        world.clock.now += timedelta(minutes=2)
        visit = bill.resume()
    assert (visit.stage(), visit.paid_fen(), visit.counter_overpaid_fen()) == ("cancelled", 0, 0)
