"""Read, update and advance visits."""

from collections.abc import Callable
from datetime import datetime

from backend.city.service import City
from backend.i18n import Text
from backend.jobs.tasks import TaskReference
from backend.problems import NotFound
from backend.services.medical_credit.eligibility import terms_of
from backend.services.medical_credit.model.enrolment import FamilyConsent, family_consent_id
from backend.services.medical_credit.model.steps import rescheduled
from backend.services.medical_credit.model.visit import Visit
from backend.store.update import update_document

advance_visit = TaskReference("medical_credit.advance")


async def visible_visit(city: City, person: str, visit_id: str) -> Visit:
    """Return a visit of the person, or of a patient for whom they agreed to pay. Raises NotFound for any other."""
    visit = await city.store.get(Visit, visit_id)
    if visit is not None and visit.person != person:
        consent = await city.store.get(FamilyConsent, family_consent_id(visit.person, person))
        if consent is None or not consent.live or consent.agreed_at is None:
            visit = None
    if visit is None:
        raise NotFound(Text(zh="没有找到该就诊记录。", en="This visit was not found."))
    return visit


async def update_visit(city: City, visit_id: str, change: Callable[[Visit, datetime], Visit]) -> Visit:
    """Update a visit and reschedule it; `change` returns the same object if there is nothing to change.

    Raises Conflict if other writers keep changing the visit.
    """

    def changed(visit: Visit) -> Visit:
        now = city.now()
        after = change(visit, now)
        return visit if after is visit else rescheduled(after, now, terms_of(city, now))

    visit = await update_document(city.store, lambda: city.store.get(Visit, visit_id), changed)
    assert visit is not None, "visits are not deleted"
    return visit
