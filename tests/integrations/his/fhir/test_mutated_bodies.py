"""No body that a client sends is an error of the server: valid bodies with faults planted at random."""

import copy
import json
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from tests.draws import draws
from tests.integrations.his.fhir.hospital_system import (
    ID_NUMBER,
    HospitalSystem,
    Json,
    bundle,
    charge,
    credit,
    eligibility,
    encounter,
    entry,
    payment,
)
from tests.services.medical_credit.scene import Patient

BODIES = draws(2_000, 20_000)
ENTRIES = 10
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        12.505,
        1e20,
        -1e300,
        10**30,
        2**63,
        "",
        " ",
        "x",
        "12.50",
        "1e2",
        "\u0000",
        "\ud800",
    ),
    *(
        "a|b",
        "|",
        "Encounter/1",
        "#p",
        "#",
        "urn:uuid:1",
        "CNY",
        "USD",
        "active",
        "finished",
        "entered-in-error",
        "adjustment",
    ),
    *("2022-04-20", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2022-13-45", "x" * 5_000, "医" * 300),
    *(
        [],
        {},
        [[]],
        [None],
        [{}],
        {"value": None},
        {"reference": 5},
        {"reference": "#p"},
        [[[[[[]]]]]],
        {"x": {"y": []}},
    ),
    *(
        {"resourceType": "Patient", "id": "p"},
        {"resourceType": "Nonsense"},
        [{"resourceType": []}],
        {"extension": [{}]},
    ),
]
KEYS = [
    *(
        "extension",
        "modifierExtension",
        "contained",
        "id",
        "meta",
        "value",
        "system",
        "currency",
        "_status",
        "class_fhir",
    ),
    *("resourceType", "identifier", "partOf", "status", "period", "text", "implicitRules", "fhir_comments", "\u0000"),
]


