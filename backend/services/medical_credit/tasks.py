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
from backend.store.due import Due, drain, ended
from backend.store.expiry import delete_expired as delete_expired_documents
from backend.store.time import to_ms
from backend.store.update import update_document
from backend.web.idempotency import IdempotencyRecord

ENDING = (
    IdempotencyRecord,
    HisMessage,
    UsedAssertion,
    EligibilityAnswer,
    DeskToken,
    DeskTokenGuesses,
    EmergencyAccess,
)
MESSAGES = Due(HisMessage, "due_ms")
CONSENTS = Due(Enrolment, "ignored_due_ms")

advance, sweep_visits = saga_tasks(visit_saga, "sweep_visits", every=timedelta(seconds=15))
resume_transaction, sweep_transactions = saga_tasks(transaction_saga, "sweep_transactions", every=timedelta(seconds=5))
apply_repairs, sweep_reconciliations = saga_tasks(repair_saga, "sweep_reconciliations", every=timedelta(minutes=1))


@background()
async def retry_message(city: City, message_id: str) -> None:
    """Process a hospital's message again that waits for another one or was interrupted."""
    await city.port(Inbox).retry(city, message_id)


@background(every=timedelta(seconds=30), max_seconds=MAX_SWEEP_SECONDS, due=(MESSAGES,))
async def sweep_messages(city: City) -> None:
    """Process all messages that are due again, the longest overdue first."""

    async def retry(message: HisMessage) -> None:
        await retry_message(city, message.id)

    async def leave(message: HisMessage) -> None:
        await retry_message.enqueue_once(city.jobs, message.id)

    await drain(city, MESSAGES, retry, leave)


@background()
async def process_ignored_messages(city: City, person: str) -> None:
    """Process the messages that were ignored before a person consented, once more after all that arrived meanwhile."""
    began_ms = to_ms(city.now())
    await city.port(Inbox).process_ignored(city, person)

    def finished(enrolment: Enrolment) -> Enrolment:
        due_ms = enrolment.ignored_due_ms
        return replace(enrolment, ignored_due_ms=None) if due_ms is not None and due_ms <= began_ms else enrolment

    await update_document(city.store, lambda: city.store.get(Enrolment, person), finished)


@background(every=timedelta(seconds=30), max_seconds=MAX_SWEEP_SECONDS, due=(CONSENTS,))
async def sweep_consents(city: City) -> None:
    """Process the ignored messages of all people for whom they are due."""

    async def process(enrolment: Enrolment) -> None:
        await process_ignored_messages(city, enrolment.id)

    async def leave(enrolment: Enrolment) -> None:
        await process_ignored_messages.enqueue_once(city.jobs, enrolment.id)

    await drain(city, CONSENTS, process, leave)


@background(every=timedelta(minutes=5), max_seconds=MAX_SWEEP_SECONDS, due=[ended(kind) for kind in ENDING])
async def delete_expired(city: City) -> None:
    """Delete expired answers, messages and assertions, and old visits and reconciliations that are settled."""
    for audited in (EligibilityAnswer, EmergencyAccess, Reconciliation):
        await log_acts_of(city, audited)
    for kind in ENDING:
        await delete_expired_documents(city, kind)
    await delete_expired_documents(city, Visit, Visit.is_settled)
    await delete_expired_documents(city, Reconciliation, lambda day: day.due_ms is None)
