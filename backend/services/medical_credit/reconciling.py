"""Comparing a hospital's day with our visits, the insurance and the bank, and carrying approved repairs out."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.i18n import Text
from backend.problems import NotFound, Problem
from backend.rulebook.language.temporal import midnight
from backend.services.medical_credit import tasks
from backend.services.medical_credit.model.commands import Adjustment, Charge, Command, Credit
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import FiledLine, read_file, write_file
from backend.services.medical_credit.model.reconciliation import (
    MAX_BREAKS,
    Break,
    Handling,
    Reconciliation,
    compare,
    missing_at_bank,
    reconciliation_id,
    totals_of,
)
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import Bank, Insurance
from backend.services.medical_credit.transfers import change_visit, note_payment, note_refund
from backend.services.medical_credit.visits import take
from backend.store import Conflict, Duplicate, Order

PAGE = 200
MAX_ATTEMPTS = 20
RETRIED_AFTER = timedelta(minutes=1)


class SamePerson(Problem):
    """Whoever accepted a repair cannot approve it too."""

    status, title = 409, "Same person"


class NotAccepted(Problem):
    """A break is not in the state that this step needs."""

    status, title = 409, "Not accepted"


async def reconcile(city: City, hospital: Hospital, day: date, file: str) -> Reconciliation:
    """Compare a hospital's file of a day with the other three sides, and keep what differs.

    The same file gives the same; with another, what became of a break stays with the breaks that are still there.
    Raises InvalidFile, or Silent where insurance or bank do not answer.
    """
    theirs = read_file(file)
    begins, ends = _day(city, day)
    ours = await _visits(city, hospital, Order("settled_ms", at_least=_ms(begins), below=_ms(ends)))
    moved = await _visits(city, hospital, Order("moved_ms", at_least=_ms(begins)))
    insured = await city.port(Insurance).settled(hospital.id, day)
    statement = await city.port(Bank).statement(day)
    wanted = {visit_id(hospital.id, number) for number in theirs} | {one.visit for one in insured}
    wanted |= {entry.id.partition("/")[0] for entry in statement}
    known = await _known(city, hospital, sorted(wanted))
    banked = [entry for entry in statement if entry.id.partition("/")[0] in known]
    breaks = compare(hospital.id, ours, theirs, insured, banked, known)
    breaks += missing_at_bank({one.id: one for one in (*ours, *moved)}.values(), banked, begins, ends)
    totals, each = totals_of(ours, banked)
    made = Reconciliation(
        id=reconciliation_id(hospital.id, day),
        hospital=hospital.id,
        day=day.isoformat(),
        made_at=city.now(),
        file_digest=hashlib.sha256(file.encode()).hexdigest(),
        totals=totals,
        visits=each,
        breaks=tuple(breaks[:MAX_BREAKS]),
        left_out=max(0, len(breaks) - MAX_BREAKS),
    )
    return await _keep(city, made)


async def our_side(city: City, hospital: Hospital, day: date) -> str:
    """Give our side of a hospital's day, in the form of its file."""
    begins, ends = _day(city, day)
    return write_file(await _visits(city, hospital, Order("settled_ms", at_least=_ms(begins), below=_ms(ends))))


