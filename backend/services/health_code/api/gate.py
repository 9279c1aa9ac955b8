"""For gate staff: scan a code and see the result at a glance."""

import hashlib
from datetime import datetime
from typing import cast

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec.structs import replace

from backend.city.service import City
from backend.codes.signed_code import GenuineCode
from backend.i18n import Text
from backend.security.identity import AccessClaims, Caller, role_guard
from backend.services.health_code.api.schemas import ScanOutcome, ScanRequest, Verification
from backend.services.health_code.code import STYLES, Colour, HealthCodeClaims, read_code
from backend.services.health_code.model import (
    COLOUR,
    HealthRecord,
    ScanIdReused,
    ScanReservation,
    VenueNotAssigned,
    VenueVisit,
)
from backend.store import Duplicate, StoreUnavailable
from backend.store.time import to_ms

gate = role_guard("gate")

_EXPIRED = Text(zh="此码已过期。请对方刷新后重新出示。", en="EXPIRED. Ask the person to refresh and show again.")
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
    "/v1/verifications", guards=[gate], status_code=200, priority="essential", problems=(VenueNotAssigned, ScanIdReused)
)
async def verify_code(
    data: JSONBody[ScanRequest], request: Request[Caller, AccessClaims, State], city: NamedDependency[City]
) -> Verification:
    """Verify a code scanned at one of the caller's venues, and record the visit.

    The outcome is `valid`, `expired`, `forged` (not a health code of this city), `replayed` (used at this venue before,
    by another scan) or `superseded` (the colour has changed since the code was issued).
    """
    if data.venue not in request.user.venues:
        raise _venue_not_assigned()
    now = city.now()
    scanned = read_code(data.payload, city.keys.jwks(), now, city.settings.clock_skew_seconds)
    if scanned.outcome == "forged":
        return _verification("forged", None)
    try:
        return await _verify(data, scanned, request.user.account_id, city, now)
    except StoreUnavailable:
        request.app.state.load_shedder.note_store_unavailable()
        return _offline_result(scanned)


async def _verify(
    data: ScanRequest, scanned: GenuineCode[HealthCodeClaims], gate_account: str, city: City, now: datetime
) -> Verification:
    visit_id = _visit_id(data.venue, scanned)
    earlier = await city.store.get(VenueVisit, visit_id)
    if earlier is not None:
        return _repeated(earlier, data, scanned)
    if scanned.outcome == "expired":
        return _verification("expired", None)
    return await _admit(data, scanned, visit_id, gate_account, city, now)


async def _admit(
    data: ScanRequest,
    scanned: GenuineCode[HealthCodeClaims],
    visit_id: str,
    gate_account: str,
    city: City,
    now: datetime,
) -> Verification:
    page = await city.store.find(HealthRecord, {"code_id": scanned.claims.sub}, limit=1)
    if not page.documents:
        return _verification("superseded", None)  # the person's record has been erased
    record = page.documents[0]
    colour = city.rulebook.evaluate(COLOUR, record.facts, now).result
    visit = VenueVisit(
        id=visit_id,
        venue=data.venue,
        scan_id=data.scan_id,
        person=record.id,
        at_ms=to_ms(now),
        outcome="valid" if colour == scanned.claims.colour else "superseded",
        colour=colour,
        gate=gate_account,
    )
    await _reserve(data, visit_id, city)
    try:
        await city.store.insert(visit)
    except Duplicate:
        earlier = await city.store.get(VenueVisit, visit_id)
        assert earlier is not None, "visits are not deleted while their codes are valid"
        return _repeated(earlier, data, scanned)
    return _verification(visit.outcome, colour)


async def _reserve(data: ScanRequest, visit_id: str, city: City) -> None:
    """Reserve a scan id for one visit. Raises ScanIdReused if it was used for another."""
    reservation = ScanReservation(id=_digest(data.venue, data.scan_id), visit=visit_id)
    try:
        await city.store.insert(reservation)
    except Duplicate:
        existing = await city.store.get(ScanReservation, reservation.id)
        if existing is None or existing.visit != visit_id:
            raise _scan_id_reused() from None


def _offline_result(scanned: GenuineCode[HealthCodeClaims]) -> Verification:
    """Return the result of the code alone, without the city's records."""
    colour = scanned.claims.colour if scanned.outcome == "valid" else None
    return replace(_verification(scanned.outcome, colour), recorded=False)


def _repeated(earlier: VenueVisit, data: ScanRequest, scanned: GenuineCode[HealthCodeClaims]) -> Verification:
    """Return the result for a code that was scanned at this venue before."""
    if earlier.scan_id == data.scan_id:
        return _verification(earlier.outcome, earlier.colour)
    return _verification("expired" if scanned.outcome == "expired" else "replayed", None)


def _verification(outcome: ScanOutcome, colour: str | None) -> Verification:
    style = STYLES[colour] if colour else None
    return Verification(
        outcome=outcome,
        admit=outcome == "valid" and colour == "green",
        message=_message(outcome, colour),
        colour=cast("Colour | None", colour),
        label=style and style.label,
        shape=style and style.shape,
    )


def _message(outcome: ScanOutcome, colour: str | None) -> Text:
    match outcome:
        case "valid":
            assert colour is not None, "a valid code has a colour"
            return _VALID[colour]
        case "superseded":
            return _CHANGED[colour] if colour else _SUPERSEDED
        case "expired":
            return _EXPIRED
        case "forged":
            return _FORGED
        case "replayed":
            return _REPLAYED


def _visit_id(venue: str, scanned: GenuineCode[HealthCodeClaims]) -> str:
    """Return the id of the one visit that a code allows at a venue."""
    return _digest(venue, scanned.claims.sub, scanned.claims.jti, str(scanned.claims.issued_at))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _venue_not_assigned() -> VenueNotAssigned:
    return VenueNotAssigned(
        Text(
            zh="您的账号未绑定该场所，请联系管理员。",
            en="Your account is not assigned to this venue; please contact the administrator.",
        )
    )


def _scan_id_reused() -> ScanIdReused:
    return ScanIdReused(
        Text(
            zh="该扫码编号已用于另一个码，请重新扫码。",
            en="This scan id was used for another code; scan again with a new id.",
        )
    )
