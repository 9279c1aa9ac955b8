"""What partners do with a talent code: see the entitlement that is theirs to honour, and count its use."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct
from msgspec.structs import astuple

from backend.city.service import City
from backend.codes.signed_code import CodeClaims, GenuineCode
from backend.i18n import Text
from backend.security.identity import CitizenRequest, role_guard
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

MAX_ATTEMPTS = 50

partner = role_guard("partner")

Payload = Annotated[str, Meta(min_length=1, max_length=2_000)]
Place = Annotated[str, Meta(min_length=1, max_length=64)]
Outcome = Literal["valid", "expired", "forged", "no_class"]


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
    left: int | None


class OwnEntitlement(Entitlement, frozen=True):
    """What the holder themselves is shown: also why they have it, which may name their class."""

    because: Text


class TalentVerification(Struct, frozen=True):
    """What a scan found; nothing else of the holder is told, not even their class.

    `no_class` says that the code is the city's, and its holder has no class any more.
    """

    outcome: Outcome
    message: Text
    entitlements: list[Entitlement] = []


_MESSAGES: dict[Outcome, Text] = {
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
    kind, now = _kind(request, data.place), city.now()
    outcome, shown = await _read(city, data.payload, now)
    given = await _services(city, shown.talent, now, kind) if shown is not None and outcome == "valid" else []
    return TalentVerification(outcome, _MESSAGES[outcome], [_entitlement(city, one, usage) for one, usage in given])


async def entitlements_of(city: City, talent: Talent, now: datetime) -> list[OwnEntitlement]:
    """Give the services that a person has now, as they are shown to that person."""
    return [
        OwnEntitlement(*astuple(_entitlement(city, one, usage)), because=one.verdict.because)
        for one, usage in await _services(city, talent, now)
    ]


async def _services(
    city: City, talent: Talent, now: datetime, kind: Partner | None = None
) -> list[tuple[Judgement, Usage | None]]:
    """Give the services that a person has now, all or those that a kind of partner honours, and this year's use."""
    judged = services_for(city.rulebook, benefit_facts(talent, {}, now), now, kind)
    ids = [usage_id(talent.id, one.benefit, city.today().year) for one in judged]
    usages = await city.store.get_many(Usage, ids)
    return [(one, usages.get(key)) for one, key in zip(judged, ids, strict=True)]


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
    What was counted may be sent again though the code has expired since: it is answered as it was.
    """
    kind, now = _kind(request, data.place), city.now()
    outcome, shown = await _read(city, data.payload, now)
    if shown is None:
        raise CodeNotHonoured(_MESSAGES[outcome], outcome=outcome)
    use = Use(data.redemption_id, data.place, now, f"{shown.claims.jti}.{shown.claims.iat}")
    begun = _begun(city, shown, data.benefit, now)
    usage = await city.store.get(Usage, begun.id)
    first = usage.counted(use) if usage is not None else None
    if outcome != "valid" and first is None:
        raise CodeNotHonoured(_MESSAGES[outcome], outcome=outcome)
    at = now if first is None else first.at
    found = services_for(city.rulebook, benefit_facts(shown.talent, {}, at), at, kind)
    judged = next((one for one in found if one.benefit == data.benefit), None)
    if judged is None:
        raise NotOffered(Text(zh="持码人在此不享受该项服务。", en="The holder does not have this here."))
    return _entitlement(city, judged, await _count(city, begun, judged, use))


class _Shown(Struct, frozen=True):
    """What a code of the city's claims, and whose it is."""

    claims: CodeClaims
    talent: Talent


def _begun(city: City, shown: _Shown, benefit: str, now: datetime) -> Usage:
    """Give what counts uses in the year of a code, and not in that of now: sent again, it is the same."""
    year = shown.claims.issued_at.astimezone(zone_of(city)).year
    forgotten_at = year_ends(year, zone_of(city)) + timedelta(days=terms_of(city, now)("usage_days"))
    return Usage(id=usage_id(shown.talent.id, benefit, year), expires_ms=int(forgotten_at.timestamp() * 1_000))


def _kind(request: CitizenRequest, place: str) -> Partner:
    """Give the kind of partner that a place of the caller is. Raises PlaceNotYours."""
    kind = partner_kind(place)
    if place not in request.user.venues or kind is None:
        raise PlaceNotYours(Text(zh="您不负责该服务点。", en="You do not work at this place."))
    return kind


async def _read(city: City, payload: str, now: datetime) -> tuple[Outcome, _Shown | None]:
    """Read a code, and find its holder unless it is forged, or nobody's any more."""
    reading = read_talent_code(payload, city.keys.jwks(), now, city.settings.clock_skew_seconds)
    if not isinstance(reading, GenuineCode):
        return "forged", None
    holders = (await city.store.find(Talent, {"code_id": reading.claims.sub}, limit=1)).documents
    outcome: Outcome = reading.outcome
    if outcome == "valid" and not any(talent.grant(now) for talent in holders):
        outcome = "no_class"
    return outcome, _Shown(reading.claims, holders[0]) if holders else None


def _entitlement(city: City, judged: Judgement, usage: Usage | None) -> Entitlement:
    assert judged.terms.unit is not None, "a service has a unit"
    return Entitlement(
        benefit=judged.benefit,
        title=title_of(city.rulebook, judged.benefit),
        figure=judged.verdict.result,
        unit=judged.terms.unit,
        left=left_of(usage, judged.terms.quota),
    )


async def _count(city: City, begun: Usage, judged: Judgement, use: Use) -> Usage:
    """Count a use. Raises what `used` raises, or Conflict if others kept using it at the same time."""
    for _ in range(MAX_ATTEMPTS):
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
