"""Family payers: the patient requests a consent, the payer agrees, and either can end it."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Literal, TypeVar

from msgspec.structs import replace

from backend.city.service import City
from backend.paylater.bill import B, Terms
from backend.paylater.problems import TooManyFamilyPayers
from backend.problems import InvalidRequest, NotFound
from backend.store import Document, Index
from backend.store.update import create_or_update, update_document

MAX_CONSENTS = MAX_UNPAID = 100

Relation = Literal["spouse", "child", "parent"]


class FamilyConsent(Document, kw_only=True):
    """A family payer's consent to pay for a patient. The `id` is derived from both persons.

    `live` is False once the consent has ended. A service names the collection.
    """

    indexes: ClassVar[tuple[Index, ...]] = (Index(("patient", "live")), Index(("payer", "live")))

    patient: str
    payer: str
    relation: Relation
    requested_at: datetime
    agreed_at: datetime | None = None
    live: bool = True


F = TypeVar("F", bound=FamilyConsent)


def family_consent_id(patient: str, payer: str) -> str:
    """Return the id of the consent between a patient and a payer."""
    return hashlib.sha256(f"family\n{patient}\n{payer}".encode()).hexdigest()[:32]


async def request_consent(
    city: City, kind: type[F], terms: Terms, patient: str, payer: str | None, relation: Relation
) -> None:
    """Ask a person to pay for a patient; nothing happens if the city does not know the payer.

    Raises TooManyFamilyPayers or InvalidRequest.
    """
    live = await city.store.count(kind, {"patient": patient, "live": True})
    maximum = terms("family_at_most")
    if live >= maximum:
        raise TooManyFamilyPayers(
            zh=f"代付家属已达上限（{maximum}位），请先解除一位。",
            en=f"You have reached the maximum number of family payers ({maximum}); please remove one first.",
        )
    if payer == patient:
        raise InvalidRequest(zh="不能将本人设为代付家属。", en="You cannot be your own family payer.")
    if payer is None:
        return
    consent = kind(
        id=family_consent_id(patient, payer), patient=patient, payer=payer, relation=relation, requested_at=city.now()
    )
    await create_or_update(
        city.store,
        consent,
        lambda known: replace(consent, revision=known.revision) if known is consent or not known.live else known,
    )


async def consents_of(city: City, kind: type[F], role: Literal["patient", "payer"], person: str) -> list[F]:
    """Return the consents in which a person is the patient or the payer."""
    return (await city.store.find(kind, {role: person, "live": True}, limit=MAX_CONSENTS)).documents


async def agree(city: City, kind: type[F], consent_id: str, payer: str) -> F:
    """Agree to pay for the patient who requested it. Raises NotFound."""

    def agreed(consent: F) -> F:
        return consent if consent.agreed_at is not None else replace(consent, agreed_at=city.now())

    return await _update(city, kind, consent_id, lambda consent: payer == consent.payer, agreed)


async def end_consent(city: City, kind: type[F], consent_id: str, person: str) -> None:
    """End a consent, as patient or payer; payments already made are not affected. Raises NotFound."""

    def is_theirs(consent: F) -> bool:
        return person in (consent.patient, consent.payer)

    await _update(city, kind, consent_id, is_theirs, lambda consent: replace(consent, live=False))


async def _update(
    city: City, kind: type[F], consent_id: str, may_change: Callable[[F], bool], change: Callable[[F], F]
) -> F:
    async def load() -> F | None:
        consent = await city.store.get(kind, consent_id)
        return consent if consent is not None and consent.live and may_change(consent) else None

    updated = await update_document(city.store, load, change)
    if updated is None:
        raise NotFound(zh="没有找到该代付绑定。", en="This family consent was not found.")
    return updated


async def may_pay(city: City, kind: type[F], payer: str, patient: str) -> bool:
    """Return whether a person pays for themselves or agreed to pay for the patient."""
    if payer == patient:
        return True
    consent = await city.store.get(kind, family_consent_id(patient, payer))
    return consent is not None and consent.live and consent.agreed_at is not None


async def family_bills(city: City, kind: type[F], billable: type[B], payer: str) -> list[B]:
    """Return the unpaid bills of the patients for whom a person agreed to pay."""
    found: list[B] = []
    for consent in await consents_of(city, kind, "payer", payer):
        if consent.agreed_at is not None:
            found += await owing(city, billable, consent.patient)
    return found


async def owing(city: City, billable: type[B], person: str) -> list[B]:
    """Return what a person was billed for and has not paid."""
    return (await city.store.find(billable, {"person": person, "owing": True}, limit=MAX_UNPAID)).documents
