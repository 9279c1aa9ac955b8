"""Reconcile a hospital's day; two persons accept and approve the repairs of its differences, a saga applies them."""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta

from msgspec.structs import replace

from backend.city.audit_log import Act, with_act
from backend.city.person import Person, document_of
from backend.city.service import City
from backend.city.typed_text import compact
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.jobs.saga import Saga
from backend.jobs.tasks import TaskReference
from backend.paylater.ports import Bank, BankEntry
from backend.paylater.repairs import next_approved, repair_step, schedule_repairs, with_known_resolutions, with_result
from backend.paylater.statement import compare_transfers, missing_at_bank, query_bank
from backend.paylater.transfers import billable_of
from backend.problems import FieldError, InvalidRequest, NotFound, Problem
from backend.rulebook.language.temporal import midnight
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.comparison import (
    bank_differences,
    compare_with_hospital,
    other_patients,
    totals_of,
)
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import FiledVisit, read_file, write_file
from backend.services.medical_credit.model.insurance_comparison import compare_with_insurance
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation, reconciliation_id
from backend.services.medical_credit.model.visit import Line, Visit, visit_id
from backend.services.medical_credit.ports import Insurance, SettlementRecord
from backend.services.medical_credit.saga import visit_saga
from backend.store import Order
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import create_or_update

MAX_DIFFERENCES = 2_000


async def reconcile(city: City, hospital: Hospital, day: date, file: str, act: Act | None = None) -> Reconciliation:
    """Compare a hospital's file of a day with our visits, the insurance and the bank, and store the differences.

    `act` is that of the officer. The same file produces the same result. With another file, the resolutions of
    the remaining differences are kept. Raises InvalidFile, or UpstreamTimeout if insurance or bank do not answer.
    """
    filed = await asyncio.to_thread(read_file, file)
    theirs, zone = await _with_systems(city, hospital, filed), city.rulebook.time_zone
    begins, ends = _bounds(city, day)
    ours = await _visits(city, hospital, Order("settled_ms", at_least=to_ms(begins), below=to_ms(ends)))
    insured = await city.port(Insurance).settlements(hospital.id, hospital.institution_code(), day)
    ids = {visit_id(hospital.id, number) for number in theirs} | {one.visit for one in insured}
    known = {visit.id: visit for visit in ours} | await _known(city, hospital, ids)
    differences = list(compare_with_hospital(hospital.id, day, ours, theirs, known, zone))
    differences.extend(other_patients(await _of_other_patients(city, hospital, theirs, known)))
    adjacent = await _adjacent_settlements(city, hospital, day, ours, insured)
    differences.extend(compare_with_insurance(ours, insured, adjacent, known, hospital.settles))
    banked, at_bank = await _bank_differences(city, hospital, day, ours)
    differences.extend(at_bank)
    totals, visits = totals_of(ours, banked)
    now = city.now()
    new = Reconciliation(
        id=reconciliation_id(hospital.id, day),
        hospital=hospital.id,
        day=day.isoformat(),
        created_at=now,
        created_ms=to_ms(now),
        file_digest=hashlib.sha256(file.encode()).hexdigest(),
        totals=totals,
        visits=visits,
        differences=tuple(differences[:MAX_DIFFERENCES]),
        omitted=max(0, len(differences) - MAX_DIFFERENCES),
    )
    if act is not None:
        new = with_act(new, act)
    return await create_or_update(city.store, new, lambda known: with_known_resolutions(new, known))


async def _with_systems(city: City, hospital: Hospital, theirs: dict[str, FiledVisit]) -> dict[str, FiledVisit]:
    """Return the visits of a hospital's file by their numbers in our records.

    A file may leave out the identifier system of a visit, if no other visit of the hospital has the same number.
    """
    known = await _known(city, hospital, {visit_id(hospital.id, number) for number in theirs})
    found: dict[str, FiledVisit] = {}
    for number, filed in theirs.items():
        name = number
        if visit_id(hospital.id, number) not in known:
            same = {"hospital": hospital.id, "plain_number": number}
            others = (await city.store.find(Visit, same, limit=2)).documents
            name = others[0].number if len(others) == 1 and others[0].number not in theirs else number
        found[name] = filed
    return found


async def our_records(city: City, hospital: Hospital, day: date) -> str:
    """Return our records of a hospital's day in the format of its file."""
    begins, ends = _bounds(city, day)
    settled = await _visits(city, hospital, Order("settled_ms", at_least=to_ms(begins), below=to_ms(ends)))
    return write_file(settled, city.rulebook.time_zone)


