"""Every kind of resource that we answer is valid FHIR R4 for a validator of others, `fhirkit`."""

from datetime import date
from typing import Any

import pytest

from backend.services.medical_credit.reconciliation import our_records, reconcile
from tests.integrations.his.fhir.hospital_system import (
    HospitalSystem,
    charge,
    credit,
    eligibility,
    encounter,
    entry,
    faults,
    payment,
)
from tests.services.medical_credit.scene import Patient, Scene

Json = dict[str, Any]

ENCOUNTER: Json = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}}
BUNDLE: Json = {"resourceType": "Bundle", "type": "searchset"}
CHARGE: Json = {"resourceType": "ChargeItem", "status": "billable", "code": {"text": "x"}, "subject": {"display": "x"}}
PAID: Json = {
    "resourceType": "PaymentReconciliation",
    "status": "active",
    "created": "2022-04-20",
    "paymentDate": "2022-04-20",
    "paymentAmount": {"value": 1, "currency": "CNY"},
}
OUTCOME: Json = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid"}]}


@pytest.mark.parametrize("valid", [ENCOUNTER, BUNDLE, CHARGE, PAID, OUTCOME])
def test_the_validator_accepts_a_valid_resource(valid: Json) -> None:
    assert faults(valid) == []


@pytest.mark.parametrize(
    "invalid",
    [
        {"resourceType": "Encounter", "status": "finished"},
        {"resourceType": "Visit"},
        ENCOUNTER | {"foo": 1},
        ENCOUNTER | {"account": []},
        ENCOUNTER | {"text": None},
        ENCOUNTER | {"class": "AMB"},
        ENCOUNTER | {"identifier": {"value": "V1"}},
        ENCOUNTER | {"subject": {"reference": ""}},
        ENCOUNTER | {"subject": "Patient/1"},
        ENCOUNTER | {"period": {"start": "2022-13-01"}},
        ENCOUNTER | {"period": {"start": "2022-04-20T10:00:00"}},
        ENCOUNTER | {"meta": {"lastUpdated": "2022-04-20"}},
        ENCOUNTER | {"extension": [{"valueString": "without url"}]},
        BUNDLE | {"total": -1},
        BUNDLE | {"entry": [{"resource": {"resourceType": "Encounter"}}]},
        CHARGE | {"priceOverride": {"value": "12.50"}},
        CHARGE | {"occurrenceDateTime": "2022-04-20", "occurrencePeriod": {"start": "2022-04-20"}},
        CHARGE | {"partOf": ["ChargeItem/1"]},
        PAID | {"processNote": []},
        PAID | {"paymentDate": "20220420"},
        PAID | {"detail": [{"amount": {"value": 1}}]},
        OUTCOME | {"issue": []},
        OUTCOME | {"issue": [{"severity": "error"}]},
    ],
)
def test_the_validator_rejects_an_invalid_resource(invalid: Json) -> None:
    assert faults(invalid)


# ── codes, which the validator does not check ──

STATUS = {
    "Account": "active inactive entered-in-error on-hold unknown",
    "CapabilityStatement": "draft active retired unknown",
    "ChargeItem": "planned billable not-billable aborted billed entered-in-error unknown",
    "CoverageEligibilityRequest": "active cancelled draft entered-in-error",
    "CoverageEligibilityResponse": "active cancelled draft entered-in-error",
    "Encounter": "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown",
    "Invoice": "draft issued balanced cancelled entered-in-error",
    "PaymentNotice": "active cancelled draft entered-in-error",
    "PaymentReconciliation": "active cancelled draft entered-in-error",
}
"""The codes that R4 has for each `status`."""

PRICE_COMPONENTS = {"base", "surcharge", "deduction", "discount", "tax", "informational"}
OUTCOMES = {"queued", "complete", "error", "partial"}


