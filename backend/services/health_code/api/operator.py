"""Let operators say which accounts report health events for which source; what they add needs two of them."""

import secrets

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from backend.city.audit_log import new_act, with_act
from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotFound
from backend.security.identity import CitizenRequest, citizen_id, role_guard
from backend.services.health_code.api.schemas import (
    ProposedSource,
    SourceApproval,
    SourceChangeRequest,
    SourceList,
    SourceRemoval,
    SourceSummary,
)
from backend.services.health_code.sources import (
    CHANGE_LIFETIME,
    ReportingSource,
    SecondPersonRequired,
    SourceChange,
    approve_change,
    propose_change,
    source_id,
    without_account,
)
from backend.store import Order
from backend.store.update import create_or_update, update_document

OPERATOR = "operator"
operator = role_guard(OPERATOR)

PAGE = 100


@get("/v1/reporting-sources", guards=[operator])
async def list_sources(city: NamedDependency[City], cursor: FromQuery[str | None] = None) -> SourceList:
    """List the sources of health events and the accounts that report for them, by name."""
    page = await city.store.find(ReportingSource, {}, order=Order("name"), cursor=cursor, limit=PAGE)
    return SourceList([_summary(source) for source in page.documents], page.cursor)


@post("/v1/reporting-sources", guards=[operator], status_code=202)
async def propose_source(
    data: JSONBody[SourceChangeRequest], request: CitizenRequest, city: NamedDependency[City]
) -> SourceSummary:
    """Propose what a source should become; another operator approves it within seven days.

    It replaces an earlier proposal for the source.
    """
    caller = request.user
    change = SourceChange(
        id=secrets.token_urlsafe(12),
        kind=data.kind,
        accounts=tuple(dict.fromkeys(data.accounts)),
        sample_ids=data.sample_ids,
        events_per_day=data.events_per_day,
        decisive_per_day=data.decisive_per_day,
        operator=caller.account_id,
        person=citizen_id(request),
        at=city.now(),
    )
    source = ReportingSource(id=source_id(city, data.name), name=data.name)
    act = new_act(city, caller, OPERATOR, "health_code.source_proposed", source.id, change.id)
    return _summary(
        await create_or_update(city.store, source, lambda source: with_act(propose_change(source, change), act))
    )


@post(
    "/v1/reporting-sources/approvals",
    guards=[operator],
    status_code=200,
    problems=(NotFound, SecondPersonRequired),
)
async def approve_source(
    data: JSONBody[SourceApproval], request: CitizenRequest, city: NamedDependency[City]
) -> SourceSummary:
    """Approve the change of a source that another operator proposed. Nobody approves it for their own account."""
    caller, now = request.user, city.now()
    key = source_id(city, data.name)
    act = new_act(city, caller, OPERATOR, "health_code.source_approved", key, data.change)
    source = await update_document(
        city.store,
        lambda: city.store.get(ReportingSource, key),
        lambda source: with_act(approve_change(source, data.change, caller, now), act),
    )
    if source is None:
        raise _no_source()
    return _summary(source)


@post("/v1/reporting-sources/removals", guards=[operator], status_code=200, problems=(NotFound,))
async def remove_account(
    data: JSONBody[SourceRemoval], request: CitizenRequest, city: NamedDependency[City]
) -> SourceSummary:
    """Stop an account from reporting for a source, at once and by one operator."""
    key = source_id(city, data.name)
    act = new_act(city, request.user, OPERATOR, "health_code.source_account_removed", key, data.account)

    def removed(source: ReportingSource) -> ReportingSource:
        without = without_account(source, data.account)
        return source if without is source else with_act(without, act)

    source = await update_document(city.store, lambda: city.store.get(ReportingSource, key), removed)
    if source is None:
        raise _no_source()
    return _summary(source)


def _no_source() -> NotFound:
    return NotFound(Text(zh="没有该来源，请核对名称。", en="There is no source of this name; check it."))


def _summary(source: ReportingSource) -> SourceSummary:
    change = source.proposed
    proposed = change and ProposedSource(
        change=change.id,
        kind=change.kind,
        accounts=change.accounts,
        sample_ids=change.sample_ids,
        events_per_day=change.events_per_day,
        decisive_per_day=change.decisive_per_day,
        proposed_at=change.at,
        expires_at=change.at + CHANGE_LIFETIME,
    )
    return SourceSummary(
        name=source.name,
        kind=source.kind,
        accounts=source.accounts,
        sample_ids=source.sample_ids,
        events_per_day=source.events_per_day,
        decisive_per_day=source.decisive_per_day,
        proposed=proposed,
    )
