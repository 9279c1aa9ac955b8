"""Finding a hospital's own resources."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.services.medical_credit.eligibility import find_person
from backend.services.medical_credit.model.connection import EligibilityAnswer, eligibility_id
from backend.services.medical_credit.model.reconciliation import Reconciliation, reconciliation_id
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.store import Order
from integrations.his.fhir.exchange import Desk, Json
from integrations.his.fhir.kinds import ELIGIBILITY, RECONCILIATION, visit_id_of
from integrations.his.fhir.query import SECRET, Query, Span, invalid, links, span_of, token
from integrations.his.fhir.reconciliation import payment_reconciliation
from integrations.his.fhir.references import OF_A_VISIT
from integrations.his.fhir.resources import account, charge_item, encounter, invoice, payment_notice
from integrations.his.mapping import instant_of

MAX_PAGES = 20
"""How many pages of the store are looked through for one page of an answer."""

MAX_COUNTED = 5_000
NOBODY = ""


class Found(Struct, frozen=True):
    """A page of resources, where the next begins, and how many there are in all, if that is known."""

    resources: list[Json]
    cursor: str | None = None
    total: int | None = None


async def search(desk: Desk, query: Query) -> Json:
    """Give a page of what a search finds, as a Bundle. Raises InvalidSearch."""
    if query.person is None and query.values(SECRET):
        query = await _with_person(desk, query)
    if query.counts_only:
        total = await _count(desk, query)
        return {"resourceType": "Bundle", "type": "searchset", "total": total, "link": links(desk, query, None)}
    found = await find(desk, query)
    following = None if found.cursor is None else replace(query, cursor=found.cursor)
    bundle: Json = {"resourceType": "Bundle", "type": "searchset"}
    if found.total is not None:
        bundle["total"] = found.total
    bundle["link"] = links(desk, query, following)
    if found.resources:
        bundle["entry"] = [
            {
                "fullUrl": f"{desk.base}/{query.kind}/{resource['id']}",
                "resource": resource,
                "search": {"mode": "match"},
            }
            for resource in found.resources
        ]
    return bundle


async def find(desk: Desk, query: Query, within: str | None = None) -> Found:
    """Give a page of resources; `within` is the visit meant where a search names none. Raises InvalidSearch."""
    if query.kind in ELIGIBILITY:
        return await _answers(desk, query)
    if query.kind == RECONCILIATION:
        return await _days(desk, query)
    if query.kind in OF_A_VISIT:
        return await _visits(desk, query)
    return await _parts(desk, query, within)


async def _with_person(desk: Desk, query: Query) -> Query:
    """Find whom an ID number means once, and then go on with their Profile: no link carries the number."""
    people: set[str] = {NOBODY}
    for values in query.values(SECRET):
        named = {await find_person(desk.city, token(value)) or NOBODY for value in values}
        people = named if people == {NOBODY} else people & named
    kept = tuple((name, values) for name, values in query.given if name != SECRET)
    if len(people) > 1:
        raise invalid(SECRET, Text(zh="一次查询一名患者。", en="Ask for one patient at a time."))
    return replace(query, given=kept, person=people.pop() if people else NOBODY)


async def _count(desk: Desk, query: Query) -> int:
    total, asked = 0, replace(query, counts_only=False, count=100)
    while True:
        found = await find(desk, asked)
        total += len(found.resources)
        if found.cursor is None:
            return total
        if total >= MAX_COUNTED:
            raise invalid(
                "_count", Text(zh="数量过多，请缩小范围。", en="There are too many to count; narrow the search.")
            )
        asked = replace(asked, cursor=found.cursor)


# ── what visits are shown as ──


def _shown(kind: str) -> Callable[[Desk, Visit], Json]:
    if kind == "Invoice":
        return lambda desk, visit: invoice(desk, visit, whole=False)
    return encounter if kind == "Encounter" else account


async def _visits(desk: Desk, query: Query) -> Found:
    show, keys = _shown(query.kind), _keys(desk, query)
    if keys is not None:
        known = await desk.city.store.get_many(Visit, sorted(keys))
        own = sorted(known.values(), key=lambda visit: (visit.opened_ms, visit.id))
        shown = [(visit, show(desk, visit)) for visit in own if visit.hospital == desk.hospital.id]
        resources = [one for visit, one in shown if _fits(desk, query, visit, one)]
        return Found(resources, None, len(resources))
    cursor, found = query.cursor, list[Json]()
    for _ in range(MAX_PAGES):
        visits, cursor = await _page(desk, query, cursor)
        shown = [(visit, show(desk, visit)) for visit in visits if visit.hospital == desk.hospital.id]
        found.extend(one for visit, one in shown if _fits(desk, query, visit, one))
        if found or cursor is None:
            break
    return Found(found, cursor, len(found) if cursor is None and query.cursor is None else None)


async def _page(desk: Desk, query: Query, cursor: str | None) -> tuple[Sequence[Visit], str | None]:
    store = desk.city.store
    if query.person is not None:
        if query.person == NOBODY:
            return [], None
        by_opening = Order("opened_ms", "descending")
        page = await store.find(Visit, {"person": query.person}, order=by_opening, cursor=cursor, limit=query.count)
        return page.documents, page.cursor
    name, field = "date", "settled_ms" if query.kind == "Invoice" and query.values("date") else "opened_ms"
    if query.values("_lastUpdated") or query.sort.endswith("_lastUpdated"):
        name, field = "_lastUpdated", "changed_ms"
    at_least, below = _bounds(desk, query, name) if field != "opened_ms" or query.kind == "Encounter" else (None, None)
    rising = bool(query.sort) and not query.sort.startswith("-")
    order = Order(
        field,
        "ascending" if rising else "descending",
        at_least=0 if at_least is None and field == "settled_ms" else at_least,
        below=below,
    )
    page = await store.find(Visit, {"hospital": desk.hospital.id}, order=order, cursor=cursor, limit=query.count)
    return page.documents, page.cursor


def _bounds(desk: Desk, query: Query, name: str) -> tuple[int | None, int | None]:
    """Give the interval in which all that a date allows lies; of several alternatives none narrows it."""
    lows, highs = list[int](), list[int]()
    for values in query.values(name):
        if len(values) == 1:
            low, high = span_of(name, values[0], desk.zone).bounds()
            lows.extend([] if low is None else [low])
            highs.extend([] if high is None else [high])
    return max(lows, default=None), min(highs, default=None)


def _keys(desk: Desk, query: Query) -> set[str] | None:
    """Give the ids of the visits that a search names, or None where it names none."""
    sets = list(_named(desk, query))
    return None if not sets else set[str].intersection(*sets)


def _named(desk: Desk, query: Query) -> Iterator[set[str]]:
    numbers = ["context.identifier", "account.identifier", "request.identifier"]
    numbers.extend(["identifier"] if query.kind in OF_A_VISIT else [])
    for name in numbers:
        for values in query.values(name):
            yield {visit_id(desk.hospital.id, token(value)) for value in values}
    for values in query.values("_id"):
        yield {visit_id_of(query.kind, value) for value in values}
    for name in ("context", "account", "request"):
        for values in query.values(name):
            yield {_key(desk, value) for value in values}


def _key(desk: Desk, reference: str) -> str:
    return reference.removeprefix(desk.base + "/").rpartition("/")[2]


def _fits(desk: Desk, query: Query, visit: Visit, resource: Json) -> bool:
    """Tell whether a resource has all that is asked for beside its visit."""
    if query.person is not None and visit.person != query.person:
        return False
    for name, values in query.given:
        match name:
            case "status":
                fits = resource["status"] in map(token, values)
            case "class":
                fits = resource["class"]["code"] in map(token, values)
            case "date":
                fits = _fits_date(desk, name, values, resource)
            case "_lastUpdated":
                fits = any(span.holds(visit.changed_ms) for span in _spans(desk, name, values))
            case _:
                fits = True
        if not fits:
            return False
    return True


def _fits_date(desk: Desk, name: str, values: Sequence[str], resource: Json) -> bool:
    """Compare the day on which a visit began, or a bill was made."""
    spans = _spans(desk, name, values)
    told = resource["period"]["start"] if resource["resourceType"] == "Encounter" else resource.get("date")
    if told is None:
        return False
    at = int(instant_of(told, desk.zone, "at").timestamp() * 1_000)
    return any(span.holds(at) for span in spans)


def _spans(desk: Desk, name: str, values: Sequence[str]) -> list[Span]:
    return [span_of(name, value, desk.zone) for value in values]


# ── what lies in visits ──


async def _parts(desk: Desk, query: Query, within: str | None) -> Found:
    keys = _keys(desk, query)
    if keys is None:
        if within is None:
            names = ("context", "account") if query.kind == "ChargeItem" else ("request",)
            text = Text(zh="请指明所属就诊。", en=f"Name the visit too, by {' or '.join(names)}.")
            raise invalid(names[0], text, "too-costly")
        keys = {within}
    known = await desk.city.store.get_many(Visit, sorted(keys))
    found = [
        one
        for visit in sorted(known.values(), key=lambda visit: (visit.opened_ms, visit.id))
        if visit.hospital == desk.hospital.id
        for one in _places(query, visit)
    ]
    begin = int(query.cursor or 0)
    end = begin + query.count
    show = charge_item if query.kind == "ChargeItem" else payment_notice
    resources = [show(desk, visit, place) for visit, place in found[begin:end]]
    return Found(resources, str(end) if end < len(found) else None, len(found))


def _places(query: Query, visit: Visit) -> Iterator[tuple[Visit, int]]:
    names = [one.id for one in (visit.lines if query.kind == "ChargeItem" else visit.counter_payments)]
    ids, named = query.values("_id"), query.values("identifier")
    for place, name in enumerate(names, 1):
        wanted = all(f"{visit.id}-{place}" in values for values in ids)
        if wanted and all(name in map(token, values) for values in named):
            yield visit, place


# ── days ──


async def _days(desk: Desk, query: Query) -> Found:
    """Give days that were compared, the newest first; a day is named by its date, as identifier or as `created`."""
    store, hospital = desk.city.store, desk.hospital
    sets = [{token(value) for value in values} for name in ("identifier", "created") for values in query.values(name)]
    if sets or query.values("_id"):
        ids = [{_day_id(desk, day) for day in days} for days in sets]
        ids.extend(set(values) for values in query.values("_id"))
        known = await store.get_many(Reconciliation, sorted(set[str].intersection(*ids)))
        own = [one for one in known.values() if one.hospital == hospital.id]
        return Found([payment_reconciliation(one, hospital) for one in own], None, len(own))
    newest = Order("day", "descending")
    where = {"hospital": hospital.id}
    page = await store.find(Reconciliation, where, order=newest, cursor=query.cursor, limit=query.count)
    resources = [payment_reconciliation(one, hospital) for one in page.documents]
    return Found(resources, page.cursor, len(resources) if page.cursor is None and query.cursor is None else None)


def _day_id(desk: Desk, text: str) -> str:
    try:
        return reconciliation_id(desk.hospital.id, date.fromisoformat(text.removeprefix("eq")))
    except ValueError:
        raise invalid("created", Text(zh="请给出日期，如 2026-01-31。", en="Name a day, such as 2026-01-31.")) from None


# ── eligibility ──


async def _answers(desk: Desk, query: Query) -> Found:
    show, sets, store = ELIGIBILITY[query.kind], list[set[str]](), desk.city.store
    for values in query.values("identifier"):
        sets.append({eligibility_id(desk.hospital.id, token(value)) for value in values})
    for name in ("_id", "request"):
        sets.extend({_key(desk, value) for value in values} for values in query.values(name))
    if sets:
        known = await store.get_many(EligibilityAnswer, sorted(set[str].intersection(*sets)))
        own = [one for one in known.values() if one.hospital == desk.hospital.id]
        own = [one for one in own if _was_made(desk, query, one)]
        return Found([show(desk, one) for one in own], None, len(own))
    at_least, below = _bounds(desk, query, "created")
    order = Order("created_ms", "descending", at_least=at_least, below=below)
    where = {"hospital": desk.hospital.id}
    page = await store.find(EligibilityAnswer, where, order=order, cursor=query.cursor, limit=query.count)
    resources = [show(desk, one) for one in page.documents if _was_made(desk, query, one)]
    whole = page.cursor is None and query.cursor is None
    return Found(resources, page.cursor, len(resources) if whole else None)


def _was_made(desk: Desk, query: Query, answer: EligibilityAnswer) -> bool:
    return all(
        any(span.holds(answer.created_ms) for span in _spans(desk, "created", values))
        for values in query.values("created")
    )
