"""What partners do with a talent code: see the entitlement that is theirs to honour, and count its use."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from backend.code import CodeClaims, Reading
from backend.identity import CitizenRequest, partner
from backend.service import City
from backend.services.talent_code.code import read_talent_code
from backend.services.talent_code.facts import Partner
from backend.services.talent_code.model.benefit import Judgement, title_of
from backend.services.talent_code.model.problems import (
    CodeNotHonoured,
    NotOffered,
    PlaceNotYours,
    QuotaUsedUp,
    RedemptionChanged,
)
from backend.services.talent_code.model.redeeming import (
    Usage,
    Use,
    left_of,
    partner_kind,
    services_for,
    usage_id,
    used,
)
from backend.services.talent_code.model.talent import Talent, benefit_facts, year_ends
from backend.services.talent_code.people import terms_of, zone_of
from backend.store import Conflict, Duplicate
from backend.text import Text

TRIES_AT_MOST = 50

Payload = Annotated[str, Meta(min_length=1, max_length=2_000)]
Place = Annotated[str, Meta(min_length=1, max_length=64)]


class TalentScan(Struct, forbid_unknown_fields=True):
    """A talent code that was scanned at one of the caller's places, such as `park-xixi`."""

    payload: Payload
    place: Place


class Redemption(Struct, forbid_unknown_fields=True):
    """That the holder of a code uses a benefit. `redemption_id` is the partner's; sent again, it counts once."""

    payload: Payload
    place: Place
    benefit: Annotated[str, Meta(min_length=1, max_length=100)]
    redemption_id: Annotated[str, Meta(min_length=8, max_length=64)]


class Entitlement(Struct, frozen=True):
    """What the holder of a code has here: a `figure` of a `unit`, and how often it is `left` to use this year.

    `left` is None where it may be used as often as wanted.
    """

    benefit: str
    title: Text
    figure: int
    unit: Literal["level", "months", "percent"]
    because: Text
    left: int | None


class TalentVerification(Struct, frozen=True):
    """What a scan found; nothing else of the holder is told, not even their class.

    `no_class` says that the code is the city's, and its holder has no class any more.
    """

    outcome: Literal["valid", "expired", "forged", "no_class"]
    message: Text
    entitlements: list[Entitlement] = []


_MESSAGES: dict[str, Text] = {
    "valid": Text(zh="人才码有效。", en="VALID."),
    "expired": Text(zh="此码已过期。请对方刷新后重新出示。", en="EXPIRED. Ask for a fresh code."),
    "forged": Text(
        zh="伪造的码。此码不是本市签发的人才码。", en="FORGED. The city did not issue this as a talent code."
    ),
    "no_class": Text(zh="持码人目前不享受人才服务。", en="NO CLASS. The holder has no talent class now."),
}


@post("/v1/talent-verifications", guards=[partner], status_code=200, problems=(PlaceNotYours,))
async def verify_talent_code(
    data: JSONBody[TalentScan], request: CitizenRequest, city: NamedDependency[City]
) -> TalentVerification:
    """Check a talent code, and see what its holder has at this kind of partner, and nothing else."""
    kind = _kind(request, data.place)
    read = await _read(city, data.payload)
    if not isinstance(read, _Shown):
        return TalentVerification(read, _MESSAGES[read])
    return TalentVerification("valid", _MESSAGES["valid"], await entitlements_of(city, read.talent, read.now, kind))


async def entitlements_of(city: City, talent: Talent, now: datetime, kind: Partner | None = None) -> list[Entitlement]:
    """Give the services that a person has now: all, or those that a kind of partner honours."""
    judged = services_for(city.rulebook, benefit_facts(talent, {}, now), now, kind)
    ids = [usage_id(talent.id, one.benefit, city.today().year) for one in judged]
    usages = await city.store.get_many(Usage, ids)
    return [_entitlement(city, one, usages.get(key)) for one, key in zip(judged, ids, strict=True)]


@post(
    "/v1/talent-redemptions",
    guards=[partner],
    status_code=200,
    problems=(PlaceNotYours, CodeNotHonoured, NotOffered, QuotaUsedUp, RedemptionChanged),
)
async def redeem_benefit(
    data: JSONBody[Redemption], request: CitizenRequest, city: NamedDependency[City]
) -> Entitlement:
    """Count one use of a benefit by the holder of a code; gives what is left of it.

    The same redemption id counts once, and so does a code that is shown: the holder refreshes it for the next use.
    """
    kind = _kind(request, data.place)
    read = await _read(city, data.payload)
    if not isinstance(read, _Shown):
        raise CodeNotHonoured(_MESSAGES[read], outcome=read)
    found = services_for(city.rulebook, benefit_facts(read.talent, {}, read.now), read.now, kind)
    judged = next((one for one in found if one.benefit == data.benefit), None)
    if judged is None:
        raise NotOffered(Text(zh="持码人在此不享受该项服务。", en="The holder does not have this here."))
    use = Use(data.redemption_id, data.place, read.now, f"{read.claims.jti}.{read.claims.iat}")
    year = read.claims.issued_at.astimezone(zone_of(city)).year  # and not that of now: sent again, it is the same
    forgotten_at = year_ends(year, zone_of(city)) + timedelta(days=terms_of(city, read.now)("usage_days"))
    begun = Usage(id=usage_id(read.talent.id, judged.benefit, year), expires_ms=int(forgotten_at.timestamp() * 1_000))
    return _entitlement(city, judged, await _count(city, begun, judged, use))


class _Shown(Struct, frozen=True):
    """A code that counts, and its holder, who has a class."""

    claims: CodeClaims
    talent: Talent
    now: datetime


def _kind(request: CitizenRequest, place: str) -> Partner:
    """Give the kind of partner that a place of the caller is. Raises PlaceNotYours."""
    kind = partner_kind(place)
    if place not in request.user.venues or kind is None:
        raise PlaceNotYours(Text(zh="您不负责该服务点。", en="You do not work at this place."))
    return kind


async def _read(city: City, payload: str) -> "_Shown | Literal['expired', 'forged', 'no_class']":
    now = city.now()
    reading = read_talent_code(payload, city.keys.jwks(), now, city.settings.clock_skew_seconds)
    if not isinstance(reading, Reading) or reading.outcome != "valid":
        return reading.outcome if reading.outcome != "valid" else "forged"
    found = await city.store.find(Talent, {"code_id": reading.claims.sub}, limit=1)
    if not found.documents or found.documents[0].grant(now) is None:
        return "no_class"
    return _Shown(reading.claims, found.documents[0], now)


def _entitlement(city: City, judged: Judgement, usage: Usage | None) -> Entitlement:
    assert judged.terms.unit is not None, "a service has a unit"
    return Entitlement(
        benefit=judged.benefit,
        title=title_of(city.rulebook, judged.benefit),
        figure=judged.verdict.result,
        unit=judged.terms.unit,
        because=judged.verdict.because,
        left=left_of(usage, judged.terms.quota),
    )


async def _count(city: City, begun: Usage, judged: Judgement, use: Use) -> Usage:
    """Count a use. Raises what `used` raises, or Conflict if others kept using it at the same time."""
    for _ in range(TRIES_AT_MOST):
        usage = await city.store.get(Usage, begun.id)
        before = usage or begun
        changed = used(before, use, judged.terms.quota)
        if changed is before:
            return before
        try:
            return await (city.store.insert(changed) if usage is None else city.store.replace(changed))
        except (Conflict, Duplicate):
            await asyncio.sleep(0.001)
    raise Conflict(Usage.collection, begun.id, 0)
