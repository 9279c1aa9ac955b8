"""SMART system scopes, version 1 (`system/Encounter.read`) and version 2 (`system/Encounter.crs`)."""

from functools import lru_cache
from typing import Literal

from backend.services.medical_credit.model.hospital import DAYS_READ, DAYS_WRITE

Permission = Literal["c", "r", "u", "d", "s"]
"""Create, read, update, delete or search, as SMART v2 scopes abbreviate them."""

MAX_SCOPES = 50
READ, WRITE = "rs", "cud"
RESOURCE_TYPES = (
    "Encounter",
    "Account",
    "ChargeItem",
    "Invoice",
    "ClaimResponse",
    "PaymentNotice",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "PaymentReconciliation",
    "MessageHeader",
)
"""The resource types for which scopes exist. That of MessageHeader is for the states of HL7 v2 messages, which are not
FHIR resources here."""

HOSPITAL_SCOPES = {DAYS_READ: ("system/*.read", "system/*.rs"), DAYS_WRITE: ("system/*.write", "system/*.cud")}
"""The scopes outside FHIR. A hospital may request one if it is registered, or one that covers all of FHIR is."""


@lru_cache(maxsize=1_024)
def permissions_of(scopes: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """Return the pairs of resource type and permission that scopes grant; an unknown scope grants none."""
    return frozenset(pair for scope in scopes for pair in scope_permissions(scope))


def scope_permissions(scope: str) -> frozenset[tuple[str, str]]:
    """Return the pairs of resource type and permission that one scope grants."""
    level, _, rest = scope.partition("/")
    resource_type, dot, rights = rest.partition(".")
    if level != "system" or not dot or (resource_type != "*" and resource_type not in RESOURCE_TYPES):
        return frozenset()
    letters = {"read": READ, "write": WRITE, "*": READ + WRITE}.get(rights, rights)
    in_order = [letter for letter in "cruds" if letter in letters]
    if rights == letters and "".join(in_order) != letters:
        return frozenset()
    types = RESOURCE_TYPES if resource_type == "*" else (resource_type,)
    return frozenset((one, letter) for one in types for letter in in_order)


def grant_scopes(requested: list[str], registered: tuple[str, ...]) -> tuple[str, ...]:
    """Return the requested scopes that are registered; a scope that is only partly registered is narrowed."""
    registered_permissions = permissions_of(registered)
    granted: dict[str, None] = {}
    for scope in requested[:MAX_SCOPES]:
        if scope in HOSPITAL_SCOPES:
            if not {scope, "system/*.cruds", "system/*.*", *HOSPITAL_SCOPES[scope]}.isdisjoint(registered):
                granted[scope] = None
            continue
        wanted = scope_permissions(scope)
        allowed = wanted & registered_permissions
        if wanted and allowed == wanted:
            granted[scope] = None
            continue
        for resource_type in sorted({resource_type for resource_type, _ in allowed}):
            letters = "".join(letter for letter in "cruds" if (resource_type, letter) in allowed)
            granted[f"system/{resource_type}.{letters}"] = None
    return tuple(granted)
