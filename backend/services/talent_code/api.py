"""What citizens do as talents: see their class and why, declare evidence, name an account, show their code."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace
from stdnum import luhn  # pyright: ignore[reportMissingTypeStubs]  untyped library
from stdnum.exceptions import ValidationError  # pyright: ignore[reportMissingTypeStubs]  likewise

from backend.city.service import City
from backend.codes.image import draw_png, draw_svg
from backend.codes.image_worker import ImageWorkerBusy, image_worker
from backend.i18n import Text
from backend.problems import FieldError, NotFound
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.talent_code.claiming import pay_to_new_account
from backend.services.talent_code.code import SIGN, make_claims
from backend.services.talent_code.evidence import evidence_id
from backend.services.talent_code.facts import STANDINGS, Standing, TalentClass
from backend.services.talent_code.looking_after import bring_up, learn, look_after
from backend.services.talent_code.model.problems import (
    EvidenceFull,
    EvidenceInFuture,
    EvidenceKnown,
    InvalidBankAccount,
    NoTalentClass,
)
from backend.services.talent_code.model.talent import (
    CLASS,
    MAX_EVIDENCE,
    End,
    Evidence,
    EvidenceState,
    Grant,
    Said,
    Talent,
    happened_at,
    reviews_at,
    talent_facts,
)
from backend.services.talent_code.partners import OwnEntitlement, entitlements_of
from backend.services.talent_code.people import change_talent, open_talent, terms_of, zone_of
from backend.store.time import in_utc
from backend.web.uncached import NO_STORE, UNCACHED_HEADERS, Uncached

T = TypeVar("T")


class EvidenceShown(Struct, frozen=True):
    """Something that the caller declared, and what the registry said of it."""

    id: str
    said: Said
    state: EvidenceState
    declared_at: datetime
    answered_at: datetime | None


class ClassShown(Struct, frozen=True):
    """A class that was granted; `end` says how it ended, if it has."""

    talent_class: TalentClass
    rule: str
    because: Text
    granted_at: datetime
    until: datetime
    ended_at: datetime | None
    end: End | None
    rulebook: str


class Missing(Struct, frozen=True):
    """One of the ways to the next class: any of them suffices."""

    rule: str
    because: Text
    remedy: Text | None


class TalentShown(Struct, frozen=True):
    """The caller as a talent.

    `grant` is the class in force, `reviewed_at` when it is looked at again. `once_confirmed` is the class that follows
    if all that is declared is confirmed; `next_class` the one above the present, with what is `missing` for it.
    """

    talent_class: Standing
    grant: ClassShown | None
    reviewed_at: datetime | None
    evidence: list[EvidenceShown]
    once_confirmed: Standing
    next_class: TalentClass | None
    missing: list[Missing]
    earlier: list[ClassShown]
    account_ending: str | None


class NewEvidence(Struct, forbid_unknown_fields=True):
    """What the caller declares of themselves."""

    said: Said


class NewAccount(Struct, forbid_unknown_fields=True):
    """The bank card to which money shall be paid: 12 to 19 digits, spaces allowed."""

    number: Annotated[str, Meta(min_length=12, max_length=30)]


class AccountEnding(Struct, frozen=True):
    """The end of the number of the account that money is paid to."""

    ending: str


class TalentCode(Struct, frozen=True, gc=False):
    """The caller's code as of now: `payload` is what the QR image holds; it counts until `expires_at`."""

    talent_class: Standing
    because: Text
    until: datetime
    entitlements: list[OwnEntitlement]
    payload: str
    issued_at: datetime
    expires_at: datetime


