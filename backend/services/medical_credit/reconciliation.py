"""Reconcile a hospital's day; two persons accept and approve the repairs of its differences, a saga applies them."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from backend.city.audit_log import Act, with_act
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.jobs.saga import Saga
from backend.jobs.tasks import TaskReference
from backend.paylater.ports import Bank
from backend.paylater.repairs import next_approved, repair_step, schedule_repairs, with_known_resolutions, with_result
from backend.paylater.statement import missing_at_bank, query_bank
from backend.paylater.transfers import billable_of
from backend.problems import NotFound, Problem
from backend.rulebook.language.temporal import midnight
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.comparison import bank_differences, compare, totals_of
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import read_file, write_file
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation, reconciliation_id
from backend.services.medical_credit.model.visit import Line, Visit, visit_id
from backend.services.medical_credit.ports import Insurance
from backend.services.medical_credit.saga import visit_saga
from backend.store import Order
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import create_or_update

MAX_DIFFERENCES = 2_000


async def reconcile(city: City, hospital: Hospital, day: date, file: str, act: Act | None = None) -> Reconciliation:
    """Compare a hospital's file of a day with our visits, the insurance and the bank, and store the differences.

    `act` is that of whoever asks for it. The same file produces the same result. With another file, the resolutions of
    the remaining differences are kept. Raises InvalidFile, or UpstreamTimeout if insurance or bank do not answer.
    """
    theirs = read_file(file)
    begins, ends = _bounds(city, day)
    ours = await _visits(city, hospital, Order("settled_ms", at_least=to_ms(begins), below=to_ms(ends)))
    answered = await _visits(city, hospital, Order("bank_answered_ms", at_least=to_ms(begins)))
    insured = await city.port(Insurance).settlements(hospital.id, day)
    statement = await city.port(Bank).statement(day)
    ids = {visit_id(hospital.id, number) for number in theirs} | {one.visit for one in insured}
    ids |= {billable_of(entry.id) for entry in statement}
    found = await city.store.get_many(Visit, sorted(ids))
    known = {key: visit for key, visit in found.items() if visit.hospital == hospital.id}
    banked = [entry for entry in statement if billable_of(entry.id) in known]
    differences = compare(hospital.id, ours, theirs, insured, banked, known)
    booked = {one.id: one for one in (*ours, *answered)}
    differences.extend(bank_differences(missing_at_bank(booked.values(), banked, begins, ends), booked))
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


async def our_records(city: City, hospital: Hospital, day: date) -> str:
    """Return our records of a hospital's day in the format of its file."""
    begins, ends = _bounds(city, day)
    return write_file(await _visits(city, hospital, Order("settled_ms", at_least=to_ms(begins), below=to_ms(ends))))


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
    zone = city.rulebook.time_zone
    return midnight(day, zone), midnight(day + timedelta(days=1), zone)


async def _visits(city: City, hospital: Hospital, order: Order) -> list[Visit]:
    return [visit async for visit in find_all(city.store, Visit, {"hospital": hospital.id}, order)]


# ── repairs ──


async def _apply_next(city: City, day: Reconciliation, _now: datetime) -> Reconciliation:
    """Apply the first approved repair, and record whether it worked."""
    key = next_approved(day)
    one = next(one for one in day.differences if one.id == key)
    hospital = await city.store.get(Hospital, day.hospital)
    assert hospital is not None, "hospitals are disabled, never deleted"
    message, worked = await _repair(city, hospital, one)
    await visit_saga.task.enqueue(city.jobs, one.visit)
    return with_result(day, one.id, message, worked=worked)


async def _repair(city: City, hospital: Hospital, one: Difference) -> tuple[str, bool]:
    """Repair a difference. Returns a message and whether it worked. Raises UpstreamTimeout."""
    try:
        if one.repair in ("add_charge", "add_credit", "credit_line", "adjust_line"):
            await handle_command(city, hospital, one.number, await _line(city, one), f"repair/{one.id}")
        elif one.repair == "cancel_at_insurance":
            await city.port(Insurance).cancel(one.subject, f"repair/{one.id}")
        elif one.repair == "settle_again":
            await _settle_again(city, one)
        else:
            outcome = await query_bank(city, visit_saga, one.subject)
            return ("the bank has completed it", True) if outcome is None else (f"the bank answers {outcome}", False)
    except (Problem, UpstreamRejected) as error:
        return str(error), False
    return "done", True


async def _line(city: City, one: Difference) -> Line:
    """Return the line that the hospital would have sent; its id makes it apply only once."""
    theirs, key, at = one.line, f"R{one.id}", city.now()
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


async def _settle_again(city: City, one: Difference) -> None:
    """Cancel a settlement that differs at the insurance, and let the visit be settled again."""
    with suppress(UpstreamRejected):  # the insurance may not have it at all
        await city.port(Insurance).cancel(one.subject, f"repair/{one.id}")

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
