"""Routes for talent officers: decide appeals, view budgets, and request reviews.

Nobody can set a class or an amount. An officer can only request that the registries are queried again, and decide
appeals.
"""

import asyncio
from datetime import datetime
from functools import partial

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from backend.benefits import audits
from backend.benefits.claim import Appeal
from backend.benefits.problems import NothingToAppeal, OwnAppeal
from backend.benefits.responses import appeal_list, budget_list
from backend.benefits.schemas import AppealDecision, AppealList, BudgetList
from backend.city.audit_log import Act, new_act, record_act, with_act
from backend.city.conflict_of_interest import ConflictOfInterest, refuse_own_case
from backend.city.id_number import InvalidIdNumber, parse_id_number
from backend.city.person import find_person
from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, role_guard
from backend.services.talent_code.api.responses import claim_details
from backend.services.talent_code.api.schemas import AppealDetails, ClaimDetails, ReviewRequest
from backend.services.talent_code.model.claim import Claim, record_view
from backend.services.talent_code.model.talent import Talent, TalentTerms, request_recheck
from backend.services.talent_code.review import update_talent
from backend.services.talent_code.saga import benefits, claims, review_talent

talent_officer = role_guard("talent_officer")


@get("/v1/talent-appeals", guards=[talent_officer])
async def list_appeals(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> AppealList:
    """List the pending appeals, the oldest first; each person sees that an officer viewed theirs."""
    listed = await appeal_list(benefits, city, cursor)
    viewed = await city.store.get_many(Claim, [one.claim for one in listed.appeals])
    await asyncio.gather(*(record_act(city, _act(city, request, "appeal_read", claim)) for claim in viewed.values()))
    return listed


@get("/v1/talent-appeals/{claim_id:str}", guards=[talent_officer])
async def show_appeal(request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]) -> AppealDetails:
    """Show an appeal; the person sees that an officer viewed their claim."""
    claim, appeal = await _appealed_claim(city, claim_id)
    act = _act(city, request, "appeal_read", claim)
    view = partial(record_view, account=request.user.account_id)
    claim = await claims.update(city, claim_id, lambda found, now: with_act(view(found, now), act))
    assert claim is not None, "it was found just now"
    return AppealDetails(claim_details(claim), appeal.text, appeal.at)


@put("/v1/talent-appeals/{claim_id:str}", guards=[talent_officer], problems=(NothingToAppeal, OwnAppeal))
async def decide_appeal(
    data: JSONBody[AppealDecision], request: CitizenRequest, city: NamedDependency[City], claim_id: FromPath[str]
) -> ClaimDetails:
    """Decide an appeal: the decision of the audit is upheld or dropped; the person receives the reason."""
    claim, _ = await _appealed_claim(city, claim_id)
    if request.user.citizen_id == claim.subject:
        raise OwnAppeal(
            zh="不能裁定本人的申诉，请转交其他经办人员。",
            en="You cannot decide your own appeal; please pass it to another officer.",
        )
    reason = Text(zh=data.reason.zh, en=data.reason.en)
    act = _act(city, request, "appeal_decided", claim, data.decision)

    def decide(found: Claim, now: datetime) -> Claim:
        decided = audits.decide_appeal(found, now, decision_upheld=data.decision == "uphold", reason=reason)
        return found if decided is found else with_act(decided, act)

    return claim_details(await claims.decide(city, claim, decide))


def _act(city: City, request: CitizenRequest, action: str, claim: Claim, reason: str = "") -> Act:
    caller = request.user
    return new_act(city, caller, "talent_officer", f"talent_code.{action}", claim.id, reason, person=claim.subject)


async def _appealed_claim(city: City, claim_id: str) -> tuple[Claim, Appeal]:
    claim = await city.store.get(Claim, claim_id)
    if claim is None or claim.clawback is None or claim.clawback.appeal is None:
        raise NotFound(zh="没有找到该申诉，请刷新后重试。", en="There is no such appeal; please refresh.")
    return claim, claim.clawback.appeal


@get("/v1/benefit-budgets", guards=[talent_officer])
async def list_budgets(city: NamedDependency[City]) -> BudgetList:
    """List this year's budgets of the benefits that are available now."""
    return await budget_list(benefits, city)


@post("/v1/talent-reviews", guards=[talent_officer], status_code=202, problems=(InvalidIdNumber, ConflictOfInterest))
async def request_review(data: JSONBody[ReviewRequest], request: CitizenRequest, city: NamedDependency[City]) -> None:
    """Request another check of a person's evidence; a class that it no longer supports is withdrawn.

    The answer does not reveal whether the person is a talent.
    """
    id_number = parse_id_number(data.id_number, city.today(), kind=data.document_kind)
    person = await find_person(city.store, city.encryption, id_number)
    refuse_own_case(request.user, None if person is None else person.id)
    about = person.id if person is not None else city.encryption.digest("id-number", str(id_number))
    act = new_act(city, request.user, "talent_officer", "talent_code.review_requested", about)
    if person is None or await city.store.get(Talent, person.id) is None:
        await record_act(city, act)
        return

    def recheck(found: Talent, now: datetime, terms: TalentTerms) -> Talent:
        return with_act(request_recheck(found, now, terms), act)

    await update_talent(city, person.id, recheck)
    await review_talent.enqueue(city.jobs, person.id)
