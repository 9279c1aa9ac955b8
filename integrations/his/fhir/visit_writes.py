"""Apply writes to visits: check all of them first, then store all visits, or nothing at all."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument
from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.services.medical_credit.eligibility import find_person_id
from backend.services.medical_credit.hospital_commands import apply_command, is_unchanged
from backend.services.medical_credit.model.commands import Command
from backend.services.medical_credit.model.problems import UnknownVisit
from backend.services.medical_credit.model.visit import CounterPayment, Line, Visit
from backend.services.medical_credit.tasks import advance
from backend.services.medical_credit.visit_transactions import save_visits
from backend.store.time import to_ms
from backend.store.update import retry_on_conflict
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.operation_outcome import InvalidResource, PreconditionFailed, name_element
from integrations.his.fhir.references import PatientReference, References, wrong_patient
from integrations.his.fhir.representation import Json, matches_etag
from integrations.his.fhir.resource_lookup import find_in_visit

YIELD_EVERY = 20
"""After this many entries of a bundle, other requests get their turn."""


class VisitWrite(Struct, frozen=True):
    """A create or update of a resource, as commands to the visit with this id.

    `commands` returns the commands to a visit in its present state, `resource_id` the id of the resource after them.
    `patient` is the patient whom the resource names, if any; they must be the patient of the visit.
    `once` is true for an update: no other write of a transaction may concern the same resource. A create may be
    repeated, because it then changes nothing.
    """

    resource_type: str
    visit_id: str
    commands: Callable[[Visit | None], Sequence[Command]]
    resource_id: Callable[[Visit], str]
    visit_number: str = ""
    patient: PatientReference = PatientReference()
    if_match: str | None = None
    once: bool = False


CreateParser = Callable[[RequestContext, Json, References], VisitWrite]
UpdateParser = Callable[[RequestContext, str, Json, References], VisitWrite]


class WriteResult(Struct, frozen=True):
    """The id of a written resource, its visit after all writes, and whether this write `changed` the visit."""

    resource_id: str
    visit: Visit
    changed: bool


class _VisitPlan(Struct, frozen=True):
    """A visit before and after its writes, which of them change it, and whether to process it at once (`urgent`)."""

    before: Visit | None
    after: Visit
    changes: list[bool]
    urgent: bool


_IndexedWrite = tuple[int | None, VisitWrite]
"""A write, and the index of its entry if it comes from a bundle."""


async def apply_writes(
    context: RequestContext,
    writes: Sequence[_IndexedWrite],
    check: Callable[[Mapping[str, Visit]], Awaitable[None]] | None = None,
) -> list[WriteResult]:
    """Apply the writes and return their results in the same order.

    `check` gets the visits as they will be, by id, and raises if they must not be stored. Raises what it raises, or the
    Problem of the first write that fails, with its `entry`; then nothing is stored.
    """
    groups: dict[str, list[_IndexedWrite]] = {}
    for one in writes:
        groups.setdefault(one[1].visit_id, []).append(one)

    async def write() -> dict[str, _VisitPlan]:
        plans = {visit: await _plan(context, visit, group) for visit, group in groups.items()}
        _check_identities(writes, plans)
        if check is not None:
            await check({visit: plan.after for visit, plan in plans.items()})
        stored = await save_visits(context.city, [(plan.before, plan.after) for plan in plans.values()])
        return {visit: replace(plan, after=stored[visit]) for visit, plan in plans.items()}

    plans = await retry_on_conflict(write)
    for plan in plans.values():
        await _advance(context, plan)
    changes = {visit: iter(plan.changes) for visit, plan in plans.items()}
    found = [(one, plans[one.visit_id].after) for _, one in writes]
    return [WriteResult(one.resource_id(visit), visit, next(changes[one.visit_id])) for one, visit in found]


def _check_identities(writes: Sequence[_IndexedWrite], plans: Mapping[str, _VisitPlan]) -> None:
    """Raise InvalidResource if an update concerns the same resource as another write of the transaction."""
    known: dict[tuple[str, str], bool] = {}
    for entry, one in writes:
        identity = one.resource_type, one.resource_id(plans[one.visit_id].after)
        if known.get(identity, False) or (identity in known and one.once):
            text = Text(
                zh="同一事务中，一个资源只能出现一次，请合并后再提交。",
                en="A transaction may contain each resource only once; another entry has the same identity.",
            )
            raise InvalidResource(text, errors=(FieldError("", text.en),), issue="duplicate", entry=entry)
        known[identity] = one.once


async def _plan(context: RequestContext, visit_id: str, group: Sequence[_IndexedWrite]) -> _VisitPlan:
    """Apply the writes of a visit in order, without storing the result."""
    city = context.city
    before = await city.store.get(Visit, visit_id)
    if before is not None and before.hospital != context.hospital.id:
        before = None
    visit, changes, urgent = before, list[bool](), False
    people: dict[IdentityDocument, str | None] = {}
    for number, (entry, one) in enumerate(group, 1):
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        try:
            _check_if_match(context, one, before)
            previous = visit
            for command in one.commands(visit):
                changed = await apply_command(city, context.hospital, one.visit_number, visit, command, _new_event_id())
                if not is_unchanged(visit, changed):
                    visit = changed
                    urgent = urgent or not isinstance(command, Line | CounterPayment)
            assert visit is not None, "commands to an unknown visit raise"
            await _check_patient(context, visit, one.patient, people)
            changes.append(visit is not previous)
        except Problem as problem:
            name_element(problem, one.resource_type)
            if entry is not None:
                problem.members["entry"] = entry
            raise
    assert visit is not None, "no group is empty"
    return _VisitPlan(before, visit, changes, urgent)


def _new_event_id() -> str:
    """Return a new event id; a repeated write asks for the state that the visit already has, so it changes nothing."""
    return f"fhir-{secrets.token_hex(8)}"


def _check_if_match(context: RequestContext, write: VisitWrite, visit: Visit | None) -> None:
    """Check the version that the resource had before the first write: versions within a transaction have no ETag."""
    if write.if_match is None or visit is None:
        return
    current = find_in_visit(write.resource_type, context, visit, write.resource_id(visit))
    if current is None or not matches_etag(write.if_match, current):
        text = Text(zh="资源已被更改，请重新读取后再提交。", en="The resource has changed; read it again.")
        raise PreconditionFailed(text)


async def _check_patient(
    context: RequestContext, visit: Visit, patient: PatientReference, people: dict[IdentityDocument, str | None]
) -> None:
    """Raise OtherPatient unless a resource names the patient of its visit, or nobody."""
    patient.check_patient_of(context, visit)
    documents = patient.others if patient.document is None else (patient.document, *patient.others)
    for document in documents:
        if document not in people:
            people[document] = await find_person_id(context.city, document)
        is_unknown_other = people[document] is None and document in patient.others
        if people[document] != visit.person and not is_unknown_other:
            raise wrong_patient()


async def _advance(context: RequestContext, plan: _VisitPlan) -> None:
    """Do the steps of a stored visit that are due now."""
    visit = plan.after
    due = visit.due_ms is not None and visit.due_ms <= to_ms(context.city.now())
    if visit is not plan.before and (plan.urgent or due):
        await advance.enqueue(context.city.jobs, visit.id)


def existing_visit(visit: Visit | None) -> Visit:
    """Return the visit. Raises UnknownVisit if there is none."""
    if visit is None:
        raise UnknownVisit(
            Text(
                zh="未找到该就诊，请先登记就诊。按id引用时填Encounter的id，不是就诊号；按就诊号引用请用引用的identifier。",
                en="No such visit exists; create its Encounter first. A reference has the id of the Encounter, not "
                "the visit number; to name the visit by number, use the identifier of the reference.",
            )
        )
    return visit


def visit_id_of(visit: Visit) -> str:
    """Return the id of the visit, which its Encounter, Account and Invoice share."""
    return visit.id
