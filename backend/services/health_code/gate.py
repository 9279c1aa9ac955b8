"""What gate staff do: scan a code and know in one look."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal, cast

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.codes.signed_code import Reading
from backend.i18n import Text
from backend.security.identity import AccessClaims, Caller, role_guard
from backend.services.health_code.code import SIGNS, Claims, Colour, Shape, read_code
from backend.services.health_code.model import COLOUR, HealthRecord, ScanChanged, ScanClaim, VenueNotYours, Visit
from backend.store import Duplicate, StoreUnavailable

gate = role_guard("gate")

Outcome = Literal["valid", "expired", "forged", "replayed", "superseded"]


class Scan(Struct, forbid_unknown_fields=True):
    """A code that was scanned at a venue. `scan_id` is made by the scanner; sent again, it gets the first answer."""

    payload: Annotated[str, Meta(min_length=1, max_length=2_000)]
    venue: Annotated[str, Meta(min_length=1, max_length=64)]
    scan_id: Annotated[str, Meta(min_length=8, max_length=64)]


class Verification(Struct, frozen=True):
    """What a scan found. `colour` is the person's colour now, and only there if the code tells whose it is.

    Let in on `valid` and green alone; `message` says what else to do. Where the city's records could not be reached the
    code alone was verified, as a scanner without a network would: the colour is the one it was issued with, whether it
    was used before is not known, and the visit is not `recorded`.
    """

    outcome: Outcome
    admit: bool
    message: Text
    colour: Colour | None = None
    word: Text | None = None
    shape: Shape | None = None
    recorded: bool = True


_MESSAGES: dict[Outcome, Text] = {
    "expired": Text(zh="此码已过期。请对方刷新后重新出示。", en="EXPIRED. Ask for a fresh code."),
    "forged": Text(
        zh="伪造的码。此码不是本市签发的健康码。", en="FORGED. The city did not issue this as a health code."
    ),
    "replayed": Text(
        zh="此码已在本场所使用过，可能是截图或转发。请对方刷新后重新出示。",
        en="USED BEFORE at this venue; it may be a screenshot or forwarded. Ask for a fresh code.",
    ),
    "superseded": Text(
        zh="颜色已经改变，当前颜色如下。请对方刷新后重新出示。",
        en="CHANGED. The colour is now the one shown here. Ask for a fresh code.",
    ),
}
_VALID: dict[str, Text] = {
    "green": Text(zh="绿码有效，请通行。", en="VALID, GREEN. Let in."),
    "yellow": Text(zh="黄码有效，请勿放行，提示对方居家观察。", en="VALID, YELLOW. Do not let in."),
    "red": Text(zh="红码有效，请勿放行，立即按规定报告。", en="VALID, RED. Do not let in; report as ordered."),
}


@post("/v1/verifications", guards=[gate], status_code=200, priority="essential", problems=(VenueNotYours, ScanChanged))
async def verify_code(
    data: JSONBody[Scan], request: Request[Caller, AccessClaims, State], city: NamedDependency[City]
) -> Verification:
    """Check a code that was scanned at one of the caller's venues, and record the visit.

    The outcome is `valid`, `expired`, `forged`, `replayed` (used at this venue before, by another scan) or `superseded`
    (the colour has changed since the code was made).
    """
    if data.venue not in request.user.venues:
        raise VenueNotYours(Text(zh="您不负责该场所。", en="You do not work at this venue's gate."))
    now = city.now()
    reading = read_code(data.payload, city.keys.jwks(), now, city.settings.clock_skew_seconds)
    if reading.outcome == "forged":
        return _verification("forged", None)
    try:
        return await _checked(data, reading, request.user.account_id, city, now)
    except StoreUnavailable:
        request.app.state.load_shedder.note_store_unavailable()
        return _unrecorded(reading)


async def _checked(data: Scan, reading: Reading[Claims], gate_account: str, city: City, now: datetime) -> Verification:
    visit_id = _visit_id(data.venue, reading)
    earlier = await city.store.get(Visit, visit_id)
    if earlier is not None:
        return _again(earlier, data, reading)
    if reading.outcome == "expired":
        return _verification("expired", None)
    return await _admit(data, reading, visit_id, gate_account, city, now)


async def _admit(
    data: Scan, reading: Reading[Claims], visit_id: str, gate_account: str, city: City, now: datetime
) -> Verification:
    found = await city.store.find(HealthRecord, {"code_id": reading.claims.sub}, limit=1)
    if not found.documents:
        return _verification("superseded", None)  # the person's record was erased since
    record = found.documents[0]
    colour = city.rulebook.evaluate(COLOUR, record.facts, now).result
    visit = Visit(
        id=visit_id,
        venue=data.venue,
        scan_id=data.scan_id,
        person=record.id,
        at_ms=int(now.timestamp() * 1000),
        outcome="valid" if colour == reading.claims.colour else "superseded",
        colour=colour,
        gate=gate_account,
    )
    await _claim(data, visit_id, city)
    try:
        await city.store.insert(visit)
    except Duplicate:
        earlier = await city.store.get(Visit, visit_id)
        assert earlier is not None, "visits are not deleted while their codes count"
        return _again(earlier, data, reading)
    return _verification(visit.outcome, colour)


async def _claim(data: Scan, visit_id: str, city: City) -> None:
    """Use a scan id for one visit. Raises ScanChanged if it was used for another."""
    claim = ScanClaim(id=_digest(data.venue, data.scan_id), visit=visit_id)
    try:
        await city.store.insert(claim)
    except Duplicate:
        known = await city.store.get(ScanClaim, claim.id)
        if known is None or known.visit != visit_id:
            raise _scan_changed() from None


def _unrecorded(reading: Reading[Claims]) -> Verification:
    """Answer from the code alone."""
    colour = reading.claims.colour if reading.outcome == "valid" else None
    return replace(_verification(reading.outcome, colour), recorded=False)


def _again(earlier: Visit, data: Scan, reading: Reading[Claims]) -> Verification:
    """Answer for a code that was scanned at this venue before."""
    if earlier.scan_id == data.scan_id:
        return _verification(earlier.outcome, earlier.colour)
    return _verification("expired" if reading.outcome == "expired" else "replayed", None)


def _verification(outcome: Outcome, colour: str | None) -> Verification:
    sign = SIGNS[colour] if colour else None
    return Verification(
        outcome=outcome,
        admit=outcome == "valid" and colour == "green",
        message=_VALID[colour] if outcome == "valid" and colour else _MESSAGES[outcome],
        colour=cast("Colour | None", colour),
        word=sign and sign.word,
        shape=sign and sign.shape,
    )


def _visit_id(venue: str, reading: Reading[Claims]) -> str:
    """Name the one time that a code counts at a venue."""
    return _digest(venue, reading.claims.sub, reading.claims.jti, str(reading.claims.issued_at))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _scan_changed() -> ScanChanged:
    return ScanChanged(
        Text(zh="该扫码编号已用于另一个码。", en="This scan id was used for another code; each scan needs its own.")
    )
