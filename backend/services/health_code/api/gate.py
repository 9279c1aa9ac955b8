"""For gate staff: scan a code and see the result at a glance."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec.structs import replace

from backend.city.person import Person, masked_name
from backend.city.service import City
from backend.codes.signed_code import GenuineCode, RejectedCode
from backend.i18n import Text
from backend.security.identity import AccessClaims, Caller, role_guard
from backend.services.health_code.api.schemas import (
    OfflineScan,
    OfflineScanResult,
    OfflineScanResults,
    OfflineScans,
    ScanOutcome,
    ScanRequest,
    Verification,
)
from backend.services.health_code.code import STYLES, HealthCodeClaims, read_code
from backend.services.health_code.model import ScanIdReused, VenueNotAssigned, VenueVisit
from backend.services.health_code.rule_modules import Colour
from backend.services.health_code.scans import Scan, record_scan
from backend.store import StoreUnavailable
from backend.web.fast_paths import city_of
from backend.web.uncached import NO_STORE, Uncached

gate = role_guard("gate", recent=True, by_venue=True)

MAX_OFFLINE = timedelta(days=7)
"""[A] How long a gate may be without network: contacts are traced by visits that are 14 days old or less."""

_EXPIRED = Text(zh="此码已过期。请对方刷新后重新出示。", en="EXPIRED. Ask the person to refresh and show again.")
_UNREADABLE = Text(
    zh="无法读取：扫到的不是健康码，或没有扫完整。请重新扫描对方的健康码。",
    en="CANNOT BE READ: this is not a health code, or it was not scanned completely. Scan the health code again.",
)
_UNKNOWN_KEY = Text(
    zh="密钥未知，无法核验。请对方刷新后重新出示。",
    en="UNKNOWN KEY: the city does not use the key of this code. Ask the person to refresh and show again.",
)
_FORGED = Text(
    zh="无效码：不是本市签发的健康码，请勿放行。请对方打开健康码重新出示。",
    en="NOT VALID: not a health code of this city. Do not let in. Ask the person to open and show their health code.",
)
_REPLAYED = Text(
    zh="此码已在本场所使用过，可能是截图或转发。请对方刷新后重新出示。",
    en="USED BEFORE at this venue; it may be a screenshot or forwarded. Ask the person to refresh and show again.",
)
_SUPERSEDED = Text(
    zh="此码已失效，请对方刷新后重新出示。", en="NO LONGER VALID. Ask the person to refresh and show again."
)
_CHANGED = {
    colour: Text(
        zh=f"健康码颜色已变为{chinese}，请对方刷新后重新出示。",
        en=f"CHANGED: the code is now {colour.upper()}. Ask the person to refresh and show again.",
    )
    for colour, chinese in (("green", "绿色"), ("yellow", "黄色"), ("red", "红色"))
}
_VALID = {
    "green": Text(zh="绿码，可以放行。", en="GREEN. Let in."),
    "yellow": Text(
        zh="黄码，请勿放行。请对方按本人健康码上的提示办理。",
        en="YELLOW. Do not let in. Ask the person to follow the instructions on their own code.",
    ),
    "red": Text(zh="红码，请勿放行，并立即按规定报告。", en="RED. Do not let in, and report it at once as required."),
}


@post(
    "/v1/verifications",
    guards=[gate],
    status_code=200,
    response_headers=NO_STORE,
    priority="essential",
    problems=(VenueNotAssigned, ScanIdReused),
)
async def verify_code(
    data: JSONBody[ScanRequest], request: Request[Caller, AccessClaims, State]
) -> Uncached[Verification]:
    """Verify a code scanned at one of the caller's venues, and record the visit.

    The outcome is `valid`, `expired`, `unreadable` (not a code at all, or not scanned completely), `unknown_key` (the
    city does not have the key that it names), `clock_differs` (it was issued after now), `forged` (not a health code of
    this city), `replayed` (used at this venue before, by another scan) or `superseded` (the colour has changed since
    the code was issued). Control characters, white space and symbology identifiers that scanners add are ignored.
    """
    if data.venue not in request.user.venues:
        raise _venue_not_assigned()
    city = city_of(request)
    now = city.now()
    scanned = read_code(data.payload, city.keys.jwks(), now, city.settings.clock_skew_seconds)
    if isinstance(scanned, RejectedCode):
        return Uncached(_verification(scanned.outcome, None))
    scan = Scan(data.venue, data.scan_id, scanned, request.user.account_id, now)
    try:
        visit = await record_scan(city, scan)
        return Uncached(await _recorded(visit, scan, city, with_name=data.with_name))
    except StoreUnavailable:
        request.app.state.load_shedder.note_store_unavailable()
        return Uncached(_offline_result(scanned, now))


@post("/v1/offline-scans", guards=[gate], status_code=200, problems=(VenueNotAssigned,))
async def upload_offline_scans(
    data: JSONBody[OfflineScans], request: Request[Caller, AccessClaims, State], city: NamedDependency[City]
) -> OfflineScanResults:
    """Record up to 200 codes that were scanned at one of the caller's venues while it had no network.

    Each is verified as of its `scanned_at`, and has a result of its own. A scan is identified by its venue and scan id:
    sent again it gets the same result, so a request without an answer may be sent again unchanged. Of several scans of
    one code, the earliest is recorded and the others are `replayed`; of several codes with one scan id, the earliest
    has it and the others are `scan_id_reused`.
    """
    if data.venue not in request.user.venues:
        raise _venue_not_assigned()
    gate_account, now = request.user.account_id, city.now()
    has_own_ids = len({one.scan_id for one in data.scans}) == len(data.scans)  # else the earliest has the id
    in_order: defaultdict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(data.scans)), key=lambda index: data.scans[index].scanned_at):
        in_order[data.scans[index].payload if has_own_ids else ""].append(index)
    results: dict[int, OfflineScanResult] = {}

    async def record(indexes: Sequence[int]) -> None:
        for index in indexes:
            results[index] = await _record_offline(data.scans[index], data.venue, gate_account, city, now)

    await asyncio.gather(*map(record, in_order.values()))
    return OfflineScanResults([results[index] for index in range(len(data.scans))])


async def _record_offline(
    one: OfflineScan, venue: str, gate_account: str, city: City, now: datetime
) -> OfflineScanResult:
    skew_seconds = city.settings.clock_skew_seconds
    if not now - MAX_OFFLINE <= one.scanned_at <= now + timedelta(seconds=skew_seconds):
        return OfflineScanResult(one.scan_id, "out_of_period", recorded=False)
    scanned = read_code(one.payload, city.keys.jwks(), one.scanned_at, skew_seconds)
    if isinstance(scanned, RejectedCode):
        return OfflineScanResult(one.scan_id, scanned.outcome, recorded=False)
    scan = Scan(venue, one.scan_id, scanned, gate_account, one.scanned_at)
    try:
        visit = await record_scan(city, scan)
    except ScanIdReused:
        return OfflineScanResult(one.scan_id, "scan_id_reused", recorded=False)
    result = await _recorded(visit, scan, city, with_name=False)
    is_recorded = visit is not None and visit.scan_id == one.scan_id
    return OfflineScanResult(one.scan_id, result.outcome, is_recorded, result.colour)


def _offline_result(scanned: GenuineCode[HealthCodeClaims], now: datetime) -> Verification:
    """Return the result of the code alone, without the city's records."""
    if scanned.outcome == "valid":
        return replace(_verification("valid", scanned.claims.colour), recorded=False)
    return replace(_not_valid_now(scanned, now), recorded=False)


