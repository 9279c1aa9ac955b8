"""Routes for partners: verify a talent code, see the services to honour, and record their use."""

from datetime import datetime, timedelta
from typing import get_args

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from backend.city.audit_log import new_act, record_act, with_act
from backend.city.service import City
from backend.codes.signed_code import CodeClaims, GenuineCode
from backend.i18n import Text
from backend.security.identity import CitizenRequest, role_guard
from backend.services.talent_code.api.responses import entitlement, services_with_usage
from backend.services.talent_code.api.schemas import (
    Entitlement,
    RedemptionRequest,
    ScanOutcome,
    TalentScanRequest,
    TalentVerification,
)
from backend.services.talent_code.code import read_talent_code
from backend.services.talent_code.facts import Partner
from backend.services.talent_code.model.benefit import services_for
from backend.services.talent_code.model.evidence import year_end
from backend.services.talent_code.model.problems import (
    BenefitNotOffered,
    CodeNotAccepted,
    PlaceNotAssigned,
    QuotaExhausted,
    RedemptionIdReused,
)
from backend.services.talent_code.model.redemption import Usage, Use, record_use, usage_id
from backend.services.talent_code.model.talent import Talent, TalentTerms
from backend.store.time import to_ms
from backend.store.update import create_or_update

partner = role_guard("partner")

_MESSAGES: dict[ScanOutcome, Text] = {
    "valid": Text(zh="人才码核验通过。", en="VALID."),
    "expired": Text(zh="此码已过期。请对方刷新后重新出示。", en="EXPIRED. Ask the holder to refresh and show again."),
    "unreadable": Text(
        zh="无法读取：扫到的不是人才码，或没有扫完整。请重新扫描对方的人才码。",
        en="CANNOT BE READ: this is not a talent code, or it was not scanned completely. Scan the talent code again.",
    ),
    "unknown_key": Text(
        zh="密钥未知，无法核验。请对方刷新后重新出示。",
        en="UNKNOWN KEY: the city does not use the key of this code. Ask the holder to refresh and show again.",
    ),
    "forged": Text(
        zh="无效码：不是本市签发的人才码。请对方打开人才码重新出示。",
        en="NOT VALID. The city did not issue this talent code. Ask the holder to open their talent code and show it.",
    ),
    "no_class": Text(
        zh="此码有效，但持码人目前没有人才类别，不能享受服务。",
        en="NO CLASS. The code is genuine, but its holder has no talent class now and no services.",
    ),
}


@post("/v1/talent-verifications", guards=[partner], status_code=200, problems=(PlaceNotAssigned,))
async def verify_talent_code(
    data: JSONBody[TalentScanRequest], request: CitizenRequest, city: NamedDependency[City]
) -> TalentVerification:
    """Verify a talent code and show its holder's entitlements at this kind of partner, and nothing else."""
    kind, now = _kind(request, data.place), city.now()
    outcome, message, scanned = await _read(city, data.payload, now)
    if scanned is None or outcome != "valid":
        return TalentVerification(outcome, message)
    person = scanned.talent.id
    await record_act(city, new_act(city, request.user, "partner", "talent_code.verified", data.place, person=person))
    services = await services_with_usage(city, scanned.talent, now, kind)
    return TalentVerification(outcome, message, [entitlement(*one) for one in services])