def wrong_codes(resource: Json) -> list[str]:
    """Return the codes of a resource that are not in the value set to which R4 binds their element."""
    name = resource["resourceType"]
    found = [] if resource["status"] in STATUS[name].split() else [f"{name}.status {resource['status']}"]
    if resource.get("outcome", "complete") not in OUTCOMES:
        found.append(f"{name}.outcome {resource['outcome']}")
    components = list(resource.get("totalPriceComponent", []))
    components.extend(part for line in resource.get("lineItem", []) for part in line["priceComponent"])
    found.extend(f"{name} component {one['type']}" for one in components if one["type"] not in PRICE_COMPONENTS)
    return found


@pytest.fixture
def answers(first: HospitalSystem, scene: Scene, patient: Patient) -> list[Json]:
    """Return an answer of each kind, of a visit from its opening until it is paid and reconciled."""
    visit = first.open_visit(patient)
    account, invoice = (visit.replace("Encounter", name) for name in ("Account", "Invoice"))
    item = first.create(charge(visit, "L1", 100))
    found = [item, first.create(credit(visit, f"ChargeItem/{item['id']}", "L2", -10))]
    found.append(first.create(credit(visit, f"ChargeItem/{item['id']}", "L3", 5, overrideReason="adjustment")))
    found.extend(first.read(path) for path in (visit, account, invoice))
    found.append(first.create(payment(invoice, "P1", 5)))
    asked = first.create(eligibility(patient.id_number))
    found.extend([asked, first.read(f"CoverageEligibilityResponse/{asked['id']}")])
    first.close_account(visit)
    found.extend(first.read(path) for path in (visit, account, invoice, f"ChargeItem/{item['id']}"))
    cancelled = first.read(first.open_visit(patient, "V2"))
    found.append(first.put(cancelled | {"status": "cancelled"}).json())
    found.append(first.read(f"{invoice}?_elements=status"))
    for day in (date(2022, 4, 20), date(2022, 4, 1)):
        scene.call(reconcile, scene.city, first.hospital, day, scene.call(our_records, scene.city, first.hospital, day))
    return found + first.found("PaymentReconciliation")


def test_each_resource_is_valid(answers: list[Json]) -> None:
    kinds = {answer["resourceType"] for answer in answers}
    assert len(kinds) == 8
    for answer in answers:
        assert faults(answer) + wrong_codes(answer) == [], answer


def test_the_statement_and_errors_are_valid(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    for response in (
        first.get("metadata"),
        first.get("Encounter/none"),
        first.get("Practitioner/1"),
        first.get("Encounter?foo=1"),
        first.get(visit, Accept="text/html"),
        first.post(encounter(patient, status="planned")),
        first.post(encounter(patient) | {"period": {"start": "x"}}),
        first.post(charge(visit, "L1", 1.005)),
        first.request("POST", "Encounter", "{"),
        first.request("POST", "Encounter", "{}", Content_Type="text/html"),
        first.put(first.read(visit), If_Match='W/"x"'),
        first.put(first.read(visit), Prefer="return=OperationOutcome"),
        first.scene.client.get("/fhir/Encounter"),
    ):
        assert response.headers["content-type"].startswith("application/fhir+json"), response.text
        assert faults(response.text) == [], response.text


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_bundles_are_valid(first: HospitalSystem, patient: Patient, kind: str) -> None:
    visit = first.open_visit(patient)
    entries = [
        entry("POST", "Encounter", encounter(patient, "V2"), "urn:uuid:7b0c5a0e-5a4b-4c8e-9a55-0c5a0e5a4b4c"),
        entry("POST", "ChargeItem", charge(visit, "L1", 1)),
        entry("GET", visit),
        entry("GET", "Encounter?identifier=V1"),
    ]
    faulty = [entry("GET", "Encounter/none"), entry("POST", "ChargeItem", charge(visit, "L2", 1.005))]
    for prefer in ("return=representation", "return=minimal", "return=OperationOutcome"):
        answer = first.send(kind, *entries, *(faulty if kind == "batch" else []), Prefer=prefer)
        assert answer.status_code == 200
        assert faults(answer.text) == [], answer.text
    for path in (
        "Encounter?_count=1",
        "Encounter?_count=0",
        "Encounter?identifier=none",
        f"ChargeItem?context={visit}",
    ):
        assert faults(first.get(path).text) == []
