"""Search the hospital's own resources."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import RESIDENT_CARD, IdentityDocument
from backend.i18n import Text
from backend.services.medical_credit.eligibility import find_person_id
from backend.services.medical_credit.model.hospital import EligibilityAnswer, eligibility_id
from backend.services.medical_credit.model.reconciliation import Reconciliation, reconciliation_id
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.store import Order
from backend.store.time import to_ms
from integrations.his.fhir.claim_response import claim_response
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.payment_reconciliation import payment_reconciliation
from integrations.his.fhir.references import VISIT_RESOURCE_TYPES
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resource_lookup import ELIGIBILITY_RESOURCES, RECONCILIATION, visit_id_in
from integrations.his.fhir.resources import account, charge_item, encounter, invoice, payment_notice
from integrations.his.fhir.search_parameters import (
    PATIENT_IDENTIFIER,
    DateRange,
    SearchQuery,
    invalid_parameter,
    page_links,
    parse_search_date,
    token_code,
)
from integrations.his.mapping import kind_of_system, parse_instant

MAX_STORE_PAGES = 20
"""The most pages of the store that are read for one page of results."""

MAX_COUNTED = 5_000
NO_PERSON = ""


class SearchPage(Struct, frozen=True):
    """A page of resources, the cursor of the next page, and the total if it is known."""

    resources: list[Json]
    cursor: str | None = None
    total: int | None = None


async def search(context: RequestContext, query: SearchQuery) -> Json:
    """Return a page of results as a searchset Bundle. Raises InvalidSearch."""
    if query.person is None and query.values(PATIENT_IDENTIFIER):
        query = await _with_person(context, query)
    if query.count_only:
        total = await _count(context, query)
        return {"resourceType": "Bundle", "type": "searchset", "total": total, "link": page_links(context, query, None)}
    found = await find_page(context, query)
    next_query = None if found.cursor is None else replace(query, cursor=found.cursor)
    bundle: Json = {"resourceType": "Bundle", "type": "searchset"}
    if found.total is not None:
        bundle["total"] = found.total
    bundle["link"] = page_links(context, query, next_query)
    if found.resources:
        bundle["entry"] = [
            {
                "fullUrl": f"{context.base}/{query.resource_type}/{resource['id']}",
                "resource": resource,
                "search": {"mode": "match"},
            }
            for resource in found.resources
        ]
    return bundle


async def find_page(context: RequestContext, query: SearchQuery, default_visit_id: str | None = None) -> SearchPage:
    """Return a page of resources; `default_visit_id` applies if the search names no visit. Raises InvalidSearch."""
    if query.resource_type in ELIGIBILITY_RESOURCES:
        return await _find_eligibility(context, query)
    if query.resource_type == RECONCILIATION:
        return await _find_reconciliations(context, query)
    if query.resource_type in VISIT_RESOURCE_TYPES:
        return await _find_visits(context, query)
    return await _find_within_visits(context, query, default_visit_id)


async def _with_person(context: RequestContext, query: SearchQuery) -> SearchQuery:
    """Return the query with the person of an ID number in its place, so that no page link carries the number."""
    people: set[str] = {NO_PERSON}
    for values in query.values(PATIENT_IDENTIFIER):
        named = {await _person_id(context, value) or NO_PERSON for value in values}
        people = named if people == {NO_PERSON} else people & named
    criteria = tuple((name, values) for name, values in query.criteria if name != PATIENT_IDENTIFIER)
    if len(people) > 1:
        text = Text(zh="一次只能查询一名患者。", en="Search for one patient at a time.")
        raise invalid_parameter(PATIENT_IDENTIFIER, text)
    return replace(query, criteria=criteria, person=people.pop() if people else NO_PERSON)


async def _person_id(context: RequestContext, token: str) -> str | None:
    """Return the id of the person whom `system|number` identifies, or None; an unknown system means a resident card."""
    kind = kind_of_system(token.rpartition("|")[0]) or RESIDENT_CARD
    return await find_person_id(context.city, IdentityDocument(token_code(token), kind))


async def _count(context: RequestContext, query: SearchQuery) -> int:
    total, page_query = 0, replace(query, count_only=False, count=100)
    while True:
        found = await find_page(context, page_query)
        total += len(found.resources)
        if found.cursor is None:
            return total
        if total >= MAX_COUNTED:
            raise invalid_parameter(
                "_count",
                Text(zh="请缩小查询范围：结果过多，无法计数。", en="Too many results to count; narrow the search."),
            )
        page_query = replace(page_query, cursor=found.cursor)


# ── Encounter, Account, Invoice ──


def _resource_builder(resource_type: str) -> Callable[[RequestContext, Visit], Json]:
    if resource_type == "Invoice":
        return lambda context, visit: invoice(context, visit, with_lines=False)
    return encounter if resource_type == "Encounter" else account


async def _find_visits(context: RequestContext, query: SearchQuery) -> SearchPage:
    build, visit_ids = _resource_builder(query.resource_type), _visit_ids(context, query)
    if visit_ids is not None:
        known = await context.city.store.get_many(Visit, sorted(visit_ids))
        own = sorted(known.values(), key=lambda visit: (visit.opened_ms, visit.id))
        candidates = [(visit, build(context, visit)) for visit in own if visit.hospital == context.hospital.id]
        resources = [one for visit, one in candidates if _matches(context, query, visit, one)]
        return SearchPage(resources, None, len(resources))
    cursor, found = query.cursor, list[Json]()
    for _ in range(MAX_STORE_PAGES):
        visits, cursor = await _visit_page(context, query, cursor)
        candidates = [(visit, build(context, visit)) for visit in visits if visit.hospital == context.hospital.id]
        found.extend(one for visit, one in candidates if _matches(context, query, visit, one))
        if found or cursor is None:
            break
    return SearchPage(found, cursor, len(found) if cursor is None and query.cursor is None else None)


async def _visit_page(
    context: RequestContext, query: SearchQuery, cursor: str | None
) -> tuple[Sequence[Visit], str | None]:
    store = context.city.store
    if query.person is not None:
        if query.person == NO_PERSON:
            return [], None
        by_opening = Order("opened_ms", "descending")
        page = await store.find(Visit, {"person": query.person}, order=by_opening, cursor=cursor, limit=query.count)
        return page.documents, page.cursor
    name, field = "date", "settled_ms" if query.resource_type == "Invoice" and query.values("date") else "opened_ms"
    if query.values("_lastUpdated") or query.sort.endswith("_lastUpdated"):
        name, field = "_lastUpdated", "changed_ms"
    at_least, below = (
        _bounds(context, query, name) if field != "opened_ms" or query.resource_type == "Encounter" else (None, None)
    )
    is_ascending = bool(query.sort) and not query.sort.startswith("-")
    order = Order(
        field,
        "ascending" if is_ascending else "descending",
        at_least=0 if at_least is None and field == "settled_ms" else at_least,
        below=below,
    )
    page = await store.find(Visit, {"hospital": context.hospital.id}, order=order, cursor=cursor, limit=query.count)
    return page.documents, page.cursor


def _bounds(context: RequestContext, query: SearchQuery, name: str) -> tuple[int | None, int | None]:
    """Return the interval that contains all matches of a date parameter; a list of alternatives does not narrow it."""
    lows, highs = list[int](), list[int]()
    for values in query.values(name):
        if len(values) == 1:
            low, high = parse_search_date(name, values[0], context.time_zone).bounds()
            lows.extend([] if low is None else [low])
            highs.extend([] if high is None else [high])
    return max(lows, default=None), min(highs, default=None)


def _visit_ids(context: RequestContext, query: SearchQuery) -> set[str] | None:
    """Return the ids of the visits that a search names, or None if it names none."""
    sets = list(_named_visit_ids(context, query))
    return None if not sets else set[str].intersection(*sets)


def _named_visit_ids(context: RequestContext, query: SearchQuery) -> Iterator[set[str]]:
    numbers = ["context.identifier", "account.identifier", "request.identifier"]
    numbers.extend(["identifier"] if query.resource_type in VISIT_RESOURCE_TYPES else [])
    for name in numbers:
        for values in query.values(name):
            yield {visit_id(context.hospital.id, token_code(value)) for value in values}
    for values in query.values("_id"):
        yield {visit_id_in(query.resource_type, value) for value in values}
    for name in ("context", "account", "request"):
        for values in query.values(name):
            yield {_reference_id(context, value) for value in values}


def _reference_id(context: RequestContext, reference: str) -> str:
    return reference.removeprefix(context.base + "/").rpartition("/")[2]


def _matches(context: RequestContext, query: SearchQuery, visit: Visit, resource: Json) -> bool:
    """Return whether a resource meets the criteria that do not select visits by id."""
    if query.person is not None and visit.person != query.person:
        return False
    for name, values in query.criteria:
        match name:
            case "status":
                matches = resource["status"] in map(token_code, values)
            case "class":
                matches = resource["class"]["code"] in map(token_code, values)
            case "date":
                matches = _matches_date(context, name, values, resource)
            case "_lastUpdated":
                matches = any(
                    date_range.matches(visit.changed_ms) for date_range in _date_ranges(context, name, values)
                )
            case _:
                matches = True
        if not matches:
            return False
    return True


def _matches_date(context: RequestContext, name: str, values: Sequence[str], resource: Json) -> bool:
    """Return whether the start of a visit, or the date of an invoice, is in the range."""
    date_ranges = _date_ranges(context, name, values)
    value = resource["period"]["start"] if resource["resourceType"] == "Encounter" else resource.get("date")
    if value is None:
        return False
    at = to_ms(parse_instant(value, context.time_zone, "occurred_at"))
    return any(date_range.matches(at) for date_range in date_ranges)


def _date_ranges(context: RequestContext, name: str, values: Sequence[str]) -> list[DateRange]:
    return [parse_search_date(name, value, context.time_zone) for value in values]


# ── ChargeItem, ClaimResponse, PaymentNotice ──


async def _find_within_visits(context: RequestContext, query: SearchQuery, default_visit_id: str | None) -> SearchPage:
    visit_ids = _visit_ids(context, query)
    if visit_ids is None:
        if default_visit_id is None:
            names = ("context", "account") if query.resource_type == "ChargeItem" else ("request",)
            text = Text(
                zh=f"请同时用{'或'.join(names)}指明所属就诊。",
                en=f"Add a search parameter for the visit: {' or '.join(names)}.",
            )
            raise invalid_parameter(names[0], text, "too-costly")
        visit_ids = {default_visit_id}
    known = await context.city.store.get_many(Visit, sorted(visit_ids))
    found = [
        one
        for visit in sorted(known.values(), key=lambda visit: (visit.opened_ms, visit.id))
        if visit.hospital == context.hospital.id
        for one in _matching_positions(query, visit)
    ]
    start = int(query.cursor or 0)
    end = start + query.count
    build = _PART_BUILDERS[query.resource_type]
    resources = [build(context, visit, position) for visit, position in found[start:end]]
    return SearchPage(resources, str(end) if end < len(found) else None, len(found))


_PART_BUILDERS: dict[str, Callable[[RequestContext, Visit, int], Json]] = {
    "ChargeItem": charge_item,
    "ClaimResponse": claim_response,
    "PaymentNotice": payment_notice,
}


def _part_identifiers(resource_type: str, visit: Visit) -> list[str]:
    """Return the identifiers of the parts of a visit, in the order of their positions."""
    if resource_type == "ClaimResponse":
        return [one.split.settlement_id for one in visit.hospital_settlements()]
    return [one.id for one in (visit.lines if resource_type == "ChargeItem" else visit.counter_payments)]


def _matching_positions(query: SearchQuery, visit: Visit) -> Iterator[tuple[Visit, int]]:
    names = _part_identifiers(query.resource_type, visit)
    ids, identifiers = query.values("_id"), query.values("identifier")
    for position, name in enumerate(names, 1):
        matches_id = all(f"{visit.id}-{position}" in values for values in ids)
        if matches_id and all(name in map(token_code, values) for values in identifiers):
            yield visit, position


# ── PaymentReconciliation ──


async def _find_reconciliations(context: RequestContext, query: SearchQuery) -> SearchPage:
    """Return reconciled days, newest first; `identifier` and `created` select a day by its date."""
    store, hospital = context.city.store, context.hospital
    sets = [
        {token_code(value) for value in values} for name in ("identifier", "created") for values in query.values(name)
    ]
    if sets or query.values("_id"):
        ids = [{_reconciliation_id(context, day) for day in days} for days in sets]
        ids.extend(set(values) for values in query.values("_id"))
        known = await store.get_many(Reconciliation, sorted(set[str].intersection(*ids)))
        own = [one for one in known.values() if one.hospital == hospital.id]
        return SearchPage([payment_reconciliation(one, hospital) for one in own], None, len(own))
    newest = Order("day", "descending")
    where = {"hospital": hospital.id}
    page = await store.find(Reconciliation, where, order=newest, cursor=query.cursor, limit=query.count)
    resources = [payment_reconciliation(one, hospital) for one in page.documents]
    return SearchPage(resources, page.cursor, len(resources) if page.cursor is None and query.cursor is None else None)


def _reconciliation_id(context: RequestContext, text: str) -> str:
    try:
        return reconciliation_id(context.hospital.id, date.fromisoformat(text.removeprefix("eq")))
    except ValueError:
        raise invalid_parameter(
            "created", Text(zh="请填写日期，如2026-01-31。", en="This must be a date, such as 2026-01-31.")
        ) from None


# ── CoverageEligibilityRequest, CoverageEligibilityResponse ──


async def _find_eligibility(context: RequestContext, query: SearchQuery) -> SearchPage:
    build, sets, store = ELIGIBILITY_RESOURCES[query.resource_type], list[set[str]](), context.city.store
    for values in query.values("identifier"):
        sets.append({eligibility_id(context.hospital.id, token_code(value)) for value in values})
    for name in ("_id", "request"):
        sets.extend({_reference_id(context, value) for value in values} for values in query.values(name))
    if sets:
        known = await store.get_many(EligibilityAnswer, sorted(set[str].intersection(*sets)))
        own = [one for one in known.values() if one.hospital == context.hospital.id]
        own = [one for one in own if _was_created(context, query, one)]
        return SearchPage([build(context, one) for one in own], None, len(own))
    at_least, below = _bounds(context, query, "created")
    order = Order("created_ms", "descending", at_least=at_least, below=below)
    where = {"hospital": context.hospital.id}
    page = await store.find(EligibilityAnswer, where, order=order, cursor=query.cursor, limit=query.count)
    resources = [build(context, one) for one in page.documents if _was_created(context, query, one)]
    is_only_page = page.cursor is None and query.cursor is None
    return SearchPage(resources, page.cursor, len(resources) if is_only_page else None)


def _was_created(context: RequestContext, query: SearchQuery, answer: EligibilityAnswer) -> bool:
    return all(
        any(date_range.matches(answer.created_ms) for date_range in _date_ranges(context, "created", values))
        for values in query.values("created")
    )
