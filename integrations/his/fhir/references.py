"""Resolve references: patients by their identifiers, visits and charges by id, identifier or `fullUrl`."""

from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import parse_qsl

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import DocumentKind, IdentityDocument, InvalidIdNumber, parse_id_number
from backend.i18n import Text
from backend.services.medical_credit.model.desk_token import PatientKeys, desk_token_id
from backend.services.medical_credit.model.hospital import IdentifierKind
from backend.services.medical_credit.model.problems import OtherPatient
from backend.services.medical_credit.model.visit import Visit, visit_id
from integrations.his import mapping
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.elements import objects_in
from integrations.his.fhir.identifiers import identifier_in, parse_token
from integrations.his.fhir.operation_outcome import Unprocessable, unprocessable
from integrations.his.fhir.representation import Json

VISIT_RESOURCE_TYPES = ("Encounter", "Account", "Invoice")
"""The resource types that share the id of their visit."""


class ReferenceTarget(Struct, frozen=True):
    """The target of a reference: a visit, or within it the charge line `line_id` or the one at `position` (from 1).

    If both are given, they must be the same line.
    """

    resource_type: str
    visit_id: str
    visit_number: str = ""
    line_id: str | None = None
    position: int = 0


References = Mapping[str, ReferenceTarget]
"""The targets of the `fullUrl`s in a bundle."""


def visit_target(context: RequestContext, visit_number: str, resource_type: str = "Encounter") -> ReferenceTarget:
    """Return the visit with this number of our records, whether or not it has been opened."""
    return ReferenceTarget(resource_type, visit_id(context.hospital.id, visit_number), visit_number)


def resolve_reference(
    context: RequestContext, reference: object, resource_types: Sequence[str], references: References, path: str
) -> ReferenceTarget:
    """Return the target of a reference. Raises Unprocessable unless it is one of these resource types."""
    given = cast("Json", reference) if isinstance(reference, dict) else {}
    text = given.get("reference")
    type_ = str(given.get("type") or resource_types[0])
    found = identified = _identified_target(context, type_, cast("Json", given.get("identifier") or {}))
    if isinstance(text, str):
        found = references.get(text) or _literal_target(context, text.removeprefix(context.base + "/"))
        found = found if found is None or identified is None else _agreed(found, identified, path)
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


def _agreed(literal: ReferenceTarget, identified: ReferenceTarget, path: str) -> ReferenceTarget:
    """Return the one target of a reference and of its identifier. Raises Unprocessable if they differ."""
    if literal.position:
        return replace(literal, line_id=identified.line_id)  # compared once the visit is known
    if (literal.visit_id, literal.line_id) != (identified.visit_id, identified.line_id):
        raise unprocessable(
            path, Text(zh="reference与identifier指向不同的资源。", en="The reference and its identifier disagree.")
        )
    return literal


def _literal_target(context: RequestContext, text: str) -> ReferenceTarget | None:
    """Parse `Type/id`, `Type/id/_history/1` or, as in bundles, `Type?identifier=...`."""
    resource_type, conditional, query = text.partition("?")
    if conditional:
        criteria = parse_qsl(query)
        if [name for name, _ in criteria] != ["identifier"]:
            return None
        token = parse_token(criteria[0][1])
        return _identified_target(context, resource_type, {"system": token.system, "value": token.value})
    resource_type, _, rest = text.partition("/")
    resource_id = rest.partition("/")[0]
    if resource_type in VISIT_RESOURCE_TYPES:
        return ReferenceTarget(resource_type, resource_id)
    visit, _, position = resource_id.rpartition("-")
    if resource_type == "ChargeItem" and position.isdecimal():
        return ReferenceTarget(resource_type, visit, position=int(position[:6]))
    return None


def _identified_target(context: RequestContext, resource_type: str, identifier: Json) -> ReferenceTarget | None:
    """Return the target of a logical reference; an identifier without a system is one of the hospital's own."""
    kind: IdentifierKind = "visit" if resource_type in VISIT_RESOURCE_TYPES else "charge"
    found = identifier_in(context.hospital, {"identifier": [identifier]}, kind)
    if found is None or resource_type not in (*VISIT_RESOURCE_TYPES, "ChargeItem"):
        return None
    if kind == "visit":
        return visit_target(context, found, resource_type)
    return ReferenceTarget(resource_type, "", line_id=found)


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
    """The patient of a resource, by document, desk token or the pseudonym for this hospital; empty if there is none.

    `others` are further documents that the resource names, which must not be somebody else's.
    """

    document: IdentityDocument | None = None
    pseudonym: str | None = None
    others: tuple[IdentityDocument, ...] = ()
    desk_token: str | None = None

    def keys(self) -> PatientKeys:
        """Return what identifies a patient whose visit is not open yet. Raises Unmappable without any."""
        return mapping.require_keys([] if self.document is None else [self.document], self.desk_token)

    def check_patient_of(self, context: RequestContext, visit: Visit) -> None:
        """Raise OtherPatient if the pseudonym, or a desk token alone, is not that of the visit's patient."""
        if self.pseudonym is not None and self.pseudonym != context.patient_pseudonym(visit.person):
            raise wrong_patient()
        token = None if self.desk_token is None else desk_token_id(context.city.encryption, self.desk_token)
        if self.document is None and token not in (None, visit.desk_token):
            raise wrong_patient()


