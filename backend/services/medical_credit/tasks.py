"""Background work of pay later: advance visits, retry messages, apply repairs, and delete expired records."""

from datetime import timedelta

from msgspec.structs import replace

from backend.city.audit_log import log_acts_of
from backend.city.service import City
from backend.jobs.saga import saga_tasks
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background
from backend.services.medical_credit.model.desk_token import DeskToken, DeskTokenGuesses
from backend.services.medical_credit.model.emergency_access import EmergencyAccess
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import EligibilityAnswer, HisMessage, UsedAssertion
from backend.services.medical_credit.model.reconciliation import Reconciliation
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import Inbox
from backend.services.medical_credit.reconciliation import repair_saga
from backend.services.medical_credit.saga import visit_saga
from backend.services.medical_credit.visit_transactions import transaction_saga
from backend.store import Order
from backend.store.expiry import delete_expired as delete_expired_documents
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import update_document
from backend.web.idempotency import IdempotencyRecord

CONSENT_RECORDS = (DeskToken, DeskTokenGuesses, EmergencyAccess)

advance, sweep_visits = saga_tasks(visit_saga, "sweep_visits", every=timedelta(seconds=15))
resume_transaction, sweep_transactions = saga_tasks(transaction_saga, "sweep_transactions", every=timedelta(seconds=5))
apply_repairs, sweep_reconciliations = saga_tasks(repair_saga, "sweep_reconciliations", every=timedelta(minutes=1))


@background()
async def retry_message(city: City, message_id: str) -> None:
    """Process a hospital's message again that waits for another one or was interrupted."""
    await city.port(Inbox).retry(city, message_id)


@background(every=timedelta(seconds=30), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_messages(city: City) -> None:
    """Enqueue all messages that are due, the longest overdue first."""
    due = Order("due_ms", below=to_ms(city.now()) + 1)
    async for message in find_all(city.store, HisMessage, {}, due):
        await retry_message.enqueue(city.jobs, message.id)


@background()
async def process_ignored_messages(city: City, person: str) -> None:
    """Process the messages that were ignored before a person consented, once more after all that arrived meanwhile."""
    began_ms = to_ms(city.now())
    await city.port(Inbox).process_ignored(city, person)

    def finished(enrolment: Enrolment) -> Enrolment:
        due_ms = enrolment.ignored_due_ms
        return replace(enrolment, ignored_due_ms=None) if due_ms is not None and due_ms <= began_ms else enrolment

    await update_document(city.store, lambda: city.store.get(Enrolment, person), finished)


@background(every=timedelta(seconds=30), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_consents(city: City) -> None:
    """Enqueue the people whose ignored messages are due."""
    due = Order("ignored_due_ms", below=to_ms(city.now()) + 1)
    async for enrolment in find_all(city.store, Enrolment, {}, due):
        await process_ignored_messages.enqueue(city.jobs, enrolment.id)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS)
async def delete_expired(city: City) -> None:
    """Delete expired answers, messages and assertions, and old visits and reconciliations that are settled."""
    for audited in (EligibilityAnswer, EmergencyAccess, Reconciliation):
        await log_acts_of(city, audited)
    for kind in (IdempotencyRecord, HisMessage, UsedAssertion, EligibilityAnswer, *CONSENT_RECORDS):
        await delete_expired_documents(city.store, kind, city.now())
    await delete_expired_documents(city.store, Visit, city.now(), Visit.is_settled)
    await delete_expired_documents(city.store, Reconciliation, city.now(), lambda day: day.due_ms is None)
