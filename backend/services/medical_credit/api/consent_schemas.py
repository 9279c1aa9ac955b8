"""Request and response bodies about the hospitals that may use a person's pay later."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.i18n import Text
from backend.services.medical_credit.model.emergency_access import AccessPurpose

MAX_HOSPITALS = 500

HospitalCode = Annotated[str, Meta(min_length=1, max_length=64)]


class HospitalChoice(Struct, forbid_unknown_fields=True):
    """The hospitals that may use the caller's pay later: all of the city, or only those with these codes."""

    all_hospitals: bool
    hospitals: Annotated[list[HospitalCode], Meta(max_length=MAX_HOSPITALS)] = []


class HospitalConsent(Struct, frozen=True):
    """A hospital of the city, and whether it may use the caller's pay later without a desk token."""

    code: str
    name: str
    allowed: bool


class HospitalConsents(Struct, frozen=True):
    """The hospitals that may use the caller's pay later; `chosen_at` is None while that is as agreed at enrolment."""

    all_hospitals: bool
    chosen_at: datetime | None
    hospitals: list[HospitalConsent]


class IssuedDeskToken(Struct, frozen=True):
    """A code to show at a hospital's desk, and until when it can be used."""

    code: str
    expires_at: datetime
    usage: Text


class EmergencyAccessDetails(Struct, frozen=True):
    """A hospital's use of pay later in an emergency without consent; `visit` is the id of the visit it opened."""

    hospital: str
    at: datetime
    purpose: AccessPurpose
    visit: str | None


class EmergencyAccessList(Struct, frozen=True):
    """Accesses, newest first, and the cursor of the next page; None after the last page."""

    accesses: list[EmergencyAccessDetails]
    cursor: str | None
