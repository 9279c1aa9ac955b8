"""Reconciliation of a hospital's day: differences between four records, and repairs by two persons."""

import csv
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.city.upstream import BankAnswer
from backend.services.medical_credit.model.hospital_file import COLUMNS, InvalidFile, read_file
from tests.accounts import move_person
from tests.conftest import SignIn
from tests.services.health_code.scene import Headers, SignedInPerson, problem
from tests.services.medical_credit.scene import Patient, Scene

HEAD = ",".join(COLUMNS)
DAY = "/v1/reconciliations/HZ001/2022-04-20"


@pytest.fixture
def officer(sign_in: SignIn) -> Headers:
    return sign_in("13800000008", roles=["operator"])


@pytest.fixture
def approver(sign_in: SignIn) -> Headers:
    return sign_in("13800000009", roles=["approver", "operator"])


class Day:
    """The day of the first hospital, for an operator."""

    def __init__(self, scene: Scene, officer: Headers) -> None:
        self.scene, self.officer = scene, officer

    def file(self) -> str:
        """Return a file of the hospital that agrees with our records."""
        return self.scene.client.get(f"{DAY}/file", headers=self.officer).text

    def compare(self, file: str | None = None) -> dict[str, Any]:
        body = {"file": self.file() if file is None else file}
        answer = self.scene.client.put(DAY, json=body, headers=self.officer)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def billed_difference(self, patient: Patient) -> list[str]:
        """Bill a patient, and return the id of a charge that only the hospital's file has."""
        self.scene.billed(patient, 20_000)
        return [self.compare(self.file() + "V1,charge,L7,,A1,12.50,,,\n")["differences"][0]["difference"]["id"]]

    def differences(self, file: str | None = None) -> list[tuple[str, str, str]]:
        shown = self.compare(file)
        return [
            (one["difference"]["kind"], one["difference"]["subject"], one["difference"]["repair"])
            for one in shown["differences"]
        ]

    def repair(self, approver: Headers, file: str | None = None) -> list[str]:
        """Accept and approve the repair of every difference, and return the states."""
        chosen = {"differences": [one["difference"]["id"] for one in self.compare(file)["differences"]]}
        client = self.scene.client
        assert client.post(f"{DAY}/acceptances", json=chosen, headers=self.officer).status_code == 200
        answer = client.post(f"{DAY}/approvals", json=chosen, headers=approver)
        assert answer.status_code == 200, answer.text
        self.scene.advanced()
        return [one["resolution"]["state"] for one in answer.json()["differences"]]


@pytest.fixture
def day(scene: Scene, officer: Headers) -> Day:
    return Day(scene, officer)


# ── nothing differs ──


def test_a_day_without_differences_adds_up(scene: Scene, patient: Patient, day: Day) -> None:
    visit = scene.billed(patient, 20_000, 4_000)
    scene.pays(patient, visit)
    scene.advanced()
    shown = day.compare()
    sums = shown["totals"]
    assert (shown["differences"], shown["omitted"]) == ([], 0)
    assert sums["medfee_fen"] == 24_000 == sums["fund_fen"] + sums["account_fen"] + sums["cash_fen"]
    assert sums["cash_fen"] == sums["covered_fen"] == sums["paid_fen"] == sums["payout_fen"]


def test_a_day_without_visits_agrees_with_an_empty_file(scene: Scene, day: Day) -> None:
    assert scene.first
    assert day.compare(HEAD + "\n")["totals"]["visits"] == 0


def test_our_file_begins_no_formula_and_keeps_its_numbers(scene: Scene, patient: Patient, day: Day) -> None:
    scene.opens(patient, "=V1")
    scene.charges("@L1", 20_000, "=V1", code="＋1")
    scene.credits("-C1", "@L1", 1_000, "=V1")
    scene.closes("=V1")
    scene.advanced("=V1")
    charge, credit, settlement = list(csv.reader(day.file().splitlines()))[1:]
    assert charge[:6] == ["'=V1", "charge", "'@L1", "", "'＋1", "200.00"]
    assert credit[:6] == ["'=V1", "credit", "'-C1", "'@L1", "", "-10.00"]
    assert settlement[:2] == ["'=V1", "settlement"]


def test_a_hospitals_file_is_read_as_it_is() -> None:
    found = read_file(f"{HEAD}\n=V1,charge,=L1,,A1,1.00,,,\n=V1,charge,'=L1,,A1,1.00,,,\n")
    assert list(found["=V1"].lines) == ["=L1", "'=L1"]


def test_the_same_file_produces_the_same_differences(scene: Scene, patient: Patient, day: Day) -> None:
    scene.billed(patient, 20_000)
    file = day.file().replace("200.00", "201.00", 1)
    first, second = day.compare(file), day.compare(file)
    assert first["differences"] == second["differences"] != []


