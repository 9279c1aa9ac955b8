"""Searches: nothing that is asked for is ignored where that would find more, and pages lead to all results."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.store.time import to_ms
from integrations.his.fhir.representation import Json
from tests.integrations.his.fhir.hospital_system import (
    ID_NUMBER,
    HospitalSystem,
    charge,
    expect_error,
)
from tests.services.medical_credit.scene import Patient

STRICT, LENIENT = "handling=strict", "handling=lenient"


UNKNOWN = (
    f"patient={ID_NUMBER}|330106200001010018",
    "patient=Patient/1",
    "patient:Patient=1",
    "patient.name=Wang",
    "patient._id=1",
    "subject=Patient/1",
    "subject:Group=1",
    "_has:ChargeItem:context:identifier=L1",
    "identifier:not=V1",
    "status:missing=false",
    "account.patient.identifier=1",
    "participant=Practitioner/1",
    "_filter=status+eq+finished",
    "_text=x",
    "_tag=x",
    "_list=x",
    "foo=bar",
)


def test_an_unknown_parameter_never_widens_a_search(first: HospitalSystem, patient: Patient) -> None:
    first.open_visit(patient)
    for parameter in UNKNOWN:
        for prefer in ("", STRICT, LENIENT):
            expect_error(first.get(f"Encounter?{parameter}", Prefer=prefer), 400, "not-supported")
        form = {"Content_Type": "application/x-www-form-urlencoded", "Prefer": LENIENT}
        expect_error(first.request("POST", "Encounter/_search", parameter, **form), 400, "not-supported")


def test_a_search_by_patient_says_how_it_is_done(first: HospitalSystem) -> None:
    issue = expect_error(first.get("Encounter?patient=Patient/1"), 400, "not-supported")
    assert "POST patient.identifier to _search" in issue["diagnostics"]


def test_an_unsupported_result_parameter_is_refused_if_the_client_is_strict(
    first: HospitalSystem, patient: Patient
) -> None:
    first.open_visit(patient)
    for parameter in ("_include=Encounter:account", "_revinclude=x", "_contained=true", "_score=true"):
        assert len(first.found(f"Encounter?{parameter}")) == 1
        expect_error(first.get(f"Encounter?{parameter}", Prefer=STRICT), 400, "not-supported")


def test_a_client_chooses_the_elements(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit))
    found = first.get("Encounter?_elements=period,Encounter.identifier", Prefer=STRICT).json()["entry"][0]["resource"]
    expected = {"resourceType", "id", "meta", "status", "class", "period", "identifier"}
    assert found.keys() == expected
    assert found["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert first.read(f"{visit}?_elements=period,identifier") == found
    item = first.found(f"ChargeItem?context={visit}&_elements=occurrence")[0]
    assert item.keys() == {"resourceType", "id", "meta", "status", "code", "subject", "occurrenceDateTime"}
    assert "tag" not in first.read(visit)["meta"]


def test_a_read_with_parameters_that_would_be_ignored_is_refused_if_the_client_is_strict(
    first: HospitalSystem, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    assert first.get(f"{visit}?_include=x").status_code == 200
    expect_error(first.get(f"{visit}?_include=x", Prefer=STRICT), 400, "not-supported")
    expect_error(first.get(f"{visit}?_summary=true", Prefer=STRICT), 400, "not-supported")
    assert first.get(f"{visit}?_pretty=true&_format=json", Prefer=STRICT).text.startswith('{\n  "resourceType"')


def test_a_summary_may_be_the_count_or_everything(first: HospitalSystem, patient: Patient) -> None:
    first.open_visit(patient)
    for name in ("true", "text"):
        assert len(first.found(f"Encounter?_summary={name}")) == 1
        expect_error(first.get(f"Encounter?_summary={name}", Prefer=STRICT), 400, "not-supported")
    counted = first.get("Encounter?_summary=count", Prefer=STRICT).json()
    assert (counted["total"], "entry" in counted) == (1, False)
    for name in ("data", "false"):
        assert len(first.get(f"Encounter?_summary={name}", Prefer=STRICT).json()["entry"]) == 1
    expect_error(first.get("Encounter?_summary=some"), 400, "invalid")


def test_a_total_is_given_as_asked_for(first: HospitalSystem, patient: Patient) -> None:
    for number in ("V1", "V2", "V3"):
        first.open_visit(patient, number)
    assert first.read("Encounter?_count=2&_total=accurate")["total"] == 3
    assert first.read("Encounter?_count=2&_total=estimate")["total"] == 3
    assert "total" not in first.read("Encounter?_count=2&_total=none")
    assert "total" not in first.read("Encounter?_total=none")
    expect_error(first.get("Encounter?_total=all"), 400, "invalid")


def test_an_order_that_is_not_supported_is_refused_if_the_client_is_strict(first: HospitalSystem) -> None:
    for resource_type in ("ChargeItem", "PaymentNotice", "PaymentReconciliation"):
        expect_error(first.get(f"{resource_type}?_sort=date", Prefer=STRICT), 400, "not-supported")
    expect_error(first.get("Encounter?_sort=status", Prefer=STRICT), 400, "not-supported")
    expect_error(first.get("Encounter?_sort=date,_id", Prefer=STRICT), 400, "not-supported")


def numbers(resources: list[Json]) -> list[str]:
    return [one["identifier"][0]["value"] for one in resources]


def open_visits(system: HospitalSystem, patient: Patient, count: int, cancelled: range = range(0)) -> None:
    """Store visits that were opened an hour after each other, and cancel some of them."""
    system.open_visit(patient, "V0")
    opened = system.scene.call(system.scene.city.store.get, Visit, visit_id(system.hospital.id, "V0"))
    assert opened is not None
    for hour in range(count):
        number, at = f"V{hour}", opened.opened_at + timedelta(hours=hour)
        cancelled_at = at if hour in cancelled else None
        visit = replace(opened, number=number, opened_at=at, opened_ms=to_ms(at), cancelled_at=cancelled_at)
        if hour == 0:
            system.scene.call(system.scene.city.store.replace, visit)
        else:
            id_ = visit_id(system.hospital.id, number)
            system.scene.call(system.scene.city.store.insert, replace(visit, id=id_, revision=0))


def test_visits_that_are_named_or_of_a_patient_are_sorted_as_asked_for(first: HospitalSystem, patient: Patient) -> None:
    open_visits(first, patient, 3)
    assert numbers(first.found("Encounter?identifier=V0,V1,V2&_sort=-date")) == ["V2", "V1", "V0"]
    assert numbers(first.found("Encounter?identifier=V0,V1,V2&_sort=date")) == ["V0", "V1", "V2"]
    assert numbers(first.found("Encounter?_lastUpdated=ge2022-01-01&_sort=date")) == ["V0", "V1", "V2"]
    for sort, expected in (("date", ["V0", "V1", "V2"]), ("-date", ["V2", "V1", "V0"])):
        form = f"patient.identifier={ID_NUMBER}|{patient.id_number}&_sort={sort}"
        type_ = "application/x-www-form-urlencoded"
        found = first.request("POST", "Encounter/_search", form, Content_Type=type_).json()
        assert numbers([one["resource"] for one in found["entry"]]) == expected


def test_a_reference_to_another_type_or_server_finds_nothing(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit))
    id_ = visit.removeprefix("Encounter/")
    for context in (visit, id_, f"http://testserver.local/fhir/{visit}", f"{visit}/_history/1"):
        assert len(first.found(f"ChargeItem?context={context}")) == 1, context
    for context in (f"Patient/{id_}", f"http://other.example/fhir/{visit}", f"urn:uuid:{id_}", f"x/{visit}"):
        assert first.found(f"ChargeItem?context={context}") == [], context


# ── pages ──


def link(bundle: Json, relation: str) -> str:
    (url,) = [one["url"] for one in bundle["link"] if one["relation"] == relation]
    return url.removeprefix("http://testserver.local/fhir/")


def test_the_self_link_of_a_later_page_is_that_page(first: HospitalSystem, patient: Patient) -> None:
    open_visits(first, patient, 3)
    page = first.read("Encounter?_count=1")
    seen: list[list[str]] = []
    for _ in range(2):
        page = first.read(link(page, "next"))
        again = first.read(link(page, "self"))
        assert again["entry"] == page["entry"]
        seen.append(numbers([one["resource"] for one in page["entry"]]))
    assert seen == [["V1"], ["V0"]]
    assert "next" not in {one["relation"] for one in page["link"]}


def test_the_first_page_has_a_match_if_there_is_one(first: HospitalSystem, patient: Patient) -> None:
    open_visits(first, patient, 30, cancelled=range(0, 3, 2))
    page = first.read("Encounter?status=cancelled&_count=1")
    assert numbers([one["resource"] for one in page["entry"]]) == ["V2"]
    assert numbers(first.found(link(page, "next"))) == ["V0"]


def test_pages_show_each_match_once(first: HospitalSystem, patient: Patient) -> None:
    open_visits(first, patient, 20, cancelled=range(0, 20, 3))
    path, seen = "Encounter?status=cancelled&_count=2&_sort=date", list[str]()
    while path:
        page = first.read(path)
        seen.extend(numbers([one["resource"] for one in page["entry"]]))
        relations = {one["relation"] for one in page["link"]}
        path = link(page, "next") if "next" in relations else ""
    assert seen == [f"V{hour}" for hour in range(0, 20, 3)]


def test_a_search_that_would_read_too_many_visits_says_so(
    first: HospitalSystem, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.his.fhir.search_pages.MAX_EXAMINED", 4)
    open_visits(first, patient, 8)
    issue = expect_error(first.get("Encounter?status=cancelled&_count=1"), 400, "too-costly")
    assert "add a criterion" in issue["diagnostics"]
    assert "entry" not in first.read("Encounter?status=cancelled&_count=1&date=2022-04-19")


def test_the_self_link_shows_what_was_applied(first: HospitalSystem, patient: Patient) -> None:
    first.open_visit(patient)
    page = first.read("Encounter?status=in-progress&_elements=period&_total=accurate&_include=x")
    applied = parse_qs(urlsplit(link(page, "self")).query)
    assert applied == {"status": ["in-progress"], "_elements": ["period"], "_total": ["accurate"], "_count": ["20"]}
