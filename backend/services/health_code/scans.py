"""Scans at gates: each code is recorded once at a venue, with one write.

The visit is unique by venue and code, by its id, and by venue and scan id, by an index: a scan that is sent again gets
its first answer, and a scan id is used for one code only.
"""

import hashlib
from datetime import datetime

from msgspec import Struct

from backend.city.service import City
from backend.codes.signed_code import GenuineCode
from backend.i18n import Text
from backend.services.health_code.code import HealthCodeClaims
from backend.services.health_code.model import HealthRecord, ScanIdReused, VenueVisit
from backend.services.health_code.rule_modules import COLOUR
from backend.store import Duplicate, StoreNotWritable
from backend.store.time import to_ms


class Scan(Struct, frozen=True):
    """A genuine code that the account `gate` scanned at a venue, at an instant."""

    venue: str
    scan_id: str
    code: GenuineCode[HealthCodeClaims]
    gate: str
    at: datetime


async def record_scan(city: City, scan: Scan) -> VenueVisit | None:
    """Return the visit that a code allows at a venue, recorded now if the code is valid: see whose `scan_id` it has.

    None means that there is none: the code was not valid, or the person's record has been erased. Raises ScanIdReused
    if the scan id was used for another code.
    """
    key = visit_id(scan)
    record = await _find_record(city, scan.code) if scan.code.outcome == "valid" else None
    if record is None:
        return await city.store.get(VenueVisit, key)
    colour = city.rulebook.evaluate(COLOUR, record.facts, scan.at).result
    visit = VenueVisit(
        id=key,
        venue=scan.venue,
        scan_id=scan.scan_id,
        person=record.id,
        at_ms=to_ms(scan.at),
        outcome="valid" if colour == scan.code.claims.colour else "superseded",
        colour=colour,
        gate=scan.gate,
    )
    try:
        return await city.store.insert(visit)
    except (Duplicate, StoreNotWritable) as error:
        earlier = await city.store.get(VenueVisit, key)
        if earlier is not None:
            return earlier
        if isinstance(error, StoreNotWritable):
            raise
        raise _scan_id_reused() from None


async def _find_record(city: City, code: GenuineCode[HealthCodeClaims]) -> HealthRecord | None:
    for code_id in code.code_ids(city.keys):
        page = await city.store.find(HealthRecord, {"code_id": code_id}, limit=1)
        if page.documents:
            return page.documents[0]
    return None


def visit_id(scan: Scan) -> str:
    """Return the id of the one visit that a code allows at a venue."""
    claims = scan.code.claims
    parts = scan.venue, claims.sub, claims.jti, str(claims.issued_at)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _scan_id_reused() -> ScanIdReused:
    return ScanIdReused(
        Text(
            zh="该扫码编号已用于另一个码，请重新扫码。",
            en="This scan id was used for another code; scan again with a new id.",
        )
    )
