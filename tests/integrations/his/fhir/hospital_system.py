"""A hospital's information system that uses FHIR, and the resources that it sends."""

from collections.abc import Sequence
from typing import Any

import fhirkit
import httpx

from backend.security.identity import Caller
from backend.services.medical_credit.model.hospital import Hospital
from tests.services.medical_credit.scene import Patient, Scene

ID_NUMBER = "urn:oid:2.16.156.10011.1.3"
OURS = "http://his.example/visits"
Json = dict[str, Any]


def encounter(patient: Patient | str, number: str = "V1", class_: str = "AMB", **members: object) -> Json:
    id_number = patient if isinstance(patient, str) else patient.id_number
    return {
        "resourceType": "Encounter",
        "identifier": [{"system": OURS, "value": number}],
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class_},
        "subject": {"identifier": {"system": ID_NUMBER, "value": id_number}},
        "period": {"start": "2022-04-20T11:30:00+08:00"},
        **members,
    }


def charge(context: str, line: str = "L1", price: object = 12.5, **members: object) -> Json:
    return {
        "resourceType": "ChargeItem",
        "identifier": [{"value": line}],
        "status": "billable",
        "code": {"coding": [{"system": "urn:example:prices", "code": "110100001"}], "text": "诊查费"},
        "subject": {"display": "see the visit"},
        "context": {"reference": context},
        "occurrenceDateTime": "2022-04-20T11:45:00+08:00",
        "priceOverride": {"value": price, "currency": "CNY"},
        **members,
    }


def credit(context: str, of: str, line: str, price: object, **members: object) -> Json:
    return charge(context, line, price, partOf=[{"reference": of}], **members)


def payment(request: str, name: str = "P1", amount: object = 5) -> Json:
    return {
        "resourceType": "PaymentNotice",
        "identifier": [{"value": name}],
        "status": "active",
        "request": {"reference": request},
        "created": "2022-04-20T12:10:00+08:00",
        "payment": {"display": "窗口现金"},
        "recipient": {"display": "市第一医院"},
        "amount": {"value": amount, "currency": "CNY"},
    }


def eligibility(id_number: str, number: str = "E1", class_: str = "AMB") -> Json:
    return {
        "resourceType": "CoverageEligibilityRequest",
        "identifier": [{"value": number}],
        "status": "active",
        "purpose": ["benefits"],
        "patient": {"identifier": {"system": ID_NUMBER, "value": id_number}},
        "created": "2022-04-20",
        "insurer": {"display": "城市先看病后付费"},
        "item": [{"category": {"coding": [{"code": class_}]}}],
    }


def entry(method: str, url: str, resource: Json | None = None, full_url: str = "", **request: str) -> Json:
    result: Json = {"request": {"method": method, "url": url, **request}}
    result |= {"resource": resource} if resource else {}
    return result | ({"fullUrl": full_url} if full_url else {})


def bundle(kind: str, *entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def faults(resource: object) -> list[str]:
    """Return the errors of a resource that a validator of others finds."""
    return [str(issue) for issue in fhirkit.validate(resource) if issue.severity == "error"]


class HospitalSystem:
    """A hospital's system with its own access token. Every answer to it must be valid FHIR."""

    def __init__(self, scene: Scene, hospital: Hospital, scopes: Sequence[str] = ("system/*.cruds",)) -> None:
        self.scene, self.hospital, self.scopes = scene, hospital, tuple(scopes)

    @property
    def token(self) -> str:
        caller = Caller(f"hospital:{self.hospital.id}", "test", roles=("hospital",), scopes=self.scopes)
        return self.scene.client.app.state.access.issue(caller, self.scene.clock.now)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request; write underscores for hyphens in header names."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {self.token}"
        url = f"/fhir/{path}".rstrip("/")
        if isinstance(body, bytes | str):
            named.setdefault("Content-Type", "application/fhir+json")
            response = self.scene.client.request(method, url, content=body, headers=named)
        else:
            response = self.scene.client.request(method, url, json=body, headers=named)
        if response.content and response.headers["content-type"] == "application/fhir+json":
            assert faults(response.content) == [], response.text
        return response

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, **headers)

    def post(self, resource: Json, **headers: str) -> httpx.Response:
        return self.request("POST", resource["resourceType"], resource, **headers)

    def put(self, resource: Json, **headers: str) -> httpx.Response:
        return self.request("PUT", f"{resource['resourceType']}/{resource['id']}", resource, **headers)

    def send(self, kind: str, *entries: Json, **headers: str) -> httpx.Response:
        return self.request("POST", "", bundle(kind, *entries), **headers)

    def read(self, path: str) -> Json:
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    def create(self, resource: Json, **headers: str) -> Json:
        response = self.post(resource, **headers)
        assert response.status_code == 201, response.text
        return response.json()

    def found(self, path: str) -> list[Json]:
        return [one["resource"] for one in self.read(path).get("entry", [])]

    def open_visit(self, patient: Patient, number: str = "V1", class_: str = "AMB") -> str:
        """Open a visit, and return the reference to its Encounter."""
        created = self.create(encounter(patient, number, class_))
        self.scene.advanced(number, self.hospital)
        return f"Encounter/{created['id']}"

    def close_account(self, visit: str) -> None:
        """Close the account of a visit, so that its bill is issued."""
        account = self.read(visit.replace("Encounter", "Account"))
        response = self.put(account | {"status": "inactive"})
        assert response.status_code == 200, response.text
        self.scene.advanced(account["identifier"][0]["value"], self.hospital)


def expect_error(response: httpx.Response, status: int, code: str, expression: str | None = None) -> Json:
    """Return the issue of a response that must be this OperationOutcome."""
    assert response.status_code == status, response.text
    issue = response.json()["issue"][0]
    assert issue["code"] == code, issue
    if expression is not None:
        assert issue["expression"] == [expression], issue
    return issue