async def find_reconciliation(city: City, hospital: str, day: date) -> Reconciliation:
    """Return the reconciliation of a hospital's day. Raises NotFound."""
    return _reconciled(await city.store.get(Reconciliation, reconciliation_id(hospital, day)))


async def find_hospital(city: City, code: str) -> Hospital:
    """Return the hospital with this code. Raises NotFound."""
    found = await city.store.get(Hospital, code)
    if found is None:
        raise NotFound(zh="没有找到该医院，请核对医院代码。", en=f"There is no hospital with code {code}.")
    return found


async def update_reconciliation(
    city: City, hospital: str, day: date, change: Callable[[Reconciliation, datetime], Reconciliation]
) -> Reconciliation:
    """Change the reconciliation of a hospital's day. Raises NotFound, and what `change` raises."""
    return _reconciled(await repair_saga.update(city, reconciliation_id(hospital, day), change))


def _reconciled(found: Reconciliation | None) -> Reconciliation:
    if found is None:
        raise NotFound(zh="该日尚未对账，请先提交医院对账文件。", en="This day has not been reconciled yet.")
    return found


def _bounds(city: City, day: date) -> tuple[datetime, datetime]:
    """Return when a day of the city's time begins and ends. Raises InvalidRequest in the first and last year."""
    if day.year in (MINYEAR, MAXYEAR):  # the adjacent days are no dates
        error = FieldError("day", "This day cannot be reconciled.", "该日期不能对账。")
        raise InvalidRequest(zh="日期超出范围，请核对。", en="The day is out of range; check it.", errors=(error,))
    zone = city.rulebook.time_zone
    return midnight(day, zone), midnight(day + timedelta(days=1), zone)


async def _visits(city: City, hospital: Hospital, order: Order) -> list[Visit]:
    return [visit async for visit in find_all(city.store, Visit, {"hospital": hospital.id}, order)]


async def _known(city: City, hospital: Hospital, ids: Collection[str]) -> dict[str, Visit]:
    found = await city.store.get_many(Visit, sorted(ids))
    return {key: visit for key, visit in found.items() if visit.hospital == hospital.id}


async def _of_other_patients(
    city: City, hospital: Hospital, theirs: Mapping[str, FiledVisit], known: Mapping[str, Visit]
) -> list[Visit]:
    """Return our visits to which the hospital's file gives another patient than ours."""
    named = [
        (visit, filed.patients)
        for number, filed in sorted(theirs.items())
        if filed.patients and (visit := known.get(visit_id(hospital.id, number))) is not None
    ]
    people = await city.store.get_many(Person, sorted({visit.person for visit, _ in named}))
    return [visit for visit, numbers in named if not _is_patient(city, people.get(visit.person), numbers)]


def _is_patient(city: City, person: Person | None, numbers: Collection[str]) -> bool:
    """Return whether all numbers of identity documents are this person's; an unreadable one is nobody's."""
    if person is None:
        return False
    number = document_of(city.encryption, person).number
    return all(compact(one).upper() == number for one in numbers)


async def _adjacent_settlements(
    city: City, hospital: Hospital, day: date, ours: Sequence[Visit], insured: Sequence[SettlementRecord]
) -> dict[str, SettlementRecord]:
    """Return the insurance's settlements of the day before and after, if it does not have all of ours on the day.

    One that was made close to midnight may have another day there.
    """
    listed = {one.settlement_id for one in insured}
    settled = [visit.settlement.split.settlement_id for visit in ours if visit.settlement is not None]
    if all(not one or one in listed for one in settled):
        return {}
    days = [day - timedelta(days=1), day + timedelta(days=1)]
    code, port = hospital.institution_code(), city.port(Insurance)
    found = [one for other in days for one in await port.settlements(hospital.id, code, other)]
    return {one.settlement_id: one for one in found}


async def _bank_differences(
    city: City, hospital: Hospital, day: date, ours: Sequence[Visit]
) -> tuple[list[BankEntry], list[Difference]]:
    """Return the bank's entries of a hospital's visits on a day, and how they differ from our records."""
    begins, ends = _bounds(city, day)
    answered = await _visits(city, hospital, Order("bank_answered_ms", at_least=to_ms(begins)))
    statement = await city.port(Bank).statement(day)
    booked = {one.id: one for one in (*ours, *answered)}
    booked |= await _known(city, hospital, {billable_of(entry.id) for entry in statement} - booked.keys())
    banked = [entry for entry in statement if billable_of(entry.id) in booked]
    found = list(compare_transfers(booked.values(), banked, city.rulebook.time_zone))
    if any(True for _ in missing_at_bank(booked.values(), banked, begins, ends)):
        adjacent = [await city.port(Bank).statement(day + timedelta(days=days)) for days in (-1, 1)]
        found.extend(missing_at_bank(booked.values(), [*banked, *adjacent[0], *adjacent[1]], begins, ends))
    return banked, list(bank_differences(found, booked))