@post(
    "/v1/talent-redemptions",
    guards=[partner],
    status_code=200,
    problems=(PlaceNotAssigned, CodeNotAccepted, BenefitNotOffered, QuotaExhausted, RedemptionIdReused),
)
async def redeem_benefit(
    data: JSONBody[RedemptionRequest], request: CitizenRequest, city: NamedDependency[City]
) -> Entitlement:
    """Record one use of a benefit by the holder of a code; return the remaining uses.

    A redemption id counts once, and so does a shown code: the holder refreshes it for the next use. A recorded use may
    be sent again after the code has expired; the answer is the same.
    """
    kind, now = _kind(request, data.place), city.now()
    outcome, message, scanned = await _read(city, data.payload, now)
    if scanned is None:
        raise CodeNotAccepted(message, outcome=outcome)
    use = Use(data.redemption_id, data.place, now, f"{scanned.claims.jti}.{scanned.claims.iat}")
    empty = _empty_usage(city, scanned, data.benefit, now)
    first = (await city.store.get(Usage, empty.id) or empty).find_duplicate(use)
    if outcome != "valid" and first is None:
        raise CodeNotAccepted(message, outcome=outcome)
    at = now if first is None else first.at
    found = services_for(city.rulebook, scanned.talent, at, kind)
    judged = next((one for one in found if one.benefit == data.benefit), None)
    if judged is None:
        raise BenefitNotOffered(
            zh="持码人在本服务点不能享受该项服务。", en="The holder is not entitled to this benefit at this place."
        )
    quota = judged.terms.quota
    person = scanned.talent.id
    act = new_act(city, request.user, "partner", "talent_code.redeemed", data.place, data.benefit, person=person)

    def redeem(found: Usage) -> Usage:
        used = record_use(found, use, quota)
        return found if used is found else with_act(used, act)

    return entitlement(judged, await create_or_update(city.store, empty, redeem))


class _Scanned(Struct, frozen=True):
    """The claims of a code of the city, and its holder."""

    claims: CodeClaims
    talent: Talent


def _empty_usage(city: City, scanned: _Scanned, benefit: str, now: datetime) -> Usage:
    """Return an empty usage for the year of the code, not the present one: a repeated request finds the same."""
    zone = city.rulebook.time_zone
    year = scanned.claims.issued_at.astimezone(zone).year
    expires_at = year_end(year, zone) + timedelta(days=TalentTerms(city.rulebook, now)("usage_days"))
    return Usage(id=usage_id(scanned.talent.id, benefit, year), expires_ms=to_ms(expires_at))


def _kind(request: CitizenRequest, place: str) -> Partner:
    """Return the kind of partner of a place of the caller, such as `park-xixi`. Raises PlaceNotAssigned."""
    kind = next((one for one in get_args(Partner) if one == place.partition("-")[0]), None)
    if place not in request.user.venues or kind is None:
        raise PlaceNotAssigned(
            zh="您的账号未绑定该服务点，请联系管理员。",
            en="This place is not assigned to your account; please contact the administrator.",
        )
    return kind


async def _read(city: City, payload: str, now: datetime) -> tuple[ScanOutcome, Text, _Scanned | None]:
    """Read a code and find its holder; None if it is not accepted or its holder no longer exists."""
    reading = read_talent_code(payload, city.keys.jwks(), now, city.settings.clock_skew_seconds)
    if not isinstance(reading, GenuineCode):
        return reading.outcome, _MESSAGES[reading.outcome], None
    talent = await _find_talent(city, reading)
    scanned = None if talent is None else _Scanned(reading.claims, talent)
    if reading.outcome == "clock_differs":
        seconds = round((reading.claims.issued_at - now).total_seconds())
        message = Text(
            zh=f"时钟相差{seconds}秒，无法核验。请校准时钟后重新扫码。",
            en=f"CLOCK DIFFERS by {seconds} s. Correct the clock, and scan again.",
        )
        return reading.outcome, message, scanned
    has_class = talent is not None and talent.grant(now) is not None
    outcome: ScanOutcome = "no_class" if reading.outcome == "valid" and not has_class else reading.outcome
    return outcome, _MESSAGES[outcome], scanned


async def _find_talent(city: City, reading: GenuineCode[CodeClaims]) -> Talent | None:
    for code_id in reading.code_ids(city.keys):
        page = await city.store.find(Talent, {"code_id": code_id}, limit=1)
        if page.documents:
            return page.documents[0]
    return None
