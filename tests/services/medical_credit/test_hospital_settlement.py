"""A hospital settles at the insurance itself and reports the result; the city bills the person's cash share of it."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.hospital_settlement import (
    ReportCancellation,
    ReportSettlement,
    apply_report,
    awaited_text,
)
from backend.services.medical_credit.model.visit import Line, Visit
from backend.services.medical_credit.ports import Split
from tests.draws import draws
from tests.services.medical_credit.scene import NOON, CommandResult, Patient, Scene


class SettlingHospital:
    """A hospital that settles itself, and its visit V1."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.first = scene.hospital("HZ009", "自行结算医院", settles="hospital")

    def settles(self, key: str, fund: int, cash: int, *, account: int = 0, medfee: int | None = None) -> CommandResult:
        split = Split(key, fund + account + cash if medfee is None else medfee, fund, 0, account, 0, cash)
        return self.scene.send(ReportSettlement(split, self.scene.clock.now, "G1"))

    def cancels_settlement(self, key: str) -> CommandResult:
        return self.scene.send(ReportCancellation(key))

    def visit(self) -> Visit:
        return self.scene.advanced("V1", self.scene.first)

    def calls_at_the_insurance(self) -> list[str]:
        return [
            one
            for code in ("2201", "2204", "2207", "2208", "2601")
            for one in self.scene.insurance.database.calls(code)
        ]


@pytest.fixture
def hospital(scene: Scene, patient: Patient) -> SettlingHospital:
    """Return a hospital whose visit V1 has a charge of 100 yuan."""
    hospital = SettlingHospital(scene)
    scene.opens(patient)
    scene.charges("L1", 10_000)
    return hospital


def test_the_cash_share_that_the_hospital_reports_is_billed(hospital: SettlingHospital) -> None:
    hospital.settles("S1", fund=6_000, account=1_000, cash=3_000)
    visit = hospital.visit()
    assert (visit.stage(), visit.owed_fen()) == ("billed", 3_000)
    assert hospital.calls_at_the_insurance() == []


def test_a_person_pays_the_bill_of_a_hospital_that_settles_itself(
    hospital: SettlingHospital, scene: Scene, patient: Patient
) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    assert scene.pays(patient, hospital.visit()).status_code == 201
    assert hospital.visit().stage() == "paid"


def test_a_person_sees_the_shares_that_the_hospital_reported(
    hospital: SettlingHospital, scene: Scene, patient: Patient
) -> None:
    hospital.settles("S1", fund=6_000, account=1_000, cash=3_000)
    shares = scene.visit_details(patient, hospital.visit())["shares"]
    assert {one["payer"]: one["amount_fen"] for one in shares} == {"fund": 6_000, "account": 1_000, "cash": 3_000}


def test_a_closed_visit_waits_for_the_hospitals_settlement(hospital: SettlingHospital, scene: Scene) -> None:
    scene.closes()
    scene.time_passes(days=2)
    visit = hospital.visit()
    assert (visit.stage(), visit.awaited(), visit.due_ms) == ("closing", "settlement", None)
    assert hospital.calls_at_the_insurance() == []


def test_a_settlement_reported_twice_is_one(hospital: SettlingHospital) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    assert hospital.settles("S1", fund=6_000, cash=4_000).repeated
    assert hospital.visit().bill_count == 1


def test_a_settlement_that_is_not_the_total_of_the_lines_is_refused(hospital: SettlingHospital) -> None:
    with pytest.raises(
        problems.SettlementDiffers, match="settlement is 99 yuan; the lines of the visit total 100 yuan"
    ):
        hospital.settles("S1", fund=5_900, cash=4_000)


def test_shares_that_do_not_total_the_medical_fee_are_refused(hospital: SettlingHospital) -> None:
    with pytest.raises(problems.SettlementUnbalanced, match=r"total 99\.99 yuan"):
        hospital.settles("S1", fund=6_000, cash=3_999, medfee=10_000)


def test_a_settlement_with_the_same_number_and_another_amount_is_refused(hospital: SettlingHospital) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    with pytest.raises(problems.SettlementChanged):
        hospital.settles("S1", fund=7_000, cash=3_000)


def test_a_second_settlement_is_refused_until_the_first_is_cancelled(hospital: SettlingHospital) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    with pytest.raises(problems.VisitSettled, match="S1"):
        hospital.settles("S2", fund=7_000, cash=3_000)


def test_a_visit_that_the_city_settles_takes_no_report(scene: Scene, patient: Patient) -> None:
    scene.opens(patient)
    split = Split("S1", 0, 0, 0, 0, 0, 0)
    with pytest.raises(problems.SettledByCity):
        scene.send(ReportSettlement(split, scene.clock.now))
    with pytest.raises(problems.SettledByCity):
        scene.send(ReportCancellation("S1"))


