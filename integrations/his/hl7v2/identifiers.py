"""Identifiers with an assigning authority (data type CX): which system gave a number."""

import re

from backend.city.id_number import RESIDENT_CARD, DocumentKind
from integrations.his import mapping
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
