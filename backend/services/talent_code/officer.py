"""What talent officers do: decide appeals, look at budgets, have a class looked into. And what the bank tells.

Nobody sets a class or an amount: an officer can have the registries asked again, and judge an appeal.
"""

from datetime import datetime
from typing import Annotated, Literal

from litestar import Request, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.city.person import InvalidIdNumber, Person, id_digest, parse_id_number
from backend.city.service import City
from backend.city.upstream import BankSignature, ForgedNotice
from backend.i18n import Text
from backend.problems import NotAllowed, NotFound
from backend.security.identity import CitizenRequest, public, role_guard
from backend.services.talent_code import tasks
from backend.services.talent_code.advancing import change_claim, note_collection, note_payout
from backend.services.talent_code.budgets import current_budget, open_budget
from backend.services.talent_code.claiming import decide_appeal
from backend.services.talent_code.model.benefit import benefit_names, terms_in, title_of
from backend.services.talent_code.model.claim import READINGS_KEPT, Claim, Reading
from backend.services.talent_code.model.problems import NothingToAppeal, OwnAppeal
from backend.services.talent_code.model.talent import Talent, ask_again
from backend.services.talent_code.people import change_talent
from backend.services.talent_code.ports import PayoutBank
from backend.services.talent_code.shown import ClaimShown, claim_shown
from backend.store import Order

PAGE = 50

talent_officer = role_guard("talent_officer")


class AppealListed(Struct, frozen=True):
    """An appeal that waits for a decision; who made it is not told.

    It is about `amount_fen` that are to be paid back, and `reduction_fen` of what is still to come.
    """

    claim: str
    benefit: str
    title: Text
    amount_fen: int
    reduction_fen: int
    appealed_at: datetime


class Appeals(Struct, frozen=True):
    """Appeals that wait, the oldest first, and the cursor of the next page."""

    appeals: list[AppealListed]
    cursor: str | None


class AppealShown(Struct, frozen=True):
    """An appeal with its claim and what the person says."""

    claim: ClaimShown
    text: str
    appealed_at: datetime


class AppealReason(Struct, forbid_unknown_fields=True):
    """Why, in Chinese and English."""

    zh: Annotated[str, Meta(min_length=1, max_length=500)]
    en: Annotated[str, Meta(min_length=1, max_length=500)]


class AppealDecision(Struct, forbid_unknown_fields=True):
    """Whether the claw-back stands, and why, in both languages; the person reads it."""

    decision: Literal["uphold", "drop"]
    reason: AppealReason


class BudgetShown(Struct, frozen=True):
    """A benefit's budget for this year; `waiting` says that claims wait for more of it."""

    benefit: str
    title: Text
    year: int
    limit_fen: int
    reserved_fen: int
    paid_fen: int
    returned_fen: int
    free_fen: int
    quota: int | None
    places: int
    waiting: bool


class Budgets(Struct, frozen=True):
    """The budgets of the benefits that are given now."""

    budgets: list[BudgetShown]


class ReviewOrder(Struct, forbid_unknown_fields=True):
    """The person whose evidence is to be looked into again."""

    id_number: Annotated[str, Meta(min_length=15, max_length=20)]


@get("/v1/talent-appeals", guards=[talent_officer])
async def list_appeals(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> Appeals:
    """List the appeals that wait for a decision, the oldest first."""
    page = await city.store.find(Claim, {}, order=Order("appealed_ms", at_least=0), cursor=cursor, limit=PAGE)
    listed = [
        AppealListed(
            claim.id,
            claim.benefit,
            claim.title,
            claim.clawback.amount_fen,
            claim.excess_fen,
            claim.clawback.appeal.at,
        )
        for claim in page.documents
        if claim.clawback is not None and claim.clawback.appeal is not None
    ]
    return Appeals(listed, page.cursor)


@get("/v1/talent-appeals/{claim_id:str}", guards=[talent_officer])
async def show_appeal(request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]) -> AppealShown:
    """Show an appeal; the person sees that an officer looked at their claim."""
    await _appealed(city, claim_id)
    account = request.user.account_id

    def note(claim: Claim, now: datetime) -> Claim:
        return replace(claim, readings=(*claim.readings, Reading(now, account))[-READINGS_KEPT:])

    claim = await change_claim(city, claim_id, note)
    assert claim is not None, "it was there just now"
    assert claim.clawback is not None, "likewise"
    assert claim.clawback.appeal is not None, "an appeal is never taken away"
    return AppealShown(claim_shown(claim), claim.clawback.appeal.text, claim.clawback.appeal.at)