def test_a_line_after_the_settlement_asks_the_hospital_to_renew_it(hospital: SettlingHospital, scene: Scene) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    hospital.visit()
    scene.charges("L2", 500)
    visit = hospital.visit()
    assert (visit.stage(), visit.awaited()) == ("closing", "cancellation")
    text = awaited_text(visit)
    assert text is not None
    assert "Settlement S1 is of 100 yuan" in text.en
    assert "105" in text.zh
    assert hospital.calls_at_the_insurance() == []


def test_a_renewed_settlement_reissues_the_one_bill(hospital: SettlingHospital, scene: Scene) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    hospital.visit()
    scene.charges("L2", 500)
    hospital.cancels_settlement("S1")
    assert hospital.visit().awaited() == "settlement"
    hospital.settles("S2", fund=6_300, cash=4_200)
    visit = hospital.visit()
    assert (visit.stage(), visit.owed_fen()) == ("billed", 4_200)


def test_a_credit_after_payment_is_refunded_once_the_hospital_has_settled_again(
    hospital: SettlingHospital, scene: Scene, patient: Patient
) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    scene.pays(patient, hospital.visit())
    hospital.visit()
    scene.credits("C1", "L1", 5_000)
    assert hospital.visit().refunds == ()
    hospital.cancels_settlement("S1")
    hospital.settles("S2", fund=3_000, cash=2_000)
    assert sum(one.amount_fen for one in hospital.visit().refunds) == 2_000


def test_a_free_line_after_the_settlement_changes_nothing(hospital: SettlingHospital, scene: Scene) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    scene.send(Line("L2", "charge", "A1", "赠送", 0, scene.clock.now))
    assert hospital.visit().stage() == "billed"


def test_a_cancelled_settlement_that_is_reported_again_stays_cancelled(hospital: SettlingHospital) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    hospital.cancels_settlement("S1")
    assert hospital.settles("S1", fund=6_000, cash=4_000).repeated
    assert hospital.cancels_settlement("S1").repeated
    assert hospital.visit().settlement is None


def test_a_cancellation_before_its_settlement_is_early(hospital: SettlingHospital) -> None:
    with pytest.raises(problems.UnknownSettlement):
        hospital.cancels_settlement("S1")


def test_a_cancelled_visit_owes_nothing_while_the_hospital_is_asked_to_cancel(
    hospital: SettlingHospital, scene: Scene, patient: Patient
) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    scene.pays(patient, hospital.visit())
    hospital.visit()
    scene.cancels()
    visit = hospital.visit()
    assert (visit.stage(), visit.paid_fen(), visit.awaited()) == ("cancelled", 0, "cancellation")
    hospital.cancels_settlement("S1")
    assert hospital.visit().awaited() is None
    assert hospital.calls_at_the_insurance() == []


def test_a_reopened_visit_keeps_its_bill_if_nothing_changes(hospital: SettlingHospital, scene: Scene) -> None:
    hospital.settles("S1", fund=6_000, cash=4_000)
    hospital.visit()
    scene.reopens()
    assert (hospital.visit().stage(), hospital.visit().awaited()) == ("open", "cancellation")
    scene.closes()
    visit = hospital.visit()
    assert (visit.stage(), visit.owed_fen(), visit.bill_count) == ("billed", 4_000, 1)


def test_a_bill_is_due_after_the_report_however_late_it_comes(hospital: SettlingHospital, scene: Scene) -> None:
    split = Split("S1", 10_000, 6_000, 0, 0, 0, 4_000)
    scene.send(ReportSettlement(split, scene.clock.now - timedelta(days=30)))
    bill = hospital.visit().bill
    assert bill is not None
    assert bill.schedule[0].due_at > scene.clock.now


# ── the shares, to the fen ──

_FEN = st.integers(-1, 200)


def _visit(fen: int) -> Visit:
    line = Line("L1", "charge", "A1", "诊查费", fen, NOON)
    return Visit(
        id="v",
        hospital="HZ009",
        number="V1",
        person="p",
        kind="outpatient",
        opened_at=NOON,
        opened_ms=0,
        created_at=NOON,
        changed_ms=0,
        requested_hold_fen=0,
        expires_at=NOON,
        settled_by="hospital",
        lines=(line,),
    )


@given(medfee=_FEN, off_by=st.sampled_from([0, 0, 0, 1, -1]), shares=st.tuples(_FEN, _FEN, _FEN, _FEN), data=st.data())
@settings(max_examples=draws(300, soak=20_000))
def test_exactly_the_settlements_that_add_up_to_the_fen_are_accepted(
    medfee: int, off_by: int, shares: tuple[int, int, int, int], data: st.DataObject
) -> None:
    cash = medfee - sum(shares) + off_by
    total = data.draw(st.sampled_from([medfee, medfee, medfee, medfee + 1]))
    command = ReportSettlement(Split("S1", medfee, *shares, cash), NOON)
    adds_up = off_by == 0 and total == medfee and min(medfee, *shares, cash) >= 0
    try:
        after = apply_report(_visit(total), command, NOON)
    except (problems.SettlementUnbalanced, problems.SettlementDiffers):
        assert not adds_up
        return
    assert adds_up
    due = after.amount_due()
    assert due is not None
    assert due.amount_fen == cash == medfee - sum(shares)