def _day(city: City, day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(city.settings.time_zone)
    return midnight(day, zone), midnight(day + timedelta(days=1), zone)


async def _visits(city: City, hospital: Hospital, order: Order) -> list[Visit]:
    found: list[Visit] = []
    cursor: str | None = None
    while True:
        page = await city.store.find(Visit, {"hospital": hospital.id}, order=order, cursor=cursor, limit=PAGE)
        found.extend(page.documents)
        cursor = page.cursor
        if cursor is None:
            return found


async def _known(city: City, hospital: Hospital, ids: list[str]) -> dict[str, Visit]:
    found: dict[str, Visit] = {}
    for begin in range(0, len(ids), PAGE):
        found |= await city.store.get_many(Visit, ids[begin : begin + PAGE])
    return {key: visit for key, visit in found.items() if visit.hospital == hospital.id}


async def _keep(city: City, made: Reconciliation) -> Reconciliation:
    for _ in range(MAX_ATTEMPTS):
        known = await city.store.get(Reconciliation, made.id)
        try:
            if known is None:
                return await city.store.insert(made)
            ids = {one.id for one in made.breaks}
            handled = {key: handling for key, handling in known.handled.items() if key in ids}
            return await city.store.replace(
                replace(made, revision=known.revision, handled=handled, due_ms=known.due_ms)
            )
        except (Conflict, Duplicate):
            continue
    raise Conflict(Reconciliation.collection, made.id, 0)


async def find_reconciliation(city: City, hospital: str, day: date) -> Reconciliation:
    """Give a hospital's day. Raises NotFound."""
    found = await city.store.get(Reconciliation, reconciliation_id(hospital, day))
    if found is None:
        raise NotFound(Text(zh="该日尚未对账。", en="This day was not reconciled yet."))
    return found


async def accept(city: City, hospital: str, day: date, breaks: list[str], person: str) -> Reconciliation:
    """Have one person accept the proposed repairs of breaks. Raises NotFound or NotAccepted."""
    now = city.now()

    def accepted(one: Break, handling: Handling) -> Handling:
        if one.repair == "ask_hospital" or handling.state not in ("open", "unfit"):
            raise NotAccepted(
                Text(zh="该差异没有可执行的修复。", en="This break has no repair that can be accepted now."), id=one.id
            )
        return Handling("accepted", person, now)

    return await _handle(city, hospital, day, breaks, accepted)


async def approve(city: City, hospital: str, day: date, breaks: list[str], person: str) -> Reconciliation:
    """Have another person approve what was accepted, and carry it out. Raises NotFound, NotAccepted or SamePerson."""
    now = city.now()

    def approved(one: Break, handling: Handling) -> Handling:
        if handling.state != "accepted":
            raise NotAccepted(Text(zh="该修复尚未被受理。", en="This repair was not accepted by anybody."), id=one.id)
        if handling.accepted_by == person:
            raise SamePerson(Text(zh="受理人与审批人不能为同一人。", en="Another person must approve it."), id=one.id)
        return replace(handling, state="approved", approved_by=person, approved_at=now)

    made = await _handle(city, hospital, day, breaks, approved, due_ms=_ms(now + RETRIED_AFTER))
    await repair_approved(city, made.id)
    return await find_reconciliation(city, hospital, day)


async def _handle(
    city: City,
    hospital: str,
    day: date,
    breaks: list[str],
    change: Callable[[Break, Handling], Handling],
    due_ms: int | None = None,
) -> Reconciliation:
    for _ in range(MAX_ATTEMPTS):
        found = await find_reconciliation(city, hospital, day)
        by_id = {one.id: one for one in found.breaks}
        handled = dict(found.handled)
        for key in breaks:
            if key not in by_id:
                raise NotFound(Text(zh="没有该差异。", en=f"There is no break {key} on this day."))
            handled[key] = change(by_id[key], found.handling(key))
        try:
            return await city.store.replace(replace(found, handled=handled, due_ms=due_ms or found.due_ms))
        except Conflict:
            continue
    raise Conflict(Reconciliation.collection, hospital, 0)


async def repair_approved(city: City, reconciliation: str) -> None:
    """Carry out what is approved and not repaired yet; interrupted, it is gone on with."""
    found = await city.store.get(Reconciliation, reconciliation)
    hospital = await city.store.get(Hospital, found.hospital) if found is not None else None
    if found is None or hospital is None:
        return
    for one in found.breaks:
        if found.handling(one.id).state == "approved":
            said, fits = await _repair(city, hospital, one)
            if fits is None:
                return  # insurance or bank are silent; the sweep comes again
            await _note(city, reconciliation, one, said, fits=fits)
            await tasks.advance.enqueue(city.jobs, one.visit)
    await _rest(city, reconciliation)


async def _note(city: City, reconciliation: str, one: Break, said: str, *, fits: bool) -> None:
    for _ in range(MAX_ATTEMPTS):
        found = await city.store.get(Reconciliation, reconciliation)
        assert found is not None, "reconciliations are kept"
        handling = replace(found.handling(one.id), state="repaired" if fits else "unfit", said=said)
        try:
            await city.store.replace(replace(found, handled={**found.handled, one.id: handling}))
        except Conflict:
            continue
        return


async def _rest(city: City, reconciliation: str) -> None:
    found = await city.store.get(Reconciliation, reconciliation)
    waits = found is not None and any(handling.state == "approved" for handling in found.handled.values())
    if found is not None and found.due_ms is not None and not waits:
        with suppress(Conflict):  # the sweep looks again
            await city.store.replace(replace(found, due_ms=None))


async def _repair(city: City, hospital: Hospital, one: Break) -> tuple[str, bool | None]:
    """Mend a break; gives words, and whether it could be mended: None where somebody does not answer now."""
    try:
        if one.repair in ("take_charge", "take_credit", "credit_line", "adjust_line"):
            await take(city, hospital, one.number, await _command(city, one), f"repair/{one.id}")
        elif one.repair == "cancel_at_insurance":
            await city.port(Insurance).cancel(one.subject, f"repair/{one.id}")
        elif one.repair == "settle_again":
            await _settle_again(city, one)
        else:
            return await _ask_bank(city, one)
    except UpstreamTimeout as error:
        return str(error), None
    except (Problem, UpstreamRejected) as error:
        return str(error), False
    return "done", True


async def _command(city: City, one: Break) -> Command:
    """Give what the hospital would have told; a line of a repair has an id of its own, so that it is taken once."""
    at = city.now()
    if one.repair == "take_charge":
        line = _line(one)
        return Charge(line.id, line.code or "-", "对账补记", line.amount_fen, at)
    if one.repair == "take_credit":
        line = _line(one)
        if line.record == "credit":
            return Credit(line.id, line.of, abs(line.amount_fen), at, "对账补记")
        return Adjustment(line.id, line.of, line.amount_fen, at, "对账补记")
    name = f"R{one.id}"
    if one.repair == "credit_line":
        visit = await city.store.get(Visit, one.visit)
        assert visit is not None, "visits are not deleted"
        known = visit.line(name)
        return Credit(name, one.subject, -known.amount_fen if known else visit.net_fen(one.subject), at, "对账冲销")
    return Adjustment(name, one.subject, (one.theirs_fen or 0) - (one.ours_fen or 0), at, "对账调整")


def _line(one: Break) -> FiledLine:
    assert one.line is not None, "the hospital's line goes with this repair"
    return one.line


async def _settle_again(city: City, one: Break) -> None:
    """Let go of a settlement that the insurance does not hold as we do, and have the visit settled anew."""
    with suppress(UpstreamRejected):  # it has none such: that is the break
        await city.port(Insurance).cancel(one.subject, f"repair/{one.id}")

    def forgotten(visit: Visit, now: datetime) -> Visit:
        if visit.settlement is None or visit.settlement.split.settlement_id != one.subject:
            return visit
        return replace(visit, settlement=None, settled_ms=None, due_ms=_ms(now))

    await change_visit(city, one.visit, forgotten)


async def _ask_bank(city: City, one: Break) -> tuple[str, bool]:
    """Take the bank's word for a transfer that it has done, whatever we were told before."""
    answer = await city.port(Bank).look_up(one.subject)
    if answer.outcome != "done":
        return f"the bank says {answer.outcome}", False
    refunds = one.subject.partition("/")[2].startswith("refund/")

    def asked_again(visit: Visit, _now: datetime) -> Visit:
        payments = tuple(
            replace(payment, state="asked") if payment.id == one.subject and payment.state == "failed" else payment
            for payment in visit.payments
        )
        returned = tuple(
            replace(refund, state="asked") if refund.id == one.subject and refund.state == "failed" else refund
            for refund in visit.refunds
        )
        if (payments, returned) == (visit.payments, visit.refunds):
            return visit
        return replace(visit, payments=payments, refunds=returned)

    await change_visit(city, one.visit, asked_again)
    await (note_refund if refunds else note_payment)(city, one.visit, one.subject, answer)
    return "the bank has done it", True


def _ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1_000)
