"""A transaction takes effect as a whole or not at all, and says which entry failed."""

from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from backend.services.medical_credit import visit_transactions
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import CancelVisit
from backend.services.medical_credit.model.visit import Visit, visit_id
from tests.integrations.his.fhir.hospital_system import (
    OURS,
    HospitalSystem,
    bundle,
    charge,
    encounter,
    entry,
    expect_error,
)
from tests.services.medical_credit.scene import Patient, Scene

URN = "urn:uuid:5f4a1c3e-0000-4000-8000-00000000000"


def statuses(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [one["response"]["status"] for one in response.json()["entry"]]


def gross(hospital: HospitalSystem, visit: str) -> Any:  # noqa: ANN401  a number
    return hospital.read(visit.replace("Encounter", "Invoice"))["totalGross"]["value"]


# ── reads ──


FAILING_READS = [
    ("Encounter/00000000000000000000000000000000", 404, "not-found"),
    ("ChargeItem/00000000000000000000000000000000-1", 404, "not-found"),
    ("Encounter?date=never", 400, "invalid"),
    ("Encounter?patient.identifier=1", 400, "invalid"),
    ("ChargeItem", 400, "too-costly"),
    ("Nonsense/1", 404, "not-found"),
]


def test_a_read_that_fails_leaves_nothing_behind(first: HospitalSystem, patient: Patient) -> None:
    for url, status, code in FAILING_READS:
        answer = first.send("transaction", entry("POST", "Encounter", encounter(patient)), entry("GET", url))
        issue = expect_error(answer, status, code)
        assert issue["expression"][0].startswith("Bundle.entry[1]")
        assert first.found(f"Encounter?identifier={OURS}|V1") == []


def test_a_read_shows_what_the_same_transaction_writes(first: HospitalSystem, patient: Patient) -> None:
    visit = visit_id(first.hospital.id, "V1")
    answer = first.send(
        "transaction",
        entry("GET", f"ChargeItem/{visit}-1"),
        entry("GET", "Encounter?identifier=V1"),
        entry("POST", "Encounter", encounter(patient), URN + "1"),
        entry("POST", "ChargeItem", charge(URN + "1", "L1", 12.5)),
    )
    assert statuses(answer) == ["200 OK", "200 OK", "201 Created", "201 Created"]
    item, found, *_ = answer.json()["entry"]
    assert item["resource"]["priceOverride"]["value"] == 12.5
    assert [one["resource"]["id"] for one in found["resource"]["entry"]] == [visit]


# ── versions ──


def test_two_entries_with_fresh_versions_of_one_visit_are_both_done(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    shown, account = first.read(visit), first.read(visit.replace("Encounter", "Account"))
    answer = first.send(
        "transaction",
        entry("PUT", visit, shown | {"status": "finished"}, ifMatch=f'W/"{shown["meta"]["versionId"]}"'),
        entry(
            "PUT",
            f"Account/{account['id']}",
            account | {"status": "inactive"},
            ifMatch=f'W/"{account["meta"]["versionId"]}"',
        ),
    )
    assert statuses(answer) == ["200 OK", "200 OK"]
    assert [one["resource"]["status"] for one in answer.json()["entry"]] == ["finished", "inactive"]


def test_an_outdated_version_refuses_the_transaction(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    shown = first.read(visit)
    first.put(shown | {"class": {"code": "EMER"}})
    answer = first.send(
        "transaction",
        entry("POST", "ChargeItem", charge(visit)),
        entry("PUT", visit, shown, ifMatch=f'W/"{shown["meta"]["versionId"]}"'),
    )
    assert expect_error(answer, 412, "conflict")["expression"] == ["Bundle.entry[1]"]
    assert first.found(f"ChargeItem?context={visit}") == []


# ── identities ──


def test_two_updates_of_one_resource_are_refused(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    shown = first.read(visit)
    update = entry("PUT", visit, shown | {"class": {"code": "EMER"}})
    answer = first.send("transaction", update, update)
    assert expect_error(answer, 400, "duplicate")["expression"] == ["Bundle.entry[1]"]
    assert first.read(visit) == shown


def test_hapi_fhir_8183_conditional_updates_that_create_one_identity_are_refused(
    first: HospitalSystem, patient: Patient
) -> None:
    """One of the two updates was stored, and the other was silently dropped."""
    url = f"Encounter?identifier={OURS}|456"
    answer = first.send(
        "transaction",
        entry("PUT", url, encounter(patient, "456", status="arrived"), URN + "1"),
        entry("PUT", url, encounter(patient, "456", status="arrived"), URN + "2"),
    )
    assert expect_error(answer, 400, "duplicate")["expression"] == ["Bundle.entry[1]"]
    assert first.found(url) == []


def test_conditional_updates_that_find_one_identity_are_refused(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    body = encounter(patient, class_="EMER")
    answer = first.send(
        "transaction",
        entry("PUT", f"Encounter?identifier={OURS}|V1", body),
        entry("PUT", f"Encounter?_id={visit.removeprefix('Encounter/')}", body),
    )
    assert expect_error(answer, 400, "duplicate")["expression"] == ["Bundle.entry[1]"]
    assert first.read(visit)["class"]["code"] == "AMB"


def test_an_update_of_what_the_same_transaction_creates_is_refused(first: HospitalSystem, patient: Patient) -> None:
    body = encounter(patient)
    answer = first.send("transaction", entry("PUT", "Encounter?identifier=V1", body), entry("POST", "Encounter", body))
    assert expect_error(answer, 400, "duplicate")["expression"][0].startswith("Bundle.entry[")
    assert first.found("Encounter?identifier=V1") == []


def test_a_create_that_is_repeated_within_a_transaction_is_one_resource(
    first: HospitalSystem, patient: Patient
) -> None:
    visit = first.open_visit(patient)
    again = entry("POST", "ChargeItem", charge(visit))
    assert statuses(first.send("transaction", again, again)) == ["201 Created", "200 OK"]
    assert len(first.found(f"ChargeItem?context={visit}")) == 1


def test_hapi_fhir_2933_two_conditional_creates_of_one_identity_are_one_resource(
    first: HospitalSystem, patient: Patient
) -> None:
    """Each entry created a resource of its own, and references to them diverged."""
    opening, condition = encounter(patient), f"identifier={OURS}|V1"
    answer = first.send(
        "transaction",
        entry("POST", "Encounter", opening, URN + "1", ifNoneExist=condition),
        entry("POST", "Encounter", opening, URN + "2", ifNoneExist=condition),
        entry("POST", "ChargeItem", charge(URN + "1", "L1", 1)),
        entry("POST", "ChargeItem", charge(URN + "2", "L2", 2)),
    )
    assert statuses(answer) == ["201 Created", "200 OK", "201 Created", "201 Created"]
    (visit,) = first.found("Encounter")
    assert gross(first, f"Encounter/{visit['id']}") == 3


def test_medplum_7323_a_transaction_within_a_batch_is_refused_as_a_whole(
    first: HospitalSystem, patient: Patient
) -> None:
    """The valid entries of a transaction within a batch were stored although another one was invalid."""
    nested = bundle("transaction", entry("POST", "Encounter", encounter(patient)))
    answer = first.send("batch", entry("POST", "/", nested))
    assert statuses(answer) == ["404 Not Found"]
    assert first.found("Encounter") == []


# ── conditional updates ──


def test_a_conditional_update_creates_and_then_updates(first: HospitalSystem, patient: Patient) -> None:
    url = f"Encounter?identifier={OURS}|V1"
    created = first.request("PUT", url, encounter(patient))
    again = first.request("PUT", url, encounter(patient, class_="EMER"))
    assert (created.status_code, again.status_code) == (201, 200)
    assert created.json()["id"] == again.json()["id"]
    assert created.headers["location"].endswith(created.json()["id"])
    assert again.json()["class"]["code"] == "EMER"


def test_a_conditional_update_of_a_charge_cancels_it(first: HospitalSystem, patient: Patient) -> None:
    visit = first.open_visit(patient)
    first.create(charge(visit, "L1", 10))
    wrong = charge(visit, "L1", 10, status="entered-in-error")
    assert first.request("PUT", "ChargeItem?identifier=L1", wrong).json()["status"] == "entered-in-error"
    assert gross(first, visit) == 0


def test_a_conditional_update_that_matches_nothing_takes_no_id(first: HospitalSystem, patient: Patient) -> None:
    body = encounter(patient, id="mine")
    expect_error(first.request("PUT", "Encounter?identifier=V1", body), 422, "not-supported", "Encounter.id")
    first.open_visit(patient)
    expect_error(first.request("PUT", "Encounter?identifier=V1", body), 400, "structure", "Encounter.id")
    expect_error(first.request("PUT", "Encounter", encounter(patient)), 412, "conflict")


def test_a_conditional_update_that_matches_several_is_refused(first: HospitalSystem, patient: Patient) -> None:
    first.open_visit(patient)
    first.open_visit(patient, "V2")
    expect_error(first.request("PUT", "Encounter?status=in-progress", encounter(patient)), 412, "conflict")


def test_a_conditional_update_that_creates_needs_the_permission_to_create(
    scene: Scene, patient: Patient, first: HospitalSystem
) -> None:
    updating = HospitalSystem(scene, first.hospital, ("system/Encounter.ru",))
    expect_error(updating.request("PUT", "Encounter?identifier=V1", encounter(patient)), 403, "forbidden")


def test_charges_may_reference_an_encounter_that_is_updated_conditionally(
    first: HospitalSystem, patient: Patient
) -> None:
    for line in ("L1", "L2"):
        answer = first.send(
            "transaction",
            entry("POST", "ChargeItem", charge(URN + "1", line, 5)),
            entry("PUT", f"Encounter?identifier={OURS}|V1", encounter(patient), URN + "1"),
        )
        assert answer.status_code == 200, answer.text
    assert gross(first, f"Encounter/{visit_id(first.hospital.id, 'V1')}") == 10


# ── several visits ──


def two_visits(patient: Patient, price: object = 7) -> list[dict[str, Any]]:
    return [
        entry("POST", "Encounter", encounter(patient, "V1"), URN + "1"),
        entry("POST", "ChargeItem", charge(URN + "1", "L1", 5)),
        entry("POST", "Encounter", encounter(patient, "V2"), URN + "2"),
        entry("POST", "ChargeItem", charge(URN + "2", "L1", price)),
    ]


def test_a_transaction_may_concern_several_visits(first: HospitalSystem, patient: Patient) -> None:
    answer = first.send("transaction", *two_visits(patient))
    assert statuses(answer) == ["201 Created"] * 4
    assert statuses(first.send("transaction", *two_visits(patient))) == ["200 OK"] * 4
    assert [gross(first, f"Encounter/{visit_id(first.hospital.id, number)}") for number in ("V1", "V2")] == [5, 7]


def test_one_wrong_entry_refuses_all_visits(first: HospitalSystem, patient: Patient) -> None:
    issue = expect_error(first.send("transaction", *two_visits(patient, 1.005)), 422, "value")
    assert issue["expression"] == ["Bundle.entry[3].resource.priceOverride.value"]
    assert first.found("Encounter") == []


def test_a_transaction_of_too_many_lines_is_refused(
    first: HospitalSystem, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_transactions, "MAX_LINES_TOGETHER", 1)
    expect_error(first.send("transaction", *two_visits(patient)), 413, "too-long")
    assert first.found("Encounter") == []


def test_a_transaction_that_another_writer_crosses_is_decided_again(
    first: HospitalSystem, scene: Scene, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second visit changes after the transaction was checked and before it is stored."""
    for number in ("V1", "V2"):
        first.open_visit(patient, number)
    store, ids = scene.city.store, [visit_id(first.hospital.id, number) for number in ("V1", "V2")]
    original, crossed = store.replace, list[str]()

    async def replace_crossed(document: Any) -> Any:  # noqa: ANN401  of any kind
        if isinstance(document, Visit) and document.id == ids[1] and not crossed:
            crossed.append(document.id)
            await handle_command(scene.city, scene.first, "V2", CancelVisit(), "crossing")
        return await original(document)

    monkeypatch.setattr(store, "replace", replace_crossed)
    charges = [entry("POST", "ChargeItem", charge(f"Encounter/{one}", "L1", 5)) for one in ids]
    issue = expect_error(first.send("transaction", *charges), 409, "business-rule")
    assert issue["expression"] == ["Bundle.entry[1]"]
    visits = scene.call(scene.city.store.get_many, Visit, ids)
    assert crossed
    assert [visits[one].lines for one in ids] == [(), ()]
    assert replace(visits[ids[0]], revision=0, changed_ms=0).cancelled_at is None