def places(value: object) -> list[tuple[Any, Any]]:
    """Return each container in a body with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else []
        found.extend((one, key) for key in keys)
        waiting.extend(one[key] for key in keys)
    return found


def mutated(random: Random, body: Json) -> Json:
    """Return a body with one to three faults."""
    body = copy.deepcopy(body)
    for _ in range(random.randint(1, 3)):
        if not body:
            break
        container, key = random.choice(places(body))
        match random.randrange(6):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[random.choice(KEYS)] = random.choice(VALUES)
            case 2:
                container[key] = [container[key]]
            case 3:
                container[key] = copy.deepcopy(random.choice(places(body))[0])
            case 4 if isinstance(container[key], int | float):
                container[key] = str(container[key])
            case _:
                container[key] = copy.deepcopy(random.choice(VALUES))
    return body


def cut(random: Random, body: bytes) -> bytes:
    """Return a body with one byte replaced, left out or repeated."""
    at = random.randrange(len(body))
    return body[:at] + random.choice([b"", b"\xff", b"\x00", b'"', b"}", b"9", body[at : at + 1] * 2]) + body[at + 1 :]


def valid_requests(first: HospitalSystem, patient: Patient, number: str) -> list[tuple[str, str, Json]]:
    """Open a visit, and return the method, the path and the body of requests that are valid for it."""
    visit = first.open_visit(patient, number, "EMER")  # which the limit never refuses
    invoice = visit.replace("Encounter", "Invoice")
    item = first.create(charge(visit, "L0", 100))
    account = first.read(visit.replace("Encounter", "Account"))
    share = {"url": "urn:chengma:fhir:estimated-share", "valueMoney": {"value": 8.5, "currency": "CNY"}}
    contained = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": ID_NUMBER, "value": patient.id_number}],
    }
    part = credit(visit, f"ChargeItem/{item['id']}", "C1", -1, quantity={"value": 1, "unit": "次"})
    by_number = charge("", "L3", account=[{"identifier": {"value": number}}], note=[{"text": "x"}])
    return [
        ("POST", "Encounter", encounter(patient, f"{number}-2", extension=[share])),
        ("POST", "Encounter", encounter(patient, f"{number}-3", subject={"reference": "#p"}, contained=[contained])),
        ("PUT", visit, first.read(visit)),
        ("POST", "ChargeItem", charge(visit, "L1")),
        ("POST", "ChargeItem", part),
        ("POST", "ChargeItem", by_number | {"context": {"type": "Encounter", "identifier": {"value": number}}}),
        ("PUT", f"ChargeItem/{item['id']}", item),
        ("POST", "PaymentNotice", payment(invoice)),
        ("POST", "Account", {"resourceType": "Account", "status": "active", "identifier": [{"value": number}]}),
        ("PUT", f"Account/{account['id']}", account),
        ("POST", "CoverageEligibilityRequest", eligibility(patient.id_number)),
    ]


def test_no_mutated_body_is_an_error_of_the_server(first: HospitalSystem, patient: Patient) -> None:
    random = Random(20261129)
    for number in range(BODIES // 2):
        if number % 200 == 0:  # the mutated ones close and cancel the visit
            valid = valid_requests(first, patient, f"V{number}")
        method, path, body = random.choice(valid)
        raw = json.dumps(mutated(random, body)).encode()
        raw = cut(random, raw) if random.random() < 0.1 else raw
        response = first.request(method, path, raw)
        assert response.status_code < 500, (method, path, raw)
        if response.status_code >= 400:
            assert response.json()["resourceType"] == "OperationOutcome", (method, path, raw)


def test_bundles_of_mutated_bodies_are_answered_entry_by_entry(first: HospitalSystem, patient: Patient) -> None:
    random = Random(2026)
    for number in range(BODIES // 2 // ENTRIES):
        if number % 20 == 0:
            valid = valid_requests(first, patient, f"V{number}")
        entries = [mutated(random, entry(*random.choice(valid))) for _ in range(ENTRIES)]
        person = {"resourceType": "Patient", "identifier": [{"system": ID_NUMBER, "value": patient.id_number}]}
        of_person = encounter(patient, f"P{number}", "EMER", subject={"reference": "urn:uuid:1"})
        pair = entry("POST", "Patient", person, "urn:uuid:1"), entry("POST", "Encounter", of_person)
        transaction = mutated(random, bundle("transaction", *random.choice([entries[:2], pair])))
        assert first.request("POST", "", json.dumps(transaction)).status_code < 500, transaction
        batch = json.dumps(bundle("batch", *entries)).replace("\\ud800", "")  # which is no JSON text
        response = first.request("POST", "", batch)
        assert response.status_code == 200, (response.text, batch)
        statuses = [one["response"]["status"] for one in response.json()["entry"]]
        assert len(statuses) == ENTRIES
        assert not [one for one in zip(statuses, entries, strict=True) if one[0].startswith("5")]


CRITERIA = [
    *("identifier", "status", "class", "date", "account", "context", "request", "created", "patient.identifier", "_id"),
    *(
        "_lastUpdated",
        "_sort",
        "_count",
        "_page",
        "_summary",
        "_total",
        "_elements",
        "context.identifier",
        "patient",
        "x",
    ),
    *(
        "subject:identifier",
        "identifier:not",
        "account:Account.identifier",
        "_has:Patient:x:y",
        "_format",
        "date:missing",
    ),
]
TEXTS = [
    *(
        "",
        "|",
        "||",
        "a|",
        "|a",
        "a|b",
        "a,b",
        ",",
        "\\",
        "\\,",
        "\x00",
        "医",
        "٣",
        "ge",
        "ge2022",
        "2022-04",
        "eq2022-04-20",
    ),
    *(
        "0000-00-00",
        "9999-12-31",
        "lt0001-01-01",
        "-1",
        "9" * 30,
        "count",
        "true",
        "Encounter/",
        "Encounter/1",
        "#",
        "x" * 999,
    ),
    *(
        "330106199003070022",
        "2022-04-20T25:00",
        "2022-04-20T10:00+99:99",
        "-date",
        "_lastUpdated",
        "W/",
        '"',
        "%zz",
        "１",
    ),
]


def test_no_mutated_search_condition_or_address_is_an_error_of_the_server(
    first: HospitalSystem, patient: Patient
) -> None:
    valid, random = valid_requests(first, patient, "V1"), Random(47)
    types = ["Encounter", "Account", "ChargeItem", "Invoice", "PaymentNotice", "CoverageEligibilityRequest"]
    types.extend(["CoverageEligibilityResponse", "PaymentReconciliation", "Patient", ""])
    for _ in range(BODIES // 4):
        query = urlencode([(random.choice(CRITERIA), random.choice(TEXTS)) for _ in range(random.randint(1, 3))])
        name, known = random.choice(types), valid[3][2]
        sent = [
            lambda: first.get(f"{name}?{query}", Prefer=random.choice(["handling=strict", "", "x"])),  # noqa: B023
            lambda: first.request("POST", f"{name}/_search", query, Content_Type="application/x-www-form-urlencoded"),  # noqa: B023
            lambda: first.post(known, If_None_Exist=query),  # noqa: B023
            lambda: first.get(f"{name}/{quote(random.choice(TEXTS), safe='')}", If_None_Match="x"),  # noqa: B023
            lambda: first.send("batch", entry("GET", f"{name}?{query}"), entry("PUT", f"{name}/{query}", known)),  # noqa: B023
            lambda: first.send("batch", entry("POST", name, known, ifNoneExist=query, ifMatch=query)),  # noqa: B023
        ]
        response = random.choice(sent)()
        assert response.status_code < 500, (name, query)
        assert '"status":"5' not in response.text, (name, query)
