"""A hospital's information system that speaks FHIR, in few words."""

from collections.abc import Sequence
from typing import Any

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
    made: Json = {"request": {"method": method, "url": url, **request}}
    made |= {"resource": resource} if resource else {}
    return made | ({"fullUrl": full_url} if full_url else {})


def bundle(kind: str, *entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


class HospitalSystem:
    """A hospital's system with an access token of its own."""

    def __init__(self, scene: Scene, hospital: Hospital, scopes: Sequence[str] = ("system/*.cruds",)) -> None:
        self.scene, self.hospital, self.scopes = scene, hospital, tuple(scopes)

    @property
    def token(self) -> str:
        caller = Caller(f"hospital:{self.hospital.id}", "test", roles=("hospital",), scopes=self.scopes)
        return self.scene.client.app.state.access.issue(caller, self.scene.clock.now)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request; headers are given with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {self.token}"
        url = f"/fhir/{path}".rstrip("/")
        if isinstance(body, bytes | str):
            named.setdefault("Content-Type", "application/fhir+json")
            return self.scene.client.request(method, url, content=body, headers=named)
        return self.scene.client.request(method, url, json=body, headers=named)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, **headers)

    def post(self, resource: Json, **headers: str) -> httpx.Response:
        return self.ask("POST", resource["resourceType"], resource, **headers)

    def put(self, resource: Json, **headers: str) -> httpx.Response:
        return self.ask("PUT", f"{resource['resourceType']}/{resource['id']}", resource, **headers)

    def send(self, kind: str, *entries: Json, **headers: str) -> httpx.Response:
        return self.ask("POST", "", bundle(kind, *entries), **headers)

    def read(self, path: str) -> Json:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def made(self, resource: Json, **headers: str) -> Json:
        answer = self.post(resource, **headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def found(self, path: str) -> list[Json]:
        return [one["resource"] for one in self.read(path).get("entry", [])]

    def opened(self, patient: Patient, number: str = "V1", class_: str = "AMB") -> str:
        """Open a visit, and give the reference to its Encounter."""
        made = self.made(encounter(patient, number, class_))
        self.scene.brought_on(number, self.hospital)
        return f"Encounter/{made['id']}"

    def closed(self, visit: str) -> None:
        """End the account of a visit, and have its bill made."""
        account = self.read(visit.replace("Encounter", "Account"))
        answer = self.put(account | {"status": "inactive"})
        assert answer.status_code == 200, answer.text
        self.scene.brought_on(account["identifier"][0]["value"], self.hospital)


def refused(answer: httpx.Response, status: int, code: str, expression: str | None = None) -> Json:
    """Give the issue of an answer that must be an OperationOutcome of this kind."""
    assert answer.status_code == status, answer.text
    issue = answer.json()["issue"][0]
    assert issue["code"] == code, issue
    if expression is not None:
        assert issue["expression"] == [expression], issue
    return issue
