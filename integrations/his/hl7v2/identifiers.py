"""Identifiers with an assigning authority (data type CX): which system gave a number."""

import re

from backend.city.id_number import RESIDENT_CARD, DocumentKind
from backend.i18n import Text
from backend.services.medical_credit.model.visit import qualified
from integrations.his import mapping
from integrations.his.hl7v2.errors import Hl7Error, error_at
from integrations.his.hl7v2.message import Part

AUTHORITY, TYPE = 4, 5
"""The components of CX that hold the assigning authority (data type HD), and the type of the identifier."""

_PREFIXES = {"UUID": "urn:uuid:", "GUID": "urn:uuid:"}
_OID = re.compile(r"[0-2](?:\.[0-9]+){3,}", re.ASCII)
PASSPORT_OID = "urn:oid:2.16.840.1.113883.4.330."
"""Passports of a country, whose numeric code follows (HL7 OID registry)."""


def document_kind(identifier: Part) -> DocumentKind | None:
    """Return the kind of an identity document by its type (CX-5), or else by the OID or URI in CX-4."""
    system = system_of(identifier)
    if identifier.component(TYPE).text in mapping.DOCUMENT_TYPES:
        return mapping.DOCUMENT_TYPES[identifier.component(TYPE).text]
    if system == mapping.ID_NUMBER_SYSTEM:
        return RESIDENT_CARD
    return "passport" if system.startswith((mapping.PASSPORT_SYSTEM, PASSPORT_OID)) else None


def system_of(identifier: Part) -> str:
    """Return the system of an identifier as FHIR names it: the universal id in CX-4 as a URI, or else the namespace."""
    authority = identifier.component(AUTHORITY)
    namespace, universal_id, kind = (authority.subcomponent(number).text.strip() for number in (1, 2, 3))
    if not universal_id:
        return f"urn:oid:{namespace}" if _OID.fullmatch(namespace) else namespace
    prefix = "" if universal_id.startswith("urn:") else _PREFIXES.get(kind.upper(), "")
    if _OID.fullmatch(universal_id):
        prefix = "urn:oid:"
    return f"{prefix}{universal_id}"


def parse_number(identifier: Part, element: mapping.Element) -> str:
    """Return a number as records have it: `system|value`, or the value without an assigning authority. Raises Hl7Error.

    The hospital's own authorities have been left out by `local_codes`.
    """
    try:
        value = mapping.parse_identifier(identifier.text, element)
    except mapping.Unmappable as error:
        raise error_at(identifier.location, error) from error
    return with_system(identifier, value)


def with_system(identifier: Part, value: str) -> str:
    """Return a value of an identifier with its system, if it has one. Raises Hl7Error 102."""
    system = system_of(identifier)
    if len(system) > mapping.MAX_SYSTEM or not system.isprintable():
        location = identifier.component(AUTHORITY).location
        text = Text(
            zh=f"{location}最多{mapping.MAX_SYSTEM}个可见字符",
            en=f"{location} has at most {mapping.MAX_SYSTEM} printable characters",
        )
        raise Hl7Error(location, "102", text)
    return qualified(value, system) if system else value
