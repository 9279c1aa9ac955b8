"""Apply the approved repairs of a reconciliation, each once."""

from contextlib import suppress
from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.jobs.saga import Saga
from backend.jobs.tasks import TaskReference
from backend.paylater.repairs import next_approved, repair_step, schedule_repairs, with_result
from backend.paylater.statement import query_bank
from backend.problems import Problem
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation
from backend.services.medical_credit.model.visit import Line, Visit
from backend.services.medical_credit.ports import Insurance
from backend.services.medical_credit.saga import visit_saga
from backend.store.time import to_ms


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
