"""The record of a hospital that used a person's pay later in an emergency without their consent."""

import hashlib
from datetime import date
from typing import ClassVar, Literal

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.store import Index
from backend.store.retention import Period, Retention

AccessPurpose = Literal["eligibility", "visit"]


class EmergencyAccess(AuditedDocument, kw_only=True):
    """An eligibility request or a visit of a person who had not allowed it to the hospital; officers check these.

    `about` is the id of the answer or the visit, from which the `id` is derived, so that a repetition is one access.
    """

    collection: ClassVar[str] = "emergency_accesses"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index((), ordered="at_ms"),
        Index(("hospital",), ordered="at_ms"),
        Index(("person",), ordered="at_ms"),
        UNLOGGED,
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each emergency in which a hospital had no consent",
        ends="when nobody can complain about it any more",
        names="a person",
        field="at_ms",
        periods=(Period(date(2021, 1, 1), 1095, "Civil Code, art. 188: claims lapse after three years"),),
    )

    hospital: str
    person: str
    purpose: AccessPurpose
    about: str
    at_ms: int


def emergency_access_id(hospital: str, person: str, about: str) -> str:
    """Return the id of the record of an access."""
    return hashlib.sha256(f"emergency access\n{hospital}\n{person}\n{about}".encode()).hexdigest()[:32]
