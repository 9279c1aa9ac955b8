"""Resolve references: patients by their identifiers, visits and charges by id, identifier or `fullUrl`."""

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import parse_qsl

from msgspec import Struct

from backend.city.id_number import DocumentKind, IdentityDocument
from backend.i18n import Text
from backend.services.medical_credit.model.desk_token import PatientKeys, desk_token_id
from backend.services.medical_credit.model.problems import VisitChanged
from backend.services.medical_credit.model.visit import Visit, visit_id
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import objects_in
from integrations.his.fhir.operation_outcome import unprocessable
from integrations.his.fhir.representation import Json

VISIT_RESOURCE_TYPES = ("Encounter", "Account", "Invoice")
"""The resource types that share the id of their visit."""


class ReferenceTarget(Struct, frozen=True):
    """The target of a reference: a visit, or within it the charge line `line_id` or the one at `position` (from 1)."""

    resource_type: str
    visit_id: str
    visit_number: str = ""
    line_id: str | None = None
    position: int = 0


References = Mapping[str, ReferenceTarget]
"""The targets of the `fullUrl`s in a bundle."""


def visit_target(context: RequestContext, visit_number: str, resource_type: str = "Encounter") -> ReferenceTarget:
    """Return the visit with this number, whether or not it has been opened."""
    return ReferenceTarget(resource_type, visit_id(context.hospital.id, visit_number), visit_number)


def resolve_reference(
    context: RequestContext, reference: object, resource_types: Sequence[str], references: References, path: str
) -> ReferenceTarget:
    """Return the target of a reference. Raises Unprocessable unless it is one of these resource types."""
    given = cast("Json", reference) if isinstance(reference, dict) else {}
    text = given.get("reference")
    if isinstance(text, str):
        found = references.get(text) or _literal_target(context, text.removeprefix(context.base + "/"))
    else:
        value = cast("Json", given.get("identifier") or {}).get("value")
        type_ = str(given.get("type") or resource_types[0])
        found = None if value is None else _identified_target(context, type_, str(value))
    if found is None or found.resource_type not in resource_types:
        names = ", ".join(resource_types)
        raise unprocessable(
            path,
            Text(
                zh=f"请以id或identifier引用以下资源之一：{names}。",
                en=f"This must reference one of {names}, by id or by identifier.",
            ),
            "required" if not given else "not-found",
        )
    return found


def _literal_target(context: RequestContext, text: str) -> ReferenceTarget | None:
    """Parse `Type/id`, `Type/id/_history/1` or, as in bundles, `Type?identifier=...`."""
    resource_type, conditional, query = text.partition("?")
    if conditional:
        identifier = dict(parse_qsl(query)).get("identifier")
        return None if identifier is None else _identified_target(context, resource_type, identifier.rpartition("|")[2])
    resource_type, _, rest = text.partition("/")
    resource_id = rest.partition("/")[0]
    if resource_type in VISIT_RESOURCE_TYPES:
        return ReferenceTarget(resource_type, resource_id)
    visit, _, position = resource_id.rpartition("-")
    if resource_type == "ChargeItem" and position.isdecimal():
        return ReferenceTarget(resource_type, visit, position=int(position[:6]))
    return None


def _identified_target(context: RequestContext, resource_type: str, value: str) -> ReferenceTarget | None:
    if resource_type in VISIT_RESOURCE_TYPES:
        return visit_target(context, value, resource_type)
    return ReferenceTarget(resource_type, "", line_id=value) if resource_type == "ChargeItem" else None