@put("/v1/talent-appeals/{claim_id:str}", guards=[talent_officer], problems=(NothingToAppeal, OwnAppeal))
async def decide_on_appeal(
    data: JSONBody[AppealDecision], request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> ClaimShown:
    """Decide an appeal: what the audit had decided stands, or is dropped; the person is told why."""
    claim = await _appealed(city, claim_id)
    if request.user.citizen_id == claim.subject:
        raise OwnAppeal(Text(zh="不能裁定本人的申诉。", en="Nobody decides an appeal of their own."))
    reason = Text(zh=data.reason.zh, en=data.reason.en)
    return claim_shown(await decide_appeal(city, claim, upheld=data.decision == "uphold", reason=reason))


async def _appealed(city: City, claim_id: str) -> Claim:
    claim = await city.store.get(Claim, claim_id)
    if claim is None or claim.clawback is None or claim.clawback.appeal is None:
        raise NotFound(Text(zh="没有找到该申诉。", en="There is no such appeal."))
    return claim


@get("/v1/benefit-budgets", guards=[talent_officer])
async def list_budgets(city: NamedDependency[City]) -> Budgets:
    """Show this year's budgets of the benefits that are given now."""
    shown: list[BudgetShown] = []
    for benefit in benefit_names(city.rulebook):
        terms = terms_in(city.rulebook)(benefit, city.now())
        if terms is None or terms.gives != "money":
            continue
        budget = await open_budget(city, current_budget(city, benefit))
        waiting = await city.store.find(Claim, {"line": benefit}, order=Order("claimed_ms"), limit=1)
        shown.append(
            BudgetShown(
                benefit,
                title_of(city.rulebook, benefit),
                city.today().year,
                budget.limit_fen,
                budget.reserved_fen,
                budget.paid_fen,
                budget.returned_fen,
                budget.free_fen,
                budget.quota,
                budget.places,
                bool(waiting.documents),
            )
        )
    return Budgets(shown)


@post("/v1/talent-reviews", guards=[talent_officer], status_code=202, problems=(InvalidIdNumber,))
async def order_review(data: JSONBody[ReviewOrder], city: NamedDependency[City]) -> None:
    """Have the registries asked again about a person's evidence; a class that it no longer carries is withdrawn.

    The answer does not tell whether the person is a talent.
    """
    number = parse_id_number(data.id_number, city.today()).number
    found = await city.store.find(Person, {"id_digest": id_digest(city.encryption, number)}, limit=1)
    if found.documents and await city.store.get(Talent, found.documents[0].id) is not None:
        person = found.documents[0].id
        await change_talent(city, person, ask_again)
        await tasks.look_after.enqueue(city.jobs, person)


@post("/v1/payout-notices", guards=[public], status_code=202, problems=(NotAllowed,))
async def take_payout_notice(
    request: Request[None, None, State], city: NamedDependency[City], bank_signature: BankSignature
) -> None:
    """Take what the bank tells by itself of a payout or collection; late or twice, it changes nothing that stands."""
    try:
        notice = city.port(PayoutBank).read_notice(await request.body(), bank_signature)
    except ForgedNotice as error:
        raise NotAllowed(Text(zh="签名无效。", en="The notice does not carry the bank's signature.")) from error
    claim_id, _, kind = notice.id.partition("/")
    note = note_payout if kind.startswith("payout/") else note_collection
    await note(city, claim_id, notice.id, notice.answer)
    await tasks.advance.enqueue(city.jobs, claim_id)
