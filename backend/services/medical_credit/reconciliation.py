"""Reconcile a hospital's day, and let two persons accept and approve the repairs of its differences."""

import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.rulebook.language.temporal import midnight
from backend.services.medical_credit.model.comparison import compare, missing_at_bank, totals_of
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import read_file, write_file
from backend.services.medical_credit.model.problems import NotAccepted, SamePerson
from backend.services.medical_credit.model.reconciliation import (
    MAX_DIFFERENCES,
    Difference,
    Reconciliation,
    Resolution,
    reconciliation_id,
)
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import Bank, Insurance
from backend.services.medical_credit.repairs import repair_approved
from backend.store import Conflict, Duplicate, Order
from backend.store.time import to_ms

PAGE = 200
MAX_ATTEMPTS = 20
RETRY_DELAY = timedelta(minutes=1)
"""When a sweep resumes approved repairs that were interrupted."""


async def reconcile(city: City, hospital: Hospital, day: date, file: str) -> Reconciliation:
    """Compare a hospital's file of a day with our visits, the insurance and the bank, and store the differences.

    The same file produces the same result. With another file, the resolutions of the remaining differences are kept.
    Raises InvalidFile, or UpstreamTimeout if insurance or bank do not answer.
    """
    theirs = read_file(file)
    begins, ends = _bounds(city, day)
    ours = await _visits(city, hospital, Order("settled_ms", at_least=to_ms(begins), below=to_ms(ends)))
    answered = await _visits(city, hospital, Order("bank_answered_ms", at_least=to_ms(begins)))
    insured = await city.port(Insurance).settlements(hospital.id, day)
    statement = await city.port(Bank).statement(day)
    ids = {visit_id(hospital.id, number) for number in theirs} | {one.visit for one in insured}
    ids |= {entry.id.partition("/")[0] for entry in statement}
    known = await _known_visits(city, hospital, sorted(ids))
    banked = [entry for entry in statement if entry.id.partition("/")[0] in known]
    differences = compare(hospital.id, ours, theirs, insured, banked, known)
    differences += missing_at_bank({one.id: one for one in (*ours, *answered)}.values(), banked, begins, ends)
    totals, visits = totals_of(ours, banked)
    return await _save(
        city,
        Reconciliation(
            id=reconciliation_id(hospital.id, day),
            hospital=hospital.id,
            day=day.isoformat(),
            created_at=city.now(),
            file_digest=hashlib.sha256(file.encode()).hexdigest(),
            totals=totals,
            visits=visits,
            differences=tuple(differences[:MAX_DIFFERENCES]),
            omitted=max(0, len(differences) - MAX_DIFFERENCES),
        ),
    )


async def our_records(city: City, hospital: Hospital, day: date) -> str:
    """Return our records of a hospital's day in the format of its file."""
    begins, ends = _bounds(city, day)
    return write_file(await _visits(city, hospital, Order("settled_ms", at_least=to_ms(begins), below=to_ms(ends))))


async def find_reconciliation(city: City, hospital: str, day: date) -> Reconciliation:
    """Return the reconciliation of a hospital's day. Raises NotFound."""
    found = await city.store.get(Reconciliation, reconciliation_id(hospital, day))
    if found is None:
        raise NotFound(Text(zh="该日尚未对账，请先提交医院对账文件。", en="This day has not been reconciled yet."))
    return found


async def find_hospital(city: City, code: str) -> Hospital:
    """Return the hospital with this code. Raises NotFound."""
    found = await city.store.get(Hospital, code)
    if found is None:
        raise NotFound(Text(zh="没有找到该医院，请核对医院代码。", en=f"There is no hospital with code {code}."))
    return found


async def accept(city: City, hospital: str, day: date, differences: list[str], person: str) -> Reconciliation:
    """Accept the proposed repairs of differences. Raises NotFound or NotAccepted."""
    now = city.now()

    def accepted(one: Difference, resolution: Resolution) -> Resolution:
        if one.repair == "contact_hospital" or resolution.state not in ("open", "failed"):
            raise NotAccepted(
                Text(
                    zh="该差异目前没有可受理的修复，请与医院核实。",
                    en="This difference has no repair that can be accepted now; contact the hospital.",
                ),
                id=one.id,
            )
        return Resolution("accepted", person, now)

    return await _resolve(city, hospital, day, differences, accepted)


async def approve(city: City, hospital: str, day: date, differences: list[str], person: str) -> Reconciliation:
    """Approve repairs that another person accepted, and apply them. Raises NotFound, NotAccepted or SamePerson."""
    now = city.now()

    def approved(one: Difference, resolution: Resolution) -> Resolution:
        if resolution.state != "accepted":
            raise NotAccepted(
                Text(zh="该修复尚未被受理，不能审批。", en="This repair must be accepted before it is approved."),
                id=one.id,
            )
        if resolution.accepted_by == person:
            raise SamePerson(
                Text(zh="受理人与审批人不能为同一人。", en="Another person must approve what you accepted."), id=one.id
            )
        return replace(resolution, state="approved", approved_by=person, approved_at=now)

    resolved = await _resolve(city, hospital, day, differences, approved, due_ms=to_ms(now + RETRY_DELAY))
    await repair_approved(city, resolved.id)
    return await find_reconciliation(city, hospital, day)


async def _resolve(
    city: City,
    hospital: str,
    day: date,
    differences: list[str],
    change: Callable[[Difference, Resolution], Resolution],
    due_ms: int | None = None,
) -> Reconciliation:
    for _ in range(MAX_ATTEMPTS):
        found = await find_reconciliation(city, hospital, day)
        by_id = {one.id: one for one in found.differences}
        resolutions = dict(found.resolutions)
        for key in differences:
            if key not in by_id:
                raise NotFound(Text(zh="没有找到该差异。", en=f"This day has no difference {key}."))
            resolutions[key] = change(by_id[key], found.resolution(key))
        try:
            return await city.store.replace(replace(found, resolutions=resolutions, due_ms=due_ms or found.due_ms))
        except Conflict:
            continue
    raise Conflict(Reconciliation.collection, hospital, 0)


async def _save(city: City, reconciliation: Reconciliation) -> Reconciliation:
    """Store a reconciliation with the resolutions that an earlier one has of the same differences."""
    for _ in range(MAX_ATTEMPTS):
        known = await city.store.get(Reconciliation, reconciliation.id)
        try:
            if known is None:
                return await city.store.insert(reconciliation)
            ids = {one.id for one in reconciliation.differences}
            resolutions = {key: resolution for key, resolution in known.resolutions.items() if key in ids}
            return await city.store.replace(
                replace(reconciliation, revision=known.revision, resolutions=resolutions, due_ms=known.due_ms)
            )
        except (Conflict, Duplicate):
            continue
    raise Conflict(Reconciliation.collection, reconciliation.id, 0)


def _bounds(city: City, day: date) -> tuple[datetime, datetime]:
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


async def _known_visits(city: City, hospital: Hospital, ids: list[str]) -> dict[str, Visit]:
    found: dict[str, Visit] = {}
    for begin in range(0, len(ids), PAGE):
        found |= await city.store.get_many(Visit, ids[begin : begin + PAGE])
    return {key: visit for key, visit in found.items() if visit.hospital == hospital.id}
