"""Reconcile a hospital's day, and let two persons accept and approve the repairs of its differences."""

import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta

from backend.city.service import City
from backend.paylater.ports import Bank
from backend.paylater.repairs import with_known_resolutions
from backend.paylater.statement import missing_at_bank
from backend.paylater.transfers import billable_of
from backend.problems import NotFound
from backend.rulebook.language.temporal import midnight
from backend.services.medical_credit.model.comparison import bank_differences, compare, totals_of
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.hospital_file import read_file, write_file
from backend.services.medical_credit.model.reconciliation import MAX_DIFFERENCES, Reconciliation, reconciliation_id
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import Insurance
from backend.services.medical_credit.repairs import repair_saga
from backend.store import Order
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import create_or_update

PAGE = 200

RepairDecision = Callable[[Reconciliation, list[str], str, datetime], Reconciliation]
"""`paylater.repairs.accept_repairs` or `approve_repairs`, for a reconciliation."""


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
    ids |= {billable_of(entry.id) for entry in statement}
    known = await _known_visits(city, hospital, sorted(ids))
    banked = [entry for entry in statement if billable_of(entry.id) in known]
    differences = compare(hospital.id, ours, theirs, insured, banked, known)
    booked = {one.id: one for one in (*ours, *answered)}
    differences.extend(bank_differences(missing_at_bank(booked.values(), banked, begins, ends), booked))
    totals, visits = totals_of(ours, banked)
    new = Reconciliation(
        id=reconciliation_id(hospital.id, day),
        hospital=hospital.id,
        day=day.isoformat(),
        created_at=city.now(),
        file_digest=hashlib.sha256(file.encode()).hexdigest(),
        totals=totals,
        visits=visits,
        differences=tuple(differences[:MAX_DIFFERENCES]),
        omitted=max(0, len(differences) - MAX_DIFFERENCES),
    )
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


async def resolve(
    city: City, hospital: str, day: date, step: RepairDecision, differences: list[str], person: str
) -> Reconciliation:
    """Accept or approve the repairs of differences. Raises NotFound and the Problems of `step`."""
    key = reconciliation_id(hospital, day)
    return _reconciled(await repair_saga.update(city, key, lambda found, now: step(found, differences, person, now)))


def _reconciled(found: Reconciliation | None) -> Reconciliation:
    if found is None:
        raise NotFound(zh="该日尚未对账，请先提交医院对账文件。", en="This day has not been reconciled yet.")
    return found


def _bounds(city: City, day: date) -> tuple[datetime, datetime]:
    zone = city.rulebook.time_zone
    return midnight(day, zone), midnight(day + timedelta(days=1), zone)


async def _visits(city: City, hospital: Hospital, order: Order) -> list[Visit]:
    return [visit async for visit in find_all(city.store, Visit, {"hospital": hospital.id}, order)]


async def _known_visits(city: City, hospital: Hospital, ids: list[str]) -> dict[str, Visit]:
    found: dict[str, Visit] = {}
    for begin in range(0, len(ids), PAGE):
        found |= await city.store.get_many(Visit, ids[begin : begin + PAGE])
    return {key: visit for key, visit in found.items() if visit.hospital == hospital.id}
