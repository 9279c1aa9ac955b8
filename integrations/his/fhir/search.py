"""Search the hospital's own resources."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Literal

from msgspec.structs import replace

from backend.city.id_number import IdentityDocument
from backend.i18n import Text
from backend.services.medical_credit.eligibility import find_person_id
from backend.services.medical_credit.model.hospital import EligibilityAnswer, IdentifierKind
from backend.services.medical_credit.model.reconciliation import Reconciliation, reconciliation_id
from backend.services.medical_credit.model.visit import Visit
from backend.store import Order
from backend.store.time import to_ms
from integrations.his.fhir.claim_response import claim_response
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.identifiers import Token, names_values, parse_token, parse_tokens
from integrations.his.fhir.payment_reconciliation import payment_reconciliation
from integrations.his.fhir.references import VISIT_RESOURCE_TYPES
from integrations.his.fhir.representation import Json
from integrations.his.fhir.resource_lookup import ELIGIBILITY_RESOURCES, RECONCILIATION, ids_with, visit_id_in
from integrations.his.fhir.resources import ACT_CODE, account, charge_item, encounter, invoice, payment_notice
from integrations.his.fhir.search_pages import SearchPage, StorePage, first_matches
from integrations.his.fhir.search_parameters import (
    PATIENT_IDENTIFIER,
    DateRange,
    SearchQuery,
    invalid_parameter,
    page_links,
    parse_search_date,
)
from integrations.his.fhir.subsetting import select_elements
from integrations.his.mapping import kind_of_system, parse_instant

MAX_COUNTED = 5_000
NO_PERSON = ""


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
    total = found.total
    if total is None and query.total in ("accurate", "estimate"):
        total = await _count(context, replace(query, cursor=None))
    if total is not None and query.total != "none":
        bundle["total"] = total
    bundle["link"] = page_links(context, query, next_query)
    if found.resources:
        bundle["entry"] = [
            {
                "fullUrl": f"{context.base}/{query.resource_type}/{resource['id']}",
                "resource": select_elements(resource, query.elements),
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
    """Return the id of the person whom `system|number` identifies, or None; without a system it is a resident card."""
    found = parse_token(token)
    kind = kind_of_system(found.system)
    return None if kind is None else await find_person_id(context.city, IdentityDocument(found.value, kind))


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
    build, visit_ids = _resource_builder(query.resource_type), await _visit_ids(context, query)
    if visit_ids is not None:
        known = await context.city.store.get_many(Visit, sorted(visit_ids))
        in_order = sorted(known.values(), key=lambda visit: _sort_key(query, visit), reverse=query.sort.startswith("-"))
        candidates = [(visit, build(context, visit)) for visit in in_order if visit.hospital == context.hospital.id]
        resources = [one for visit, one in candidates if _matches(context, query, visit, one)]
        return SearchPage(resources, None, len(resources))

    async def read(cursor: str | None, limit: int) -> StorePage:
        visits, after = await _visit_page(context, query, cursor, limit)
        candidates = [(visit, build(context, visit)) for visit in visits if visit.hospital == context.hospital.id]
        return len(visits), [one for visit, one in candidates if _matches(context, query, visit, one)], after

    return await first_matches(query, read)


async def _visit_page(
    context: RequestContext, query: SearchQuery, cursor: str | None, limit: int
) -> tuple[Sequence[Visit], str | None]:
    if query.person == NO_PERSON:
        return [], None
    where = {"hospital": context.hospital.id} if query.person is None else {"person": query.person}
    page = await context.city.store.find(Visit, where, order=_order(context, query), cursor=cursor, limit=limit)
    return page.documents, page.cursor


def _order(context: RequestContext, query: SearchQuery) -> Order:
    """Return the order of a search. Raises InvalidSearch for one that the search for a person does not have."""
    is_descending = not query.sort or query.sort.startswith("-")
    direction: Literal["ascending", "descending"] = "descending" if is_descending else "ascending"
    by_update = query.sort.endswith("_lastUpdated") or bool(not query.sort and query.values("_lastUpdated"))
    if query.person is not None:
        if by_update and query.sort:
            text = Text(zh="按患者查询时不支持该排序方式。", en="A search by patient cannot be sorted by this.")
            raise invalid_parameter("_sort", text, "not-supported")
        return Order("opened_ms", direction)
    if by_update:
        at_least, below = _bounds(context, query, "_lastUpdated")
        return Order("changed_ms", direction, at_least=at_least, below=below)
    if query.resource_type == "Invoice" and query.values("date"):
        at_least, below = _bounds(context, query, "date")
        return Order("settled_ms", direction, at_least=at_least or 0, below=below)
    at_least, below = _bounds(context, query, "date") if query.resource_type == "Encounter" else (None, None)
    return Order("opened_ms", direction, at_least=at_least, below=below)


def _sort_key(query: SearchQuery, visit: Visit) -> tuple[int, str]:
    by_update = query.sort.endswith("_lastUpdated")
    at_ms = (visit.settled_ms or 0) if query.resource_type == "Invoice" else visit.opened_ms
    return (visit.changed_ms if by_update else at_ms if query.sort else visit.opened_ms), visit.id


def _bounds(context: RequestContext, query: SearchQuery, name: str) -> tuple[int | None, int | None]:
    """Return the interval that contains all matches of a date parameter; a list of alternatives does not narrow it."""
    lows, highs = list[int](), list[int]()
    for values in query.values(name):
        if len(values) == 1:
            low, high = parse_search_date(name, values[0], context.time_zone).bounds()
            lows.extend([] if low is None else [low])
            highs.extend([] if high is None else [high])
    return max(lows, default=None), min(highs, default=None)


async def _visit_ids(context: RequestContext, query: SearchQuery) -> set[str] | None:
    """Return the ids of the visits that a search names, or None if it names none."""
    sets = [await ids_with(context, Visit, tokens) for tokens in _number_tokens(query) if names_values(tokens)]
    sets.extend({visit_id_in(query.resource_type, value) for value in values} for values in query.values("_id"))
    for name in ("context", "account", "request"):
        references = query.values(name)
        sets.extend({_reference_id(context, one, VISIT_RESOURCE_TYPES) for one in values} for values in references)
    return None if not sets else set[str].intersection(*sets)


def _number_tokens(query: SearchQuery) -> list[list[Token]]:
    """Return the tokens for the number of the visit, one list for each parameter."""
    names = ["context.identifier", "account.identifier", "request.identifier"]
    names.extend(["identifier"] if query.resource_type in VISIT_RESOURCE_TYPES else [])
    return [parse_tokens(values) for name in names for values in query.values(name)]


def _has_number(context: RequestContext, query: SearchQuery, visit: Visit) -> bool:
    """Return whether the number of a visit meets all criteria, those of a system alone too."""
    return all(
        any(token.matches(context.hospital, "visit", visit.number) for token in tokens)
        for tokens in _number_tokens(query)
    )


def _reference_id(context: RequestContext, reference: str, resource_types: Sequence[str]) -> str:
    """Return the id in a reference, or an empty text, which no resource has, if it is of another type or server."""
    resource_type, slash, rest = reference.removeprefix(f"{context.base}/").partition("/")
    if not slash:
        return reference
    return rest.partition("/")[0] if resource_type in resource_types else ""


def _matches(context: RequestContext, query: SearchQuery, visit: Visit, resource: Json) -> bool:
    """Return whether a resource meets the criteria that do not select visits by id."""
    if (query.person is not None and visit.person != query.person) or not _has_number(context, query, visit):
        return False
    for name, values in query.criteria:
        match name:
            case "status":
                system = f"http://hl7.org/fhir/{query.resource_type.lower()}-status"
                matches = any(token.matches_code(system, resource["status"]) for token in parse_tokens(values))
            case "class":
                code = resource["class"]["code"]
                matches = any(token.matches_code(ACT_CODE, code) for token in parse_tokens(values))
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
    visit_ids = await _visit_ids(context, query)
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
        if visit.hospital == context.hospital.id and _has_number(context, query, visit)
        for one in _matching_positions(context, query, visit)
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


_PART_KINDS: dict[str, IdentifierKind] = {
    "ChargeItem": "charge",
    "ClaimResponse": "settlement",
    "PaymentNotice": "payment",
}


def _part_identifiers(resource_type: str, visit: Visit) -> list[str]:
    """Return the identifiers of the parts of a visit, in the order of their positions."""
    if resource_type == "ClaimResponse":
        return [one.split.settlement_id for one in visit.hospital_settlements()]
    return [one.id for one in (visit.lines if resource_type == "ChargeItem" else visit.counter_payments)]


def _matching_positions(context: RequestContext, query: SearchQuery, visit: Visit) -> Iterator[tuple[Visit, int]]:
    kind = _PART_KINDS[query.resource_type]
    ids, all_tokens = query.values("_id"), [parse_tokens(values) for values in query.values("identifier")]
    for position, name in enumerate(_part_identifiers(query.resource_type, visit), 1):
        matches_id = all(f"{visit.id}-{position}" in values for values in ids)
        if matches_id and all(
            any(token.matches(context.hospital, kind, name) for token in tokens) for tokens in all_tokens
        ):
            yield visit, position


# ── PaymentReconciliation ──


async def _find_reconciliations(context: RequestContext, query: SearchQuery) -> SearchPage:
    """Return reconciled days, newest first; `identifier` and `created` select a day by its date."""
    store, hospital = context.city.store, context.hospital
    sets = [{parse_token(value).value for value in values} for values in query.values("created")]
    for tokens in (parse_tokens(values) for values in query.values("identifier")):
        days = {token.value for token in tokens if token.matches(hospital, "day", token.value)}
        sets.extend([] if "" in days else [days])
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
    all_tokens = [parse_tokens(values) for values in query.values("identifier")]
    sets.extend([await ids_with(context, EligibilityAnswer, tokens) for tokens in all_tokens if names_values(tokens)])
    sets.extend(set(values) for values in query.values("_id"))
    for values in query.values("request"):
        sets.append({_reference_id(context, value, ("CoverageEligibilityRequest",)) for value in values})
    if sets:
        known = await store.get_many(EligibilityAnswer, sorted(set[str].intersection(*sets)))
        own = [one for one in known.values() if one.hospital == context.hospital.id]
        own = [one for one in own if _matches_request(context, query, one)]
        return SearchPage([build(context, one) for one in own], None, len(own))
    at_least, below = _bounds(context, query, "created")
    order = Order("created_ms", "descending", at_least=at_least, below=below)
    where = {"hospital": context.hospital.id}

    async def read(cursor: str | None, limit: int) -> StorePage:
        page = await store.find(EligibilityAnswer, where, order=order, cursor=cursor, limit=limit)
        matching = [build(context, one) for one in page.documents if _matches_request(context, query, one)]
        return len(page.documents), matching, page.cursor

    return await first_matches(query, read)


def _matches_request(context: RequestContext, query: SearchQuery, answer: EligibilityAnswer) -> bool:
    """Return whether the request has the identifiers and the date of a search."""
    for tokens in (parse_tokens(values) for values in query.values("identifier")):
        number = answer.number
        if number is None or not any(token.matches(context.hospital, "eligibility", number) for token in tokens):
            return False
    return all(
        any(date_range.matches(answer.created_ms) for date_range in _date_ranges(context, "created", values))
        for values in query.values("created")
    )
