"""Apply the approved repairs of a reconciliation, each once; a sweep resumes repairs that were interrupted."""

from contextlib import suppress
from datetime import datetime

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.problems import Problem
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import Adjustment, Charge, Command, Credit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import FiledLine
from backend.services.medical_credit.model.reconciliation import Difference, Reconciliation
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.ports import Bank, Insurance
from backend.services.medical_credit.transfers import record_payment_outcome, record_refund_outcome
from backend.services.medical_credit.visits import advance_visit, update_visit
from backend.store import Conflict
from backend.store.time import to_ms

MAX_ATTEMPTS = 20


async def repair_approved(city: City, reconciliation: str) -> None:
    """Apply the approved repairs that are not applied yet; the next run resumes an interrupted one."""
    found = await city.store.get(Reconciliation, reconciliation)
    hospital = await city.store.get(Hospital, found.hospital) if found is not None else None
    if found is None or hospital is None:
        return
    for one in found.differences:
        if found.resolution(one.id).state == "approved":
            message, worked = await _repair(city, hospital, one)
            if worked is None:
                return  # the insurance or the bank does not answer; the sweep tries again
            await _record_result(city, reconciliation, one, message, worked=worked)
            await advance_visit.enqueue(city.jobs, one.visit)
    await _clear_due(city, reconciliation)


async def _record_result(city: City, reconciliation: str, one: Difference, message: str, *, worked: bool) -> None:
    for _ in range(MAX_ATTEMPTS):
        found = await city.store.get(Reconciliation, reconciliation)
        assert found is not None, "reconciliations are not deleted"
        resolution = replace(found.resolution(one.id), state="repaired" if worked else "failed", message=message)
        try:
            await city.store.replace(replace(found, resolutions={**found.resolutions, one.id: resolution}))
        except Conflict:
            continue
        return


async def _clear_due(city: City, reconciliation: str) -> None:
    found = await city.store.get(Reconciliation, reconciliation)
    pending = found is not None and any(resolution.state == "approved" for resolution in found.resolutions.values())
    if found is not None and found.due_ms is not None and not pending:
        with suppress(Conflict):  # the sweep checks again
            await city.store.replace(replace(found, due_ms=None))


async def _repair(city: City, hospital: Hospital, one: Difference) -> tuple[str, bool | None]:
    """Repair a difference. Returns a message and whether it worked; None if another system did not answer."""
    try:
        if one.repair in ("add_charge", "add_credit", "credit_line", "adjust_line"):
            await handle_command(city, hospital, one.number, await _command(city, one), f"repair/{one.id}")
        elif one.repair == "cancel_at_insurance":
            await city.port(Insurance).cancel(one.subject, f"repair/{one.id}")
        elif one.repair == "settle_again":
            await _settle_again(city, one)
        else:
            return await _query_bank(city, one)
    except UpstreamTimeout as error:
        return str(error), None
    except (Problem, UpstreamRejected) as error:
        return str(error), False
    return "done", True


async def _command(city: City, one: Difference) -> Command:
    """Return the command that the hospital would have sent; its line id makes it apply only once."""
    at = city.now()
    if one.repair == "add_charge":
        line = _hospital_line(one)
        return Charge(line.id, line.code or "-", "对账补记", line.amount_fen, at)
    if one.repair == "add_credit":
        line = _hospital_line(one)
        if line.record == "credit":
            return Credit(line.id, line.of, abs(line.amount_fen), at, "对账补记")
        return Adjustment(line.id, line.of, line.amount_fen, at, "对账补记")
    name = f"R{one.id}"
    if one.repair == "credit_line":
        visit = await city.store.get(Visit, one.visit)
        assert visit is not None, "visits are not deleted"
        known = visit.line(name)
        return Credit(name, one.subject, -known.amount_fen if known else visit.net_fen(one.subject), at, "对账退费")
    return Adjustment(name, one.subject, (one.theirs_fen or 0) - (one.ours_fen or 0), at, "对账调整")


def _hospital_line(one: Difference) -> FiledLine:
    assert one.line is not None, "a difference with this repair has the hospital's line"
    return one.line


async def _settle_again(city: City, one: Difference) -> None:
    """Cancel a settlement that differs at the insurance, and let the visit be settled again."""
    with suppress(UpstreamRejected):  # the insurance may not have it at all
        await city.port(Insurance).cancel(one.subject, f"repair/{one.id}")

    def without_settlement(visit: Visit, now: datetime) -> Visit:
        if visit.settlement is None or visit.settlement.split.settlement_id != one.subject:
            return visit
        return replace(visit, settlement=None, settled_ms=None, due_ms=to_ms(now))

    await update_visit(city, one.visit, without_settlement)


async def _query_bank(city: City, one: Difference) -> tuple[str, bool]:
    """Query the bank for a transfer, and record it as done if it is, whatever the bank answered before."""
    answer = await city.port(Bank).look_up(one.subject)
    if answer.outcome != "done":
        return f"the bank answers {answer.outcome}", False
    is_refund = one.subject.partition("/")[2].startswith("refund/")

    def requested_again(visit: Visit, _now: datetime) -> Visit:
        payments = tuple(
            replace(payment, state="requested") if payment.id == one.subject and payment.state == "failed" else payment
            for payment in visit.payments
        )
        refunds = tuple(
            replace(refund, state="requested") if refund.id == one.subject and refund.state == "failed" else refund
            for refund in visit.refunds
        )
        if (payments, refunds) == (visit.payments, visit.refunds):
            return visit
        return replace(visit, payments=payments, refunds=refunds)

    await update_visit(city, one.visit, requested_again)
    await (record_refund_outcome if is_refund else record_payment_outcome)(city, one.visit, one.subject, answer)
    return "the bank has completed it", True
