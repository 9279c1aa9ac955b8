"""The interface does what FHIR's REST rules make clients expect: versions, media types, HEAD, bodies, its statement."""

import gzip
import json
import re
from datetime import timedelta

from integrations.his.fhir.representation import Json
from tests.conftest import ROOT, Clock
from tests.integrations.his.fhir.hospital_system import (
    HospitalSystem,
    charge,
    credit,
    encounter,
    entry,
    expect_error,
    payment,
)
from tests.services.medical_credit.scene import Patient, Scene

FHIR = "application/fhir+json"


# ── versions ──


def version(system: HospitalSystem, path: str) -> str:
    """Return the ETag of a resource, which must be the one that `meta` shows."""
    response = system.get(path)
    assert response.headers["etag"] == f'W/"{response.json()["meta"]["versionId"]}"'
    return response.headers["etag"]


def test_a_state_that_returns_has_a_new_version(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    paths = (visit, visit.replace("Encounter", "Account"), visit.replace("Encounter", "Invoice"))
    versions: dict[str, list[str]] = {path: [] for path in paths}
    shown = first.read(visit)
    for status in ("in-progress", "finished", "in-progress"):
        assert first.put(shown | {"status": status}).status_code == 200
        for path in paths:
            versions[path].append(version(first, path))
    for path, seen in versions.items():
        assert len(set(seen)) == 3, path
    stale = first.put(shown | {"status": "cancelled"}, If_Match=versions[visit][0])
    expect_error(stale, 412, "conflict")


def test_a_correction_that_is_taken_back_has_a_new_version(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    shown, seen = first.read(visit), [version(first, visit)]
    for class_ in ("EMER", "AMB"):
        assert first.put(shown | {"class": {"code": class_}}).status_code == 200
        seen.append(version(first, visit))
    assert len(set(seen)) == 3


def test_a_charge_that_is_credited_and_restored_has_a_new_version(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    item = f"ChargeItem/{first.create(charge(visit, 'L1', 10))['id']}"
    seen = [version(first, item)]
    first.create(credit(visit, item, "L2", -10))
    seen.append(version(first, item))
    first.create(credit(visit, item, "L3", 10, overrideReason="adjustment"))
    seen.append(version(first, item))
    assert len(set(seen)) == 3


def test_an_invoice_has_one_version_in_searches_and_reads(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 10))
    (found,) = first.found("Invoice?identifier=V1")
    read = first.read(visit.replace("Encounter", "Invoice"))
    assert ("lineItem" in found, "lineItem" in read) == (False, True)
    assert found["meta"]["versionId"] == read["meta"]["versionId"]


# ── media types ──


def test_another_version_of_fhir_is_refused(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    for asked in ("3.0", "5.0", "1.0", "4.3", "x"):
        other = f"{FHIR}; fhirVersion={asked}"
        expect_error(first.get(visit, Accept=other), 406, "not-supported")
        expect_error(first.get(f"{visit}?_format={FHIR.replace('+', '%2B')};fhirVersion={asked}"), 406, "not-supported")
        expect_error(first.post(encounter(patient, "V2"), Content_Type=other), 415, "not-supported")
        assert first.scene.client.get("/fhir/metadata", headers={"Accept": other}).status_code == 406


def test_a_client_that_accepts_r4_among_others_gets_it(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    for accepted in (
        f"{FHIR}; fhirVersion=4.0",
        f'{FHIR};fhirVersion="4.0.1"',
        f"{FHIR}; fhirVersion=5.0, {FHIR}; fhirVersion=4.0; q=0.5",
        "application/fhir+xml;q=1.0, application/fhir+json;q=0.9",
        "text/html, */*;q=0.1",
        "JSON",
    ):
        assert first.get(visit, Accept=accepted).status_code == 200, accepted
    for refused in (f"{FHIR};q=0", f"{FHIR};q=0.000", "application/fhir+xml", "text/html"):
        expect_error(first.get(visit, Accept=refused), 406, "not-supported")


def test_a_body_that_is_not_json_in_utf_8_is_refused(first: HospitalSystem, patient: Patient) -> None:
    for sent in (f"{FHIR}; charset=gb18030", "application/fhir+xml", "", f"{FHIR}, {FHIR}"):
        expect_error(first.post(encounter(patient), Content_Type=sent), 415, "not-supported")
    assert first.post(encounter(patient), Content_Type=f'{FHIR}; charset="UTF-8"; fhirVersion=4.0').status_code == 201


# ── HEAD ──


def test_head_has_the_headers_of_get_and_no_body(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    for path in (visit, "Encounter?identifier=V1", "metadata", ".well-known/smart-configuration"):
        got, head = first.get(path), first.request("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "etag", "last-modified"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)
    assert first.request("HEAD", "Encounter/" + "0" * 32).status_code == 404
    assert first.request("HEAD", visit, If_None_Match=first.get(visit).headers["etag"]).status_code == 304


# ── compressed bodies ──


def packed(resource: Json) -> bytes:
    return gzip.compress(json.dumps(resource).encode())


def test_a_body_may_be_compressed_with_gzip(first: HospitalSystem, patient: Patient) -> None:
    body = packed(encounter(patient))
    created = first.request("POST", "Encounter", body, Content_Encoding="gzip")
    assert created.status_code == 201
    form = gzip.compress(b"identifier=V1")
    type_ = "application/x-www-form-urlencoded"
    found = first.request("POST", "Encounter/_search", form, Content_Encoding="gzip", Content_Type=type_)
    assert [one["resource"]["id"] for one in found.json()["entry"]] == [created.json()["id"]]


def test_a_body_that_unpacks_to_too_much_is_refused(first: HospitalSystem, patient: Patient) -> None:
    bomb = packed(encounter(patient, note="0" * 5_000_000))
    assert len(bomb) < 10_000
    expect_error(first.request("POST", "Encounter", bomb, Content_Encoding="gzip"), 413, "too-long")


def test_a_body_that_is_badly_compressed_is_refused(first: HospitalSystem, patient: Patient) -> None:
    body = packed(encounter(patient))
    for content in (b"", b"{}", body[:-5], body + body, body + b"x"):
        expect_error(first.request("POST", "Encounter", content, Content_Encoding="gzip"), 400, "structure")
    for coding in ("br", "deflate", "gzip, gzip"):
        refused = first.request("POST", "Encounter", body, Content_Encoding=coding)
        expect_error(refused, 415, "not-supported")
        assert refused.headers["accept-encoding"] == "gzip"


# ── faults in bundles ──


def test_a_fault_in_a_bundle_is_located_from_its_root(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    ok = entry("POST", "ChargeItem", charge(visit, "L0", 1))
    cases = [
        (entry("POST", "ChargeItem", charge(visit, "L1", 1.005)), "Bundle.entry[1].resource.priceOverride.value"),
        (entry("POST", "ChargeItem", charge(visit, "L1") | {"foo": 1}), "Bundle.entry[1].resource.foo"),
        (entry("POST", "ChargeItem", encounter(patient)), "Bundle.entry[1].resource"),
        (entry("POST", "Practitioner", {"resourceType": "Practitioner"}), "Bundle.entry[1]"),
        ({"resource": charge(visit, "L1")}, "Bundle.entry[1].request"),
        (entry("GET", "Encounter?foo=1"), "Bundle.entry[1].request.url"),
    ]
    for faulty, expression in cases:
        (outcome,) = [
            one["response"]["outcome"]
            for one in first.send("batch", ok, faulty).json()["entry"]
            if "outcome" in one["response"]
        ]
        assert outcome["issue"][0].get("expression") == [expression]
        transaction = first.send("transaction", ok, faulty)
        assert transaction.json()["issue"][0].get("expression") == [expression]


# ── planned visits ──


def test_a_planned_visit_is_refused_until_it_begins(first: HospitalSystem, patient: Patient) -> None:
    planned = encounter(patient, status="planned")
    expect_error(first.post(planned), 422, "not-supported", "Encounter.status")
    assert first.found("Encounter?identifier=V1") == []
    shown = first.create(encounter(patient, status="arrived"))
    expect_error(first.put(shown | {"status": "planned"}), 422, "not-supported", "Encounter.status")
    assert first.read(f"Encounter/{shown['id']}") == shown


# ── statements about ourselves ──


def test_the_statement_names_itself_and_does_not_change_by_the_day(scene: Scene, clock: Clock) -> None:
    shown = scene.client.get("/fhir/metadata").json()
    clock.now += timedelta(days=400)
    assert scene.client.get("/fhir/metadata").json() == shown
    assert {"url", "name", "title", "version", "description"} <= shown.keys()
    assert shown["software"]["version"] == shown["version"]


def test_each_search_parameter_has_its_name_and_definition_in_r4(scene: Scene) -> None:
    resources = scene.client.get("/fhir/metadata").json()["rest"][0]["resource"]
    for resource in resources:
        for parameter in resource["searchParam"]:
            assert "." not in parameter["name"]
            assert parameter["definition"].startswith("http://hl7.org/fhir/SearchParameter/")
    (created,) = [
        parameter
        for resource in resources
        if resource["type"] == "PaymentReconciliation"
        for parameter in resource["searchParam"]
        if parameter["name"] == "created"
    ]
    assert created["type"] == "date"


def test_the_smart_configuration_is_complete(scene: Scene) -> None:
    shown = scene.client.get("/fhir/.well-known/smart-configuration").json()
    required = {"token_endpoint", "grant_types_supported", "capabilities", "code_challenge_methods_supported"}
    for_backends = {
        "scopes_supported",
        "response_types_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
    }
    assert required | for_backends <= shown.keys()
    assert "ES384" in shown["token_endpoint_auth_signing_alg_values_supported"]
    documented = set(re.findall(r"`((?:system|hospital)/[^`]+)`", (ROOT / "docs" / "hospitals.md").read_text("utf-8")))
    assert documented <= set(shown["scopes_supported"])


def test_the_capability_statement_says_that_identifiers_have_a_system(scene: Scene) -> None:
    shown = scene.client.get("/fhir/metadata").json()["rest"][0]["documentation"]
    assert "a pair of system and value" in shown
    assert "systems are not compared" not in shown


def test_no_answer_has_an_empty_list(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(payment(visit, "P1", 5))
    for path in (visit, "Encounter?identifier=none", "metadata", f"PaymentNotice?request={visit}"):
        assert "[]" not in first.get(path).text