@get("/v1/me/talent", guards=[citizen], response_headers=NO_STORE)
async def show_talent(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[TalentShown]:
    """Show the caller's class, why they have it and until when, their evidence, and what the next class takes."""
    return Uncached(_shown(city, await learn(city, citizen_id(request))))


@post(
    "/v1/me/talent/evidence",
    guards=[citizen],
    response_headers=NO_STORE,
    problems=(EvidenceKnown, EvidenceFull, EvidenceInFuture),
)
async def declare_evidence(
    data: JSONBody[NewEvidence], request: CitizenRequest, city: NamedDependency[City]
) -> Uncached[TalentShown]:
    """Declare a prize, title, degree, post or year's pay; the registry that knows is asked at once, and again.

    It counts for the class as soon as it is confirmed. No papers are taken.
    """
    person, said = citizen_id(request), in_utc(data.said)

    def declare(talent: Talent, now: datetime) -> Talent:
        return _with_evidence(city, talent, said, now)

    await change_talent(city, person, declare)
    talent = await look_after(city, person)
    assert talent is not None, "whoever declares is noted"
    return Uncached(_shown(city, talent), 201)


def _with_evidence(city: City, talent: Talent, said: Said, now: datetime) -> Talent:
    if happened_at(said, zone_of(city)) > now:
        raise EvidenceInFuture(
            Text(zh="所申报事项尚未发生。", en="What you declare has not happened yet."),
            errors=(FieldError("/said", "lies in the future"),),
        )
    name = evidence_id(talent.id, said)
    known = next((one for one in talent.evidence if one.id == name), None)
    if known is not None and known.state in ("declared", "confirmed"):
        raise EvidenceKnown(Text(zh="该项材料已申报。", en="You have declared this before."), state=known.state)
    left = tuple(one for one in talent.evidence if one is not known)
    if len(left) >= MAX_EVIDENCE:
        raise EvidenceFull(Text(zh="申报材料过多。", en=f"No more than {MAX_EVIDENCE} pieces can be declared."))
    first = known.confirmed_at if known is not None else None
    return replace(talent, evidence=(*left, Evidence(name, said, now, now, confirmed_at=first)))


@delete("/v1/me/talent/evidence/{evidence_id:str}", guards=[citizen], problems=(EvidenceKnown,))
async def take_back_evidence(request: CitizenRequest, city: NamedDependency[City], evidence_id: FromPath[str]) -> None:
    """Take back what was declared; what a registry has once confirmed stays on record."""

    def take_back(talent: Talent, _now: datetime) -> Talent:
        known = next((one for one in talent.evidence if one.id == evidence_id), None)
        if known is None:
            raise NotFound(Text(zh="没有找到该项材料。", en="There is no such evidence."))
        if known.confirmed_at is not None:
            raise EvidenceKnown(
                Text(zh="已核实的材料不能撤回。", en="What was confirmed stays on record."), state=known.state
            )
        return replace(talent, evidence=tuple(one for one in talent.evidence if one is not known))

    await change_talent(city, citizen_id(request), take_back)


@put("/v1/me/talent/account", guards=[citizen], problems=(InvalidBankAccount,))
async def name_account(
    data: JSONBody[NewAccount], request: CitizenRequest, city: NamedDependency[City]
) -> AccountEnding:
    """Say to which bank card money shall be paid; a payout that failed is tried again with it at once."""
    number, person = read_account(data.number), citizen_id(request)
    known, sealed = (await open_talent(city, person)).account, city.encryption.encrypt(number)

    def name(talent: Talent, _now: datetime) -> Talent:
        return replace(talent, account=sealed, account_ending=number[-4:])

    if known is None or city.encryption.decrypt(known) != number:  # the same again would use up its tries for nothing
        await change_talent(city, person, name)
        await pay_to_new_account(city, person)
    return AccountEnding(number[-4:])


def read_account(text: str) -> str:
    """Read the number of a bank card, with its check digit (ISO/IEC 7812). Raises InvalidBankAccount."""
    try:
        number = luhn.validate(text.replace(" ", ""))
    except ValidationError:
        number = ""
    if not 12 <= len(number) <= 19:  # noqa: PLR2004  ISO/IEC 7812
        raise InvalidBankAccount(
            Text(zh="银行卡号校验不通过，请核对。", en="The number of the bank card is wrong; check it."),
            errors=(FieldError("/number", "the length or the check digit is wrong"),),
        )
    return number


@get("/v1/me/talent-code", guards=[citizen], response_headers=NO_STORE, problems=(NoTalentClass,))
async def show_talent_code(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[TalentCode]:
    """Show the caller's talent code: class, what it opens at partners, and a fresh QR payload."""
    talent = await bring_up(city, citizen_id(request))
    now = city.now()
    grant = talent.grant(now)
    payload, issued, expires = _signed(city, talent, now)
    assert grant is not None, "without a class nothing is signed"
    return Uncached(
        TalentCode(
            talent_class=grant.talent_class,
            because=grant.because,
            until=grant.until,
            entitlements=await entitlements_of(city, talent, now),
            payload=payload,
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
        )
    )


@get(
    "/v1/me/talent-code/image.svg",
    guards=[citizen],
    response_headers=NO_STORE,
    media_type="image/svg+xml",
    priority="decoration",
    problems=(ImageWorkerBusy, NoTalentClass),
)
async def show_talent_svg(request: CitizenRequest, city: NamedDependency[City]) -> Response[str]:
    """Draw a fresh talent code as SVG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_svg), media_type="image/svg+xml", headers=UNCACHED_HEADERS)


@get(
    "/v1/me/talent-code/image.png",
    guards=[citizen],
    response_headers=NO_STORE,
    media_type="image/png",
    priority="decoration",
    problems=(ImageWorkerBusy, NoTalentClass),
)
async def show_talent_png(request: CitizenRequest, city: NamedDependency[City]) -> Response[bytes]:
    """Draw a fresh talent code as PNG, for an app that cannot draw QR codes."""
    return Response(await _draw(request, city, draw_png), media_type="image/png", headers=UNCACHED_HEADERS)


async def _draw(request: CitizenRequest, city: City, draw: Callable[..., T]) -> T:
    payload, _, _ = _signed(city, await bring_up(city, citizen_id(request)), city.now())
    return await image_worker.draw(lambda: draw(payload, SIGN))


def _signed(city: City, talent: Talent, now: datetime) -> tuple[str, int, int]:
    """Sign a fresh code; give it with the instants between which it counts. Raises NoTalentClass."""
    if talent.grant(now) is None:
        raise NoTalentClass(
            Text(zh="您目前没有人才类别，请先申报材料。", en="You have no talent class now; declare evidence first.")
        )
    claims, issued, expires = make_claims(talent.code_id, now, city.settings.code_seconds)
    return city.keys.sign_code(claims), issued, expires


def _shown(city: City, talent: Talent) -> TalentShown:
    now, zone = city.now(), zone_of(city)
    grant = talent.grant(now)
    hoped = city.rulebook.evaluate(CLASS, talent_facts(talent, now, zone, ("confirmed", "declared")), now).result
    standing: Standing = grant.talent_class if grant is not None else "none"
    place = STANDINGS.index(standing) + 1
    above = STANDINGS[place] if place < len(STANDINGS) else None
    return TalentShown(
        talent_class=standing,
        grant=_class_shown(grant) if grant is not None else None,
        reviewed_at=reviews_at(grant, terms_of(city, now)("review_days")) if grant is not None else None,
        evidence=[
            EvidenceShown(one.id, one.said, one.state, one.declared_at, one.answered_at) for one in talent.evidence
        ],
        once_confirmed=max(hoped, standing, key=STANDINGS.index),
        next_class=above if above != "none" else None,
        missing=[
            Missing(rule.id, rule.because, rule.remedy)
            for rule in city.rulebook.in_force(CLASS, now)
            if rule.then == above
        ],
        earlier=[_class_shown(one) for one in reversed(talent.grants) if one is not grant],
        account_ending=talent.account_ending,
    )


def _class_shown(grant: Grant) -> ClassShown:
    return ClassShown(
        grant.talent_class,
        grant.rule,
        grant.because,
        grant.granted_at,
        grant.until,
        grant.ended_at,
        grant.end,
        grant.rulebook,
    )