def wrong_patient() -> OtherPatient:
    """Return the Problem for a resource whose patient is not the patient of its visit."""
    return OtherPatient(
        zh="患者与该次就诊的患者不一致，请核对患者证件号码和就诊号。",
        en="This visit belongs to another patient; check the patient's number and the visit number.",
    )


def parse_patient(context: RequestContext, reference: object, resource: Json, path: str) -> PatientReference:
    """Return the patient whom a reference names, by its own identifier and those of a contained Patient.

    Raises Unprocessable if they cannot be one person's.
    """
    given = cast("Json", reference) if isinstance(reference, dict) else {}
    identifiers = [cast("Json", given["identifier"])] if isinstance(given.get("identifier"), dict) else []
    text = given.get("reference")
    if isinstance(text, str) and text.startswith("Patient?"):
        criteria = parse_qsl(text.partition("?")[2])
        tokens = [parse_token(value) for name, value in criteria if name == "identifier" and len(criteria) == 1]
        identifiers.extend({"system": one.system or "", "value": one.value} for one in tokens)
    if isinstance(text, str) and text.startswith("#"):
        contained = [one for one in objects_in(resource, "contained") if one.get("id") == text[1:]]
        if len(contained) > 1 or any(one.get("resourceType") != "Patient" for one in contained):
            raise _several_patients(path)
        identifiers.extend(one for patient in contained for one in objects_in(patient, "identifier"))
    ours = context.system("patient")
    pseudonyms = {str(one["value"]) for one in identifiers if one.get("system") == ours and one.get("value")}
    tokens = {str(one["value"]) for one in identifiers if one.get("system") == mapping.DESK_SYSTEM and one.get("value")}
    documents = _documents_in(context, [one for one in identifiers if one.get("system") != ours])
    two_of_a_kind = len(documents) > 1 and _have_two_of_a_kind(context, documents)
    if len(pseudonyms) > 1 or len(tokens) > 1 or two_of_a_kind:
        raise _several_patients(path)
    pseudonym, token = next(iter(pseudonyms), None), next(iter(tokens), None)
    if documents:
        document = mapping.require_document(documents)
        others = [one for one in documents if one.kind != document.kind and _canonical(context, one) is not None]
        return PatientReference(document, pseudonym, tuple(others), token)
    if pseudonym is not None or token is not None:
        return PatientReference(pseudonym=pseudonym, desk_token=token)
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


def _documents_in(context: RequestContext, identifiers: Sequence[Json]) -> list[IdentityDocument]:
    """Return the identity documents among identifiers.

    One without type and system is a resident card, unless another is one and its number is not valid for a card.
    """
    found = [
        (IdentityDocument(one["value"], kind), bool(one.get("system") or one.get("type")))
        for one in identifiers
        if one.get("value") and one.get("use") != "old" and (kind := _document_kind(one)) is not None
    ]
    certain = [one for one, is_typed in found if is_typed or _canonical(context, one) is not None]
    return certain or [one for one, _ in found]


def _have_two_of_a_kind(context: RequestContext, documents: Sequence[IdentityDocument]) -> bool:
    """Return whether two documents of one kind have different numbers, so that they cannot be one person's."""
    different = {_canonical(context, one) or one for one in documents}
    return len({one.kind for one in different}) < len(different)


def _canonical(context: RequestContext, document: IdentityDocument) -> IdentityDocument | None:
    """Return a document as the city writes it, or None if its number is not valid."""
    try:
        return parse_id_number(document.number, context.city.today(), kind=document.kind)
    except InvalidIdNumber:
        return None


def _several_patients(path: str) -> Unprocessable:
    text = Text(
        zh="引用的患者标识不一致，请只指明一名患者。", en="The identifiers name different patients; name one patient."
    )
    return unprocessable(path, text)


def _document_kind(identifier: Json) -> DocumentKind | None:
    """Return the kind of document of an identifier, by its type or else its system; without either it is a card."""
    codes = [str(coding.get("code")) for coding in objects_in(identifier.get("type"), "coding")]
    known = next((code for code in codes if code in mapping.DOCUMENT_TYPES), None)
    return mapping.kind_of_system(identifier.get("system")) if known is None else mapping.DOCUMENT_TYPES[known]
