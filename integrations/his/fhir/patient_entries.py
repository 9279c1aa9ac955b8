"""A Patient in a transaction, which the other entries reference by its `fullUrl`.

Interface engines and generators of synthetic data send a visit like this. Patients are not kept here: an entry that
references one is read as if the Patient was contained in it, with the same checks of its identifiers.
"""

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from backend.i18n import Text
from integrations.his.fhir.elements import objects_in
from integrations.his.fhir.entries import Entry, for_entry, invalid_bundle
from integrations.his.fhir.interactions import validated_resource
from integrations.his.fhir.operation_outcome import success_outcome
from integrations.his.fhir.representation import Json

CONTAINED_ID = "patient-of-the-transaction"


def is_patient(entry: Entry) -> bool:
    """Return whether an entry creates or updates a Patient."""
    return entry.interaction.resource_type == "Patient" and entry.interaction.method in ("POST", "PUT")


def with_patients(entries: Sequence[Entry]) -> list[Entry]:
    """Return the other entries, with the Patients that they reference contained in them. Raises InvalidResource."""
    patients: dict[str, Json] = {}
    for entry in filter(is_patient, entries):
        patient = for_entry(entry, validated_resource)
        if entry.full_url in patients:
            raise invalid_bundle("Bundle.entry.fullUrl", "Two entries have the same fullUrl.", entry.index)
        contained = {"resourceType": "Patient", "id": CONTAINED_ID, "identifier": objects_in(patient, "identifier")}
        patients[entry.full_url] = contained
        if entry.interaction.resource_id is not None:
            patients[f"Patient/{entry.interaction.resource_id}"] = contained
    patients.pop("", None)
    return [_with_contained(entry, patients) if patients else entry for entry in entries if not is_patient(entry)]


def _with_contained(entry: Entry, patients: dict[str, Json]) -> Entry:
    if entry.full_url in patients:
        raise invalid_bundle("Bundle.entry.fullUrl", "Two entries have the same fullUrl.", entry.index)
    resource = entry.interaction.resource
    subject: object = None if resource is None else resource.get("subject")
    subjects = cast("list[object]", subject) if isinstance(subject, list) else [subject]
    found = [cast("Json", one) for one in subjects if _reference_of(one) in patients]
    if resource is None or not found:
        return entry
    reference: Json = found[0]
    known: object = resource.get("contained", [])
    local = [reference | {"reference": f"#{CONTAINED_ID}"} if one is reference else one for one in subjects]
    patient = patients[_reference_of(reference)]
    contained = [*cast("list[object]", known), patient] if isinstance(known, list) else known  # which is invalid
    changed = resource | {"subject": local if isinstance(subject, list) else local[0], "contained": contained}
    return replace(entry, interaction=replace(entry.interaction, resource=changed))


def _reference_of(subject: object) -> str:
    return str(cast("Json", subject).get("reference", "")) if isinstance(subject, dict) else ""


def patient_response(language: str) -> Json:
    """Return the response to a Patient, which says that it is not kept."""
    text = Text(
        zh="患者资料不在本系统保存；本事务中引用该患者的资源，按其标识识别患者。",
        en="The Patient is not kept here; resources of this transaction that reference it are of the person whom its "
        "identifiers name.",
    )
    return {"response": {"status": "200 OK", "outcome": success_outcome(text, language)}}