def resolve_visit(
    context: RequestContext, resource: Json, elements: Sequence[str], references: References, resource_type: str
) -> ReferenceTarget:
    """Return the visit that a resource references. Raises Unprocessable if its references disagree or are missing."""
    found: dict[str, ReferenceTarget] = {}
    for element in elements:
        for reference in objects_in(resource, element) or ([resource[element]] if resource.get(element) else []):
            path = f"{resource_type}.{element}"
            target = resolve_reference(context, reference, VISIT_RESOURCE_TYPES, references, path)
            found[target.visit_id] = target
    if len(found) > 1:
        raise unprocessable(
            f"{resource_type}.{elements[-1]}",
            Text(zh="这些引用指向不同的就诊。", en="These references point to different visits."),
        )
    if not found:
        raise unprocessable(
            f"{resource_type}.{elements[0]}",
            Text(zh="请引用所属的就诊。", en="Reference the visit to which this belongs."),
            "required",
        )
    return found.popitem()[1]


class PatientReference(Struct, frozen=True):
    """The patient of a resource, by document, desk token or the pseudonym for this hospital; empty if there is none."""

    document: IdentityDocument | None = None
    pseudonym: str | None = None
    desk_token: str | None = None

    def keys(self) -> PatientKeys:
        """Return what identifies a patient whose visit is not open yet. Raises Unmappable without any."""
        return mapping.require_keys([] if self.document is None else [self.document], self.desk_token)

    def check_patient_of(self, context: RequestContext, visit: Visit) -> None:
        """Raise VisitChanged if the pseudonym, or a desk token alone, is not that of the visit's patient."""
        if self.pseudonym is not None and self.pseudonym != context.patient_pseudonym(visit.person):
            raise wrong_patient()
        token = None if self.desk_token is None else desk_token_id(context.city.encryption, self.desk_token)
        if self.document is None and token not in (None, visit.desk_token):
            raise wrong_patient()


def wrong_patient() -> VisitChanged:
    """Return the Problem for a resource whose patient is not the patient of its visit."""
    return VisitChanged(Text(zh="患者与该次就诊的患者不一致。", en="This visit belongs to another patient."))


def parse_patient(context: RequestContext, reference: object, resource: Json, path: str) -> PatientReference:
    """Return the patient whom a reference names, by its own identifier or that of a contained Patient."""
    given = cast("Json", reference) if isinstance(reference, dict) else {}
    identifiers = [cast("Json", given["identifier"])] if isinstance(given.get("identifier"), dict) else []
    text = given.get("reference")
    if isinstance(text, str) and text.startswith("#"):
        contained = [one for one in objects_in(resource, "contained") if one.get("id") == text[1:]]
        identifiers.extend(one for patient in contained for one in objects_in(patient, "identifier"))
    documents: list[IdentityDocument] = []
    desk_token: str | None = None
    for identifier in identifiers:
        value, kind = identifier.get("value"), _document_kind(identifier)
        if isinstance(value, str) and identifier.get("system") == mapping.DESK_SYSTEM:
            desk_token = value
            continue
        if isinstance(value, str) and identifier.get("system") == context.system("patient"):
            return PatientReference(pseudonym=value)
        if isinstance(value, str) and kind is not None:
            documents.append(IdentityDocument(value, kind))
    if documents or desk_token is not None:
        document = mapping.require_document(documents) if documents else None
        return PatientReference(document=document, desk_token=desk_token)
    if given and (identifiers or text):
        raise unprocessable(
            path,
            Text(
                zh="请用居民身份证号、注明类型的其他证件号码，或本系统返回的患者标识，来标识患者。",
                en=f"Identify the patient by an identifier of {mapping.ID_NUMBER_SYSTEM}, by another document"
                " whose type is given, or by the identifier we returned.",
            ),
        )
    return PatientReference()


def _document_kind(identifier: Json) -> DocumentKind | None:
    """Return the kind of document of an identifier, by its type or else its system; without either it is a card."""
    codes = [str(coding.get("code")) for coding in objects_in(identifier.get("type"), "coding")]
    known = next((code for code in codes if code in mapping.DOCUMENT_TYPES), None)
    return mapping.kind_of_system(identifier.get("system")) if known is None else mapping.DOCUMENT_TYPES[known]
