"""Settlements that a hospital made at the insurance itself, as ClaimResponses."""

from decimal import Decimal

import pytest
from fhir.resources.R4B.claimresponse import ClaimResponse

from tests.integrations.his.fhir.hospital_system import HospitalSystem, Json, charge, encounter, entry, expect_error
from tests.services.medical_credit.scene import Patient, Scene

_TOTALS = {"medical-fee": "100.00", "fund": "60.00", "own-account": "10.00", "cash": "30.00"}


@pytest.fixture
def settling(scene: Scene) -> HospitalSystem:
    """Return the system of a hospital that settles itself."""
    return HospitalSystem(scene, scene.hospital("HZ009", "自行结算医院", settles="hospital"))


@pytest.fixture
def visit(settling: HospitalSystem, patient: Patient) -> str:
    """Return the reference to a visit with a charge of 100 yuan."""
    visit = settling.open_visit(patient)
    settling.create(charge(visit, "L1", 100))
    return visit


def settlement(number: str = "S1", visit: str = "V1", **totals: str) -> Json:
    shares = _TOTALS | {name.replace("_", "-"): value for name, value in totals.items()}
    return {
        "resourceType": "ClaimResponse",
        "identifier": [
            {"system": "urn:chengma:hospital:HZ009:settlement", "value": number},
            {"system": "urn:chengma:hospital:HZ009:registration", "value": "G7"},
        ],
        "status": "active",
        "type": {"coding": [{"code": "institutional"}]},
        "use": "claim",
        "patient": {"display": "see the visit"},
        "created": "2022-04-20T12:00:00+08:00",
        "insurer": {"display": "医保"},
        "request": {"identifier": {"value": visit}},
        "outcome": "complete",
        "total": [
            {"category": {"coding": [{"code": code}]}, "amount": {"value": float(yuan), "currency": "CNY"}}
            for code, yuan in shares.items()
        ],
    }


def invoice_of(settling: HospitalSystem, visit: str) -> Json:
    settling.scene.advanced("V1", settling.hospital)
    return settling.read(visit.replace("Encounter", "Invoice"))


def test_a_settlement_issues_the_bill_of_its_cash_share(settling: HospitalSystem, visit: str) -> None:
    created = settling.create(settlement())
    assert ClaimResponse.model_validate(created)
    assert created["identifier"][1]["value"] == "G7"
    invoice = invoice_of(settling, visit)
    assert (invoice["status"], invoice["totalNet"]["value"]) == ("issued", 30)
    assert settling.read(f"ClaimResponse/{created['id']}") == created


def test_a_settlement_reported_twice_is_one(settling: HospitalSystem, visit: str) -> None:
    created = settling.create(settlement())
    again = settling.post(settlement())
    assert (again.status_code, again.json()["id"]) == (200, created["id"])
    assert [one["id"] for one in settling.found(f"ClaimResponse?request={visit}")] == [created["id"]]
    conditional = settling.post(settlement(), If_None_Exist="identifier=S1")
    assert conditional.status_code == 200


def test_a_settlement_that_is_not_the_total_of_the_lines_is_refused(settling: HospitalSystem, visit: str) -> None:
    assert visit
    issue = expect_error(settling.post(settlement(medical_fee="99.00", cash="29.00")), 409, "business-rule")
    assert "the lines of the visit total 100 yuan" in issue["diagnostics"] or "100" in issue["details"]["text"]


@pytest.mark.parametrize("cash", ["29.99", "30.01"])
def test_shares_that_miss_the_medical_fee_by_a_fen_are_refused(settling: HospitalSystem, visit: str, cash: str) -> None:
    assert visit
    expect_error(settling.post(settlement(cash=cash)), 409, "business-rule")


def test_an_unknown_share_is_refused_where_it_stands(settling: HospitalSystem, visit: str) -> None:
    assert visit
    expect_error(settling.post(settlement(discount="1.00")), 422, "value", "ClaimResponse.total[4].category")


def test_a_missing_share_is_named(settling: HospitalSystem, visit: str) -> None:
    assert visit
    body = settlement()
    body["total"] = body["total"][:3]
    path = "ClaimResponse.total.where(category.coding.code = 'cash')"
    expect_error(settling.post(body), 422, "required", path)


def test_a_hospital_that_the_city_settles_for_is_refused(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 100))
    expect_error(first.post(settlement()), 409, "business-rule")


def test_a_late_charge_asks_to_settle_again(settling: HospitalSystem, visit: str) -> None:
    settling.create(settlement())
    settling.create(charge(visit, "L2", 5))
    invoice = invoice_of(settling, visit)
    assert invoice["status"] == "draft"
    assert "Settlement S1 is of 100 yuan" in invoice["note"][0]["text"]


def test_a_cancelled_settlement_makes_way_for_another(settling: HospitalSystem, visit: str) -> None:
    created = settling.create(settlement())
    settling.create(charge(visit, "L2", 5))
    cancelled = settling.put(created | {"status": "cancelled"})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    renewed = settling.create(settlement("S2", medical_fee="105.00", cash="35.00"))
    invoice = invoice_of(settling, visit)
    assert (invoice["status"], invoice["totalNet"]["value"]) == ("issued", Decimal(35))
    assert settling.read(f"ClaimResponse/{created['id']}")["status"] == "cancelled"
    assert renewed["id"] != created["id"]
    expect_error(settling.put(created), 422, "value", "ClaimResponse.status")


def test_a_transaction_brings_a_visit_its_charges_and_its_settlement(
    settling: HospitalSystem, patient: Patient
) -> None:
    response = settling.send(
        "transaction",
        entry("POST", "ClaimResponse", settlement()),
        entry("POST", "ChargeItem", charge("urn:uuid:1", "L1", 100)),
        entry("POST", "Encounter", encounter(patient), "urn:uuid:1"),
    )
    assert response.status_code == 200, response.text
    assert settling.scene.advanced("V1", settling.hospital).owed_fen() == 3_000
