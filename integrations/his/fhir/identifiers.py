"""Business identifiers are pairs of system and value: in resources, in references and in searches."""

from collections.abc import Sequence

from msgspec import Struct

from backend.i18n import Text
from backend.services.medical_credit.model.hospital import Hospital, IdentifierKind
from backend.services.medical_credit.model.visit import own_system, split_identifier
from integrations.his import mapping
from integrations.his.fhir.elements import objects_in
from integrations.his.fhir.representation import Json

ELEMENTS: dict[IdentifierKind, mapping.Element] = {
    "visit": "visit",
    "charge": "line",
    "payment": "payment",
    "eligibility": "visit",
}


def parse_identifier(hospital: Hospital, resource: Json, kind: IdentifierKind) -> str | None:
    """Return the business identifier of a resource, or None. Raises Unmappable.

    It is the one in our system for the hospital, else the first in one of its own systems, else the first official
    one, else the first. An identifier that is no longer in use (`old`) is none.
    """
    found = [one for one in objects_in(resource, "identifier") if one.get("value") and one.get("use") != "old"]
    if not found:
        return None

    def rank(one: Json) -> int:
        if one.get("system") == own_system(hospital.id, kind):
            return 0
        if one.get("system") in hospital.own_systems:
            return 1
        return 2 if one.get("use") == "official" else 3

    return _qualified(hospital, min(found, key=rank), kind)


def require_identifier(hospital: Hospital, resource: Json, kind: IdentifierKind) -> str:
    """Return the business identifier of a resource. Raises Unmappable if it has none."""
    identifier = parse_identifier(hospital, resource, kind)
    if identifier is None:
        raise mapping.missing_element(ELEMENTS[kind])
    return identifier


def contradicts(hospital: Hospital, resource: Json, kind: IdentifierKind, identifier: str) -> bool:
    """Return whether a resource has identifiers and none of them is this one."""
    found = [one for one in objects_in(resource, "identifier") if one.get("value")]
    return bool(found) and all(identifier_in(hospital, {"identifier": [one]}, kind) != identifier for one in found)


def identifier_in(hospital: Hospital, resource: Json, kind: IdentifierKind) -> str | None:
    """Return the business identifier of a resource, or None if it has no valid one."""
    try:
        return parse_identifier(hospital, resource, kind)
    except mapping.Unmappable:
        return None


def _qualified(hospital: Hospital, identifier: Json, kind: IdentifierKind) -> str:
    value, system = mapping.parse_identifier(identifier["value"], ELEMENTS[kind]), identifier.get("system") or ""
    if len(system) > mapping.MAX_SYSTEM:
        text = Text(
            zh=f"标识的system最多{mapping.MAX_SYSTEM}个字符。",
            en=f"An identifier system has at most {mapping.MAX_SYSTEM} characters.",
        )
        raise mapping.Unmappable(ELEMENTS[kind], "value", text)
    return hospital.identifier(kind, value, system)


def identifier_json(hospital: str, kind: str, identifier: str) -> Json:
    """Return an identifier as FHIR writes it."""
    system, value = split_identifier(identifier)
    return {"system": system or own_system(hospital, kind), "value": value}


class Token(Struct, frozen=True):
    """A token of a search: `value` in any system (None), `|value` without a system, `system|value`, or `system|`."""

    system: str | None
    value: str

    def matches(self, hospital: Hospital, kind: IdentifierKind, identifier: str) -> bool:
        """Return whether an identifier in our records matches."""
        value = split_identifier(identifier)[1]
        if self.value not in ("", value):
            return False
        return self.system is None or hospital.identifier(kind, value, self.system) == identifier

    def matches_code(self, system: str, code: str) -> bool:
        """Return whether a code of a code system matches."""
        return self.value in ("", code) and self.system in (None, system)


def parse_token(text: str) -> Token:
    """Return the token of a search or of a conditional reference."""
    system, bar, value = text.rpartition("|")
    return Token(system if bar else None, value)


def names_values(tokens: Sequence[Token]) -> bool:
    """Return whether every token has a value, so that what matches can be looked up."""
    return all(token.value for token in tokens)


def parse_tokens(texts: Sequence[str]) -> list[Token]:
    """Return the tokens of one parameter, of which one must match."""
    return [parse_token(text) for text in texts]
