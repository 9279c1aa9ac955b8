"""Routes for talent officers: decide appeals, view budgets, and request reviews.

Nobody can set a class or an amount. An officer can only request that the registries are queried again, and decide
appeals.
"""

from datetime import datetime

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec.structs import replace

from backend.city.person import InvalidIdNumber, Person, id_digest, parse_id_number
from backend.city.service import City
from backend.i18n import Text
from backend.jobs.tasks import TaskReference
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, role_guard
from backend.services.talent_code import claims
from backend.services.talent_code.api.responses import claim_details
from backend.services.talent_code.api.schemas import (
    AppealDecision,
    AppealDetails,
    AppealList,
    AppealSummary,
    BudgetDetails,
    BudgetList,
    ClaimDetails,
    ReviewRequest,
)
from backend.services.talent_code.budgets import current_budget_id, get_or_create_budget
from backend.services.talent_code.eligibility import update_talent
from backend.services.talent_code.model.benefit import benefit_names, benefit_title, terms_lookup
from backend.services.talent_code.model.claim import MAX_OFFICER_VIEWS, Claim, OfficerView
from backend.services.talent_code.model.problems import NothingToAppeal, OwnAppeal
from backend.services.talent_code.model.talent import Talent, request_recheck
from backend.services.talent_code.saga import update_claim
from backend.store import Order

PAGE = 50

talent_officer = role_guard("talent_officer")

review_talent = TaskReference("talent_code.review_talent")


@get("/v1/talent-appeals", guards=[talent_officer])
async def list_appeals(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> AppealList:
    """List the pending appeals, the oldest first."""
    page = await city.store.find(Claim, {}, order=Order("appealed_ms", at_least=0), cursor=cursor, limit=PAGE)
    listed = [
        AppealSummary(
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
    return AppealList(listed, page.cursor)


@get("/v1/talent-appeals/{claim_id:str}", guards=[talent_officer])
async def show_appeal(request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]) -> AppealDetails:
    """Show an appeal; the person sees that an officer viewed their claim."""
    await _appealed_claim(city, claim_id)
    account = request.user.account_id

    def record(claim: Claim, now: datetime) -> Claim:
        views = (*claim.officer_views, OfficerView(now, account))[-MAX_OFFICER_VIEWS:]
        return replace(claim, officer_views=views)

    claim = await update_claim(city, claim_id, record)
    assert claim is not None, "it was found just now"
    assert claim.clawback is not None, "likewise"
    assert claim.clawback.appeal is not None, "an appeal is never removed"
    return AppealDetails(claim_details(claim), claim.clawback.appeal.text, claim.clawback.appeal.at)


@put("/v1/talent-appeals/{claim_id:str}", guards=[talent_officer], problems=(NothingToAppeal, OwnAppeal))
async def decide_appeal(
    data: JSONBody[AppealDecision], request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> ClaimDetails:
    """Decide an appeal: the decision of the audit is upheld or dropped; the person receives the reason."""
    claim = await _appealed_claim(city, claim_id)
    if request.user.citizen_id == claim.subject:
        raise OwnAppeal(
            Text(
                zh="不能裁定本人的申诉，请转交其他经办人员。",
                en="You cannot decide your own appeal; please pass it to another officer.",
            )
        )
    reason = Text(zh=data.reason.zh, en=data.reason.en)
    upheld = data.decision == "uphold"
    return claim_details(await claims.decide_appeal(city, claim, decision_upheld=upheld, reason=reason))


async def _appealed_claim(city: City, claim_id: str) -> Claim:
    claim = await city.store.get(Claim, claim_id)
    if claim is None or claim.clawback is None or claim.clawback.appeal is None:
        raise NotFound(Text(zh="没有找到该申诉，请刷新后重试。", en="There is no such appeal; please refresh."))
    return claim


@get("/v1/benefit-budgets", guards=[talent_officer])
async def list_budgets(city: NamedDependency[City]) -> BudgetList:
    """List this year's budgets of the benefits that are available now."""
    budgets: list[BudgetDetails] = []
    for benefit in benefit_names(city.rulebook):
        terms = terms_lookup(city.rulebook)(benefit, city.now())
        if terms is None or terms.gives != "money":
            continue
        budget = await get_or_create_budget(city, current_budget_id(city, benefit))
        waiting = await city.store.find(Claim, {"waitlist": benefit}, order=Order("claimed_ms"), limit=1)
        budgets.append(
            BudgetDetails(
                benefit,
                benefit_title(city.rulebook, benefit),
                city.today().year,
                budget.limit_fen,
                budget.reserved_fen,
                budget.paid_fen,
                budget.returned_fen,
                budget.free_fen,
                budget.quota,
                budget.quota_used,
                bool(waiting.documents),
            )
        )
    return BudgetList(budgets)


@post("/v1/talent-reviews", guards=[talent_officer], status_code=202, problems=(InvalidIdNumber,))
async def request_review(data: JSONBody[ReviewRequest], city: NamedDependency[City]) -> None:
    """Request another check of a person's evidence; a class that it no longer supports is withdrawn.

    The answer does not reveal whether the person is a talent.
    """
    number = parse_id_number(data.id_number, city.today()).number
    found = await city.store.find(Person, {"id_digest": id_digest(city.encryption, number)}, limit=1)
    if found.documents and await city.store.get(Talent, found.documents[0].id) is not None:
        person = found.documents[0].id
        await update_talent(city, person, request_recheck)
        await review_talent.enqueue(city.jobs, person)