def _not_valid_now(scanned: GenuineCode[HealthCodeClaims], now: datetime) -> Verification:
    """Return the result for a code whose time is over, or has not come."""
    if scanned.outcome == "expired":
        return _verification("expired", None)
    seconds = round((scanned.claims.issued_at - now).total_seconds())
    return replace(_verification("clock_differs", None, seconds), clock_difference_seconds=seconds)


async def _recorded(visit: VenueVisit | None, scan: Scan, city: City, *, with_name: bool) -> Verification:
    """Return the result of a scan, with the masked name of the holder of a valid code if it is requested."""
    if visit is None and scan.code.outcome == "valid":
        return _verification("superseded", None)  # the person's record has been erased
    if visit is None:
        return _not_valid_now(scan.code, scan.at)
    if visit.scan_id != scan.scan_id:
        return _verification("expired" if scan.code.outcome == "expired" else "replayed", None)
    verification = _verification(visit.outcome, visit.colour)
    person = await city.store.get(Person, visit.person) if with_name and visit.outcome == "valid" else None
    if person is None or person.name is None:
        return verification
    return replace(verification, name=masked_name(city.encryption.read(person, "name")))


def _verification(outcome: ScanOutcome, colour: str | None, clock_difference_seconds: int = 0) -> Verification:
    style = STYLES[colour] if colour else None
    return Verification(
        outcome=outcome,
        admit=outcome == "valid" and colour == "green",
        message=_message(outcome, colour, clock_difference_seconds),
        colour=cast("Colour | None", colour),
        label=style and style.label,
        shape=style and style.shape,
    )


def _message(outcome: ScanOutcome, colour: str | None, clock_difference_seconds: int = 0) -> Text:
    match outcome:
        case "valid":
            assert colour is not None, "a valid code has a colour"
            return _VALID[colour]
        case "superseded":
            return _CHANGED[colour] if colour else _SUPERSEDED
        case "expired":
            return _EXPIRED
        case "clock_differs":
            return Text(
                zh=f"时钟相差{clock_difference_seconds}秒，无法核验。请校准时钟后重新扫码。",
                en=f"CLOCK DIFFERS by {clock_difference_seconds} s. Correct the clock, and scan again.",
            )
        case "unreadable":
            return _UNREADABLE
        case "unknown_key":
            return _UNKNOWN_KEY
        case "forged":
            return _FORGED
        case "replayed":
            return _REPLAYED


def _venue_not_assigned() -> VenueNotAssigned:
    return VenueNotAssigned(
        Text(
            zh="您的账号未绑定该场所，请联系管理员。",
            en="Your account is not assigned to this venue; please contact the administrator.",
        )
    )