def test_a_day_with_too_many_differences_says_how_many_are_omitted(scene: Scene, day: Day) -> None:
    assert scene.first
    shown = day.compare("".join([f"{HEAD}\n", *(f"V{number},charge,L1,,A1,1.00,,,\n" for number in range(2_003))]))
    assert (len(shown["differences"]), shown["omitted"]) == (2_000, 3)


# ── what differs between the hospital and us ──


def test_a_line_that_only_the_hospital_has_is_added(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    scene.billed(patient, 20_000)
    file = day.file() + "V1,charge,L7,,A1,12.50,,,\n"
    assert day.differences(file) == [("line_only_at_hospital", "L7", "add_charge")]
    assert day.repair(approver, file) == ["repaired"]
    assert scene.advanced().total_fen() == 21_250


def test_a_line_that_only_we_have_is_credited(scene: Scene, patient: Patient, day: Day, approver: Headers) -> None:
    scene.billed(patient, 20_000, 3_000)
    file = "".join(line for line in day.file().splitlines(keepends=True) if ",L2," not in line)
    assert day.differences(file) == [("line_missing_at_hospital", "L2", "credit_line")]
    assert day.repair(approver, file) == ["repaired"]
    assert scene.advanced().total_fen() == 20_000


def test_a_line_with_another_amount_is_adjusted(scene: Scene, patient: Patient, day: Day, approver: Headers) -> None:
    scene.billed(patient, 20_000, 3_000)
    file = day.file().replace(",30.00,", ",25.00,")
    assert day.differences(file) == [("line_differs", "L2", "adjust_line")]
    assert day.repair(approver, file) == ["repaired"]
    assert scene.advanced().total_fen() == 22_500


def test_a_duplicated_line_of_the_hospital_has_no_automatic_repair(scene: Scene, patient: Patient, day: Day) -> None:
    scene.billed(patient, 20_000)
    line = next(line for line in day.file().splitlines() if ",L1," in line)
    assert day.differences(day.file() + line + "\n") == [("line_duplicated_at_hospital", "L1", "contact_hospital")]


def test_a_visit_that_one_side_lacks_has_no_automatic_repair(scene: Scene, patient: Patient, day: Day) -> None:
    scene.billed(patient, 20_000)
    file = HEAD + "\nV2,charge,L1,,A1,12.50,,,\n"
    assert day.differences(file) == [
        ("visit_missing_at_hospital", "V1", "contact_hospital"),
        ("visit_only_at_hospital", "V2", "contact_hospital"),
    ]


def test_differing_settlements_and_counter_payments_are_reported(scene: Scene, patient: Patient, day: Day) -> None:
    scene.billed(patient, 20_000)
    file = re.sub(r"(settlement,\w+,,,200.00),", r"\1,", day.file()).replace("settlement,", "settlement,x")
    kinds = [kind for kind, _, _ in day.differences(file + "V1,counter,P1,,,5.00,,,\n")]
    assert kinds == ["settlement_differs", "counter_only_at_hospital"]


def test_a_charge_after_payment_has_no_automatic_repair(scene: Scene, patient: Patient, day: Day) -> None:
    visit = scene.billed(patient, 20_000)
    scene.pays(patient, visit)
    scene.advanced()
    assert day.differences(day.file() + "V1,charge,L7,,A1,12.50,,,\n") == [
        ("line_only_at_hospital", "L7", "contact_hospital")
    ]


def test_a_difference_without_an_automatic_repair_cannot_be_accepted(scene: Scene, patient: Patient, day: Day) -> None:
    scene.billed(patient, 20_000)
    (one,) = day.compare(HEAD + "\n")["differences"]
    chosen = {"differences": [one["difference"]["id"]]}
    answer = scene.client.post(f"{DAY}/acceptances", json=chosen, headers=day.officer)
    assert problem(answer, 409, "not-accepted")["id"] == one["difference"]["id"]


def test_a_difference_is_open_until_it_is_repaired(scene: Scene, patient: Patient, day: Day, approver: Headers) -> None:
    scene.billed(patient, 20_000)
    file = day.file() + "V1,charge,L7,,A1,12.50,,,\n"
    assert day.compare(file)["open_differences"] == 1
    assert day.repair(approver, file) == ["repaired"]
    assert scene.client.get(DAY, headers=day.officer).json()["open_differences"] == 0
    (listed,) = scene.client.get("/v1/reconciliations/HZ001", headers=day.officer).json()["days"]
    assert (listed["day"], listed["differences"], listed["open_differences"]) == ("2022-04-20", 1, 0)


# ── insurance and bank ──


def test_a_settlement_that_only_the_insurance_has_is_cancelled_there(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    visit = scene.billed(patient, 20_000)
    scene.insurance.database.do(
        lambda file: file.execute("UPDATE settlements SET visit = 'ghost' WHERE visit = ?", (visit.id,))
    )
    scene.cancels()
    scene.advanced()
    scene.insurance.database.do(lambda file: file.execute("UPDATE settlements SET state = 'in_force'"))
    ((kind, _, repair),) = day.differences(HEAD + "\n")
    assert (kind, repair) == ("settlement_only_at_insurance", "cancel_at_insurance")
    assert day.repair(approver, HEAD + "\n") == ["repaired"]
    assert scene.insurance.in_force() == {}


def test_a_settlement_that_the_insurance_does_not_have_is_made_again(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    visit = scene.billed(patient, 20_000)
    scene.insurance.database.do(lambda file: file.execute("DELETE FROM settlements"))
    ((kind, _, repair),) = day.differences()
    assert (kind, repair) == ("settlement_missing_at_insurance", "settle_again")
    assert day.repair(approver) == ["repaired"]
    again = scene.advanced()
    assert again.settlement is not None
    assert scene.insurance.in_force()[visit.id] == again.settlement.split


def test_a_payment_without_a_receipt_is_accepted_from_the_banks_statement(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    visit = scene.billed(patient, 20_000)
    scene.bank.database.script_outcomes("pay", "lost_after")
    scene.pays(patient, visit)
    ((kind, _, repair),) = day.differences()
    assert (kind, repair) == ("payment_only_at_bank", "accept_bank_record")
    assert day.repair(approver) == ["repaired"]
    assert scene.advanced().stage() == "paid"


def test_a_payment_that_the_bank_does_not_have_is_queried_and_never_forced(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    visit = scene.billed(patient, 20_000)
    scene.pays(patient, visit)
    scene.advanced()
    scene.bank.database.do(lambda file: file.execute("DELETE FROM transfers"))
    ((kind, _, repair),) = day.differences()
    assert (kind, repair) == ("payment_missing_at_bank", "query_bank")
    assert day.repair(approver) == ["failed"]
    assert BankAnswer("unknown").outcome in day.compare()["differences"][0]["resolution"]["message"]


def test_nothing_is_compared_while_the_bank_does_not_answer(scene: Scene, day: Day) -> None:
    scene.bank.database.script_outcomes("statement", "lost_before")
    answer = scene.client.put(DAY, json={"file": HEAD + "\n"}, headers=day.officer)
    problem(answer, 503, "upstream-unavailable")


# ── two people ──


def test_the_person_who_accepted_a_repair_cannot_approve_it(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    chosen = {"differences": day.billed_difference(patient)}
    scene.client.post(f"{DAY}/acceptances", json=chosen, headers=approver)
    problem(scene.client.post(f"{DAY}/approvals", json=chosen, headers=approver), 409, "same-person")
    assert scene.advanced().total_fen() == 20_000


def test_nobody_approves_what_they_accepted_from_another_account(
    scene: Scene, patient: Patient, day: Day, sign_in: SignIn
) -> None:
    chosen = {"differences": day.billed_difference(patient)}
    scene.client.post(f"{DAY}/acceptances", json=chosen, headers=day.officer)
    other = SignedInPerson(scene.client.app, sign_in("13800000010", roles=["approver"]))
    city, portal = scene.client.app.state.city, scene.client.blocking_portal
    officer = SignedInPerson(scene.client.app, day.officer).caller.citizen_id
    portal.call(move_person, city, officer, "13800000010")
    problem(scene.client.post(f"{DAY}/approvals", json=chosen, headers=other), 409, "same-person")
    assert scene.advanced().total_fen() == 20_000


def test_nobody_accepts_or_approves_a_repair_of_their_own_bill(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    chosen = {"differences": day.billed_difference(patient)}
    city, portal = scene.client.app.state.city, scene.client.blocking_portal
    portal.call(move_person, city, patient.id, "13800000008")
    problem(scene.client.post(f"{DAY}/acceptances", json=chosen, headers=day.officer), 409, "conflict-of-interest")
    scene.client.post(f"{DAY}/acceptances", json=chosen, headers=approver)
    portal.call(move_person, city, patient.id, "13800000009")
    problem(scene.client.post(f"{DAY}/approvals", json=chosen, headers=approver), 409, "conflict-of-interest")


def test_a_repair_must_be_accepted_before_it_is_approved(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    chosen = {"differences": day.billed_difference(patient)}
    problem(scene.client.post(f"{DAY}/approvals", json=chosen, headers=approver), 409, "not-accepted")


def test_a_repair_that_is_no_longer_possible_fails_with_a_message(
    scene: Scene, patient: Patient, day: Day, approver: Headers
) -> None:
    visit = scene.billed(patient, 20_000)
    file = day.file() + "V1,charge,L7,,A1,12.50,,,\n"
    chosen = {"differences": [day.compare(file)["differences"][0]["difference"]["id"]]}
    scene.client.post(f"{DAY}/acceptances", json=chosen, headers=day.officer)
    scene.pays(patient, visit)
    (one,) = scene.client.post(f"{DAY}/approvals", json=chosen, headers=approver).json()["differences"]
    assert one["resolution"]["state"] == "failed"
    assert "paid" in one["resolution"]["message"]


def test_a_corrected_file_keeps_the_resolutions_of_remaining_differences(
    scene: Scene, patient: Patient, day: Day
) -> None:
    scene.billed(patient, 20_000)
    both = day.file() + "V1,charge,L7,,A1,12.50,,,\nV1,charge,L8,,A1,1.00,,,\n"
    ids = {one["difference"]["subject"]: one["difference"]["id"] for one in day.compare(both)["differences"]}
    scene.client.post(f"{DAY}/acceptances", json={"differences": [ids["L7"]]}, headers=day.officer)
    corrected = day.compare(day.file() + "V1,charge,L7,,A1,12.50,,,\n")
    assert [(one["difference"]["id"], one["resolution"]["state"]) for one in corrected["differences"]] == [
        (ids["L7"], "accepted")
    ]


# ── the page, and who may see it ──


def test_the_page_shows_both_sides_without_script(scene: Scene, patient: Patient, day: Day) -> None:
    scene.billed(patient, 20_000)
    day.compare(day.file() + "V1,charge,<script>,,A1,12.50,,,\n")
    answer = scene.client.get(f"{DAY}/page", headers=day.officer)
    assert answer.headers["content-type"].startswith("text/html")
    assert "12.50" in answer.text
    assert "add the charge" in answer.text
    assert "<script>" not in answer.text


def test_reconciliations_require_an_operator(scene: Scene, patient: Patient) -> None:
    problem(scene.client.get(DAY, headers=patient), 403, "not-allowed")


def test_a_day_that_was_not_compared_is_not_found(scene: Scene, day: Day) -> None:
    problem(scene.client.get("/v1/reconciliations/HZ001/2022-04-01", headers=day.officer), 404, "not-found")
    assert scene.client.get("/v1/reconciliations/HZ001", headers=day.officer).json() == {"days": [], "cursor": None}


def test_each_hospital_has_its_own_reconciliation_of_a_day(scene: Scene, day: Day) -> None:
    scene.hospital("HZ002", "市第二医院")
    day.compare(HEAD + "\n")
    problem(scene.client.get("/v1/reconciliations/HZ002/2022-04-20", headers=day.officer), 404, "not-found")


# ── the file ──


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ("V1,charge,L1,,A1,12.5,,,", "row 2, amount"),
        ("V1,charge,L1,,A1,12.505,,,", "row 2, amount"),
        ("V1,charge,L1,,A1,NaN,,,", "row 2, amount"),
        ("V1,charge,L1,,A1,1e5,,,", "row 2, amount"),
        (",charge,L1,,A1,12.50,,,", "row 2, visit"),
        ("V1,gift,L1,,A1,12.50,,,", "row 2, record"),
        ("V1,charge,L1,,A1,12.50", "row 2"),
        ("V1,settlement,S1,,,12.50,1.00,,1.00", "row 2, account"),
        ('V1,charge,"L1,,A1,12.50,,,', "row 2"),
    ],
)
def test_a_wrong_row_is_named_with_its_column(row: str, where: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read_file(f"{HEAD}\n{row}\n")
    assert refused.value.errors[0].pointer == where


def test_a_file_with_another_header_is_refused_at_once() -> None:
    with pytest.raises(InvalidFile) as refused:
        read_file("a,b,c\n1,2,3\n1,2,3\n")
    assert [error.pointer for error in refused.value.errors] == ["row 1"]


@given(st.dictionaries(st.from_regex(r"[A-Z][0-9]{1,5}", fullmatch=True), st.integers(1, 10**9), max_size=20))
def test_what_is_written_is_read_to_the_fen(lines: dict[str, int]) -> None:
    rows = "".join(f"V1,charge,{name},,A1,{fen // 100}.{fen % 100:02},,,\n" for name, fen in lines.items())
    found = read_file(f"\ufeff{HEAD}\n{rows}")
    amounts = {one.id: one.amount_fen for visit in found.values() for one in visit.lines.values()}
    assert amounts == lines