# ── repairs ──


async def _apply_next(city: City, day: Reconciliation, _now: datetime) -> Reconciliation:
    """Apply the first approved repair, and record whether it worked."""
    key = next_approved(day)
    one = next(one for one in day.differences if one.id == key)
    hospital = await city.store.get(Hospital, day.hospital)
    assert hospital is not None, "hospitals are disabled, never deleted"
    message, worked = await _repair(city, hospital, date.fromisoformat(day.day), one)
    await visit_saga.task.enqueue(city.jobs, one.visit)
    return with_result(day, one.id, message, worked=worked)


async def _repair(city: City, hospital: Hospital, day: date, one: Difference) -> tuple[str, bool]:
    """Repair a difference. Returns a message and whether it worked. Raises UpstreamTimeout."""
    try:
        if one.repair in ("add_charge", "add_credit", "credit_line", "adjust_line"):
            await handle_command(city, hospital, one.number, await _line(city, one), f"repair/{one.id}")
        elif one.repair == "cancel_at_insurance":
            await _cancel_at_insurance(city, hospital, day, one)
        elif one.repair == "settle_again":
            await _settle_again(city, hospital, day, one)
        else:
            outcome = await query_bank(city, visit_saga, one.subject)
            return ("the bank has completed it", True) if outcome is None else (f"the bank answers {outcome}", False)
    except (Problem, UpstreamRejected) as error:
        return str(error), False
    return "done", True


async def _line(city: City, one: Difference) -> Line:
    """Return the line that the hospital would have sent; its id makes it apply only once."""
    theirs, key, at = one.line, f"R{one.id}", city.now()
    if theirs is not None and theirs.day is not None and one.repair in ("add_charge", "add_credit"):
        at = midnight(theirs.day, city.rulebook.time_zone)
    if one.repair == "adjust_line":
        difference_fen = (one.theirs_fen or 0) - (one.ours_fen or 0)
        return Line(key, "adjustment", "", "对账调整", difference_fen, at, one.subject)
    if one.repair == "credit_line":
        visit = await city.store.get(Visit, one.visit)
        assert visit is not None, "visits are not deleted"
        return visit.line(key) or Line(key, "credit", "", "对账退费", -visit.net_fen(one.subject), at, one.subject)
    assert theirs is not None, "a difference with this repair has the hospital's line"
    if theirs.record == "charge":
        return Line(theirs.id, "charge", theirs.code or "-", "对账补记", theirs.amount_fen, at)
    amount_fen = -abs(theirs.amount_fen) if theirs.record == "credit" else theirs.amount_fen
    return Line(theirs.id, theirs.record, "", "对账补记", amount_fen, at, theirs.of)


async def _cancel_at_insurance(city: City, hospital: Hospital, day: date, one: Difference) -> None:
    """Cancel a settlement of a day. Raises UpstreamRejected if the insurance does not have it."""
    records = await city.port(Insurance).settlements(hospital.id, hospital.institution_code(), day)
    found = next((record for record in records if record.settlement_id == one.subject), None)
    visit = await city.store.get(Visit, one.visit)
    ours = visit.settlement.split.insured if visit is not None and visit.settlement is not None else None
    insured = found.insured if found is not None else ours
    await city.port(Insurance).cancel(one.subject, f"repair/{one.id}", insured)


async def _settle_again(city: City, hospital: Hospital, day: date, one: Difference) -> None:
    """Cancel a settlement that differs at the insurance, and let the visit be settled again."""
    with suppress(UpstreamRejected):  # the insurance may not have it at all
        await _cancel_at_insurance(city, hospital, day, one)

    def without_settlement(visit: Visit, now: datetime) -> Visit:
        if visit.settlement is None or visit.settlement.split.settlement_id != one.subject:
            return visit
        return replace(visit, settlement=None, settled_ms=None, due_ms=to_ms(now))

    await visit_saga.update(city, one.visit, without_settlement)


repair_saga = Saga(
    kind=Reconciliation,
    next_step=repair_step,
    schedule=schedule_repairs,
    terms=lambda _city, _now: None,
    steps={"repair": _apply_next},
    task=TaskReference("medical_credit.apply_repairs"),
    unavailable=(UpstreamTimeout,),
)
"""Applies the approved repairs of a reconciled day, one after the other."""
