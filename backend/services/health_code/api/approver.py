"""Let a second person approve or reject what an officer, or a source beyond its bounds, has reported."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from backend.city.audit_log import new_act, with_act
from backend.city.person import document_of, known_person, masked_name
from backend.city.service import City
from backend.problems import Problem
from backend.security.identity import CitizenRequest, citizen_id, role_guard
from backend.services.health_code.api.schemas import (
    DecisionResult,
    DecisionResults,
    EventRejection,
    ProposalDetails,
    ProposalList,
    ProposalSummary,
    ReportDecisions,
)
from backend.services.health_code.model import HealthEventReceipt
from backend.services.health_code.proposals import no_proposal
from backend.services.health_code.saga import APPROVER, approve_proposal, reject_proposal
from backend.services.health_code.sources import (
    ReportingSource,
    SecondPersonRequired,
    second_person_required,
)
from backend.store import Order
from backend.store.time import to_ms
from backend.store.update import update_document

health_approver = role_guard(APPROVER)

PAGE = 50
_SHOWN_DIGITS = 4


@get("/v1/health-event-proposals", guards=[health_approver])
async def list_proposals(
    request: CitizenRequest, city: NamedDependency[City], cursor: FromQuery[str | None] = None
) -> ProposalList:
    """List the events that wait for a second person, the oldest first. The caller's own affairs are left out."""
    person, now = citizen_id(request), city.now()
    # `at_least` leaves out the documents without a time
    page = await city.store.find(
        HealthEventReceipt, {}, order=Order("proposed_ms", at_least=0), cursor=cursor, limit=PAGE
    )
    shown = [receipt for receipt in page.documents if _is_open(receipt, now) and receipt.person != person]
    return ProposalList(await _summaries(city, shown), page.cursor)


@get(
    "/v1/health-event-proposals/{proposal_id:str}",
    guards=[health_approver],
    problems=(SecondPersonRequired,),
)
async def show_proposal(
    request: CitizenRequest, city: NamedDependency[City], proposal_id: FromPath[str]
) -> ProposalDetails:
    """Show a proposal, and whom it is about; the person sees that an officer read it."""
    caller, now = request.user, city.now()
    person = citizen_id(request)

    def read(receipt: HealthEventReceipt) -> HealthEventReceipt:
        if not _is_open(receipt, now):
            raise no_proposal()
        if receipt.person == person:
            raise second_person_required()
        return with_act(
            receipt, new_act(city, caller, APPROVER, "health_code.proposal_read", receipt.id, person=receipt.person)
        )

    receipt = await update_document(city.store, lambda: city.store.get(HealthEventReceipt, proposal_id), read)
    if receipt is None:
        raise no_proposal()
    about = await known_person(city.store, receipt.person)
    number = document_of(city.encryption, about).number
    [summary] = await _summaries(city, [receipt])
    return ProposalDetails(
        summary,
        id_number="*" * (len(number) - _SHOWN_DIGITS) + number[-_SHOWN_DIGITS:],
        name=None if about.name is None else masked_name(city.encryption.read(about, "name")),
    )


@post(
    "/v1/health-event-proposals/approvals",
    guards=[health_approver],
    status_code=200,
)
async def approve_proposals(
    data: JSONBody[ReportDecisions], request: CitizenRequest, city: NamedDependency[City]
) -> DecisionResults:
    """Approve up to 500 proposals; the codes of the people concerned are up to date on the next read.

    Nobody approves what they proposed themselves, nor what concerns themselves.
    """
    return await _decide(data.ids, lambda proposal: approve_proposal(city, request.user, proposal))


@post(
    "/v1/health-event-proposals/rejections",
    guards=[health_approver],
    status_code=200,
)
async def reject_proposals(
    data: JSONBody[ReportDecisions], request: CitizenRequest, city: NamedDependency[City]
) -> DecisionResults:
    """Reject up to 500 proposals, which never take effect. Nobody rejects what concerns themselves."""
    return await _decide(data.ids, lambda proposal: reject_proposal(city, request.user, proposal))


async def _decide(ids: Sequence[str], decide: Callable[[str], Awaitable[None]]) -> DecisionResults:
    results: list[DecisionResult] = []
    for proposal in ids:
        try:
            await decide(proposal)
        except Problem as problem:
            rejection = EventRejection(problem.type_path(), problem.title, problem.detail, problem.errors)
            results.append(DecisionResult(proposal, "refused", rejection))
        else:
            results.append(DecisionResult(proposal, "decided"))
    return DecisionResults(results)


def _is_open(receipt: HealthEventReceipt, now: datetime) -> bool:
    return receipt.state == "proposed" and receipt.due_ms is not None and receipt.due_ms > to_ms(now)


async def _summaries(city: City, receipts: Sequence[HealthEventReceipt]) -> list[ProposalSummary]:
    proposals = [(receipt, receipt.proposal) for receipt in receipts if receipt.proposal is not None]
    names = await city.store.get_many(ReportingSource, list({proposal.source for _, proposal in proposals}))
    return [
        ProposalSummary(
            id=receipt.id,
            source=names[proposal.source].name,
            kind=proposal.kind,
            reason=proposal.reason,
            proposed_at=proposal.at,
            expires_at=datetime.fromtimestamp((receipt.due_ms or 0) / 1_000, proposal.at.tzinfo),
            event=receipt.event,
        )
        for receipt, proposal in proposals
    ]
