"""Bundles: a batch is many interactions, a transaction is all of them or none as far as one visit goes."""

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar, cast
from urllib.parse import parse_qsl, unquote

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import EditConflict, FieldError, Problem
from backend.store import Conflict
from integrations.his.fhir import kinds as fhir_kinds
from integrations.his.fhir.exchange import Answer, Asked, Desk, Json, etag
from integrations.his.fhir.interactions import CHANGES, ENQUIRY, READERS, existing, perform, permit, resource_of
from integrations.his.fhir.outcome import InvalidResource, outcome, told, unprocessable
from integrations.his.fhir.reading import Write
from integrations.his.fhir.references import OF_A_VISIT, References, Target, dicts, identifier_of, target_of_number
from integrations.his.fhir.writing import AT_A_TIME, write

T = TypeVar("T")

MAX_ENTRIES = 1_000
_ORDER = ("Encounter", "Account", "ChargeItem", "PaymentNotice")
"""What is created first: nothing is told of a visit before it is opened."""


class Entry(Struct, frozen=True):
    """An entry of a bundle: its place, what it is called in the bundle, and what it asks for."""

    place: int
    full_url: str
    asked: Asked


class Said(Struct, frozen=True):
    """How the answers of a bundle are wanted."""

    returned: str
    language: str
    request_id: str


async def answer_bundle(desk: Desk, body: Json, said: Said) -> Json:
    """Carry out a bundle, and give the Bundle of the answers, in the order of its entries.

    Raises InvalidResource, and for a transaction the Problem of the first entry that cannot be carried out.
    """
    kind = body.get("type")
    if body.get("resourceType") != "Bundle" or kind not in ("batch", "transaction"):
        raise _invalid("Bundle.type", "The body must be a Bundle of the type batch or transaction.")
    entries = body.get("entry", [])
    if not isinstance(entries, list) or len(cast("list[object]", entries)) > MAX_ENTRIES:
        raise _invalid("Bundle.entry", f"A bundle has {MAX_ENTRIES:,} entries at most.")
    listed = cast("list[object]", entries)
    if kind == "transaction":
        answers = await _transaction(desk, [_entry(desk, place, one) for place, one in enumerate(listed)])
        shown = [_answered(answer, said) for answer in answers]
    else:
        shown = [await _one_of_batch(desk, place, one, said) for place, one in enumerate(listed)]
    bundle: Json = {"resourceType": "Bundle", "type": f"{kind}-response"}
    return bundle | {"entry": shown} if shown else bundle


def _entry(desk: Desk, place: int, given: object) -> Entry:
    """Read an entry. Raises InvalidResource."""
    entry = cast("Json", given) if isinstance(given, dict) else {}
    request = entry.get("request")
    request = cast("Json", request) if isinstance(request, dict) else {}
    texts = {name: request.get(name) for name in ("method", "url", "ifMatch", "ifNoneMatch", "ifNoneExist")}
    url, method, full_url = texts["url"], texts["method"], entry.get("fullUrl", "")
    optional = (texts["ifMatch"], texts["ifNoneMatch"], texts["ifNoneExist"])
    if not isinstance(url, str) or not isinstance(method, str) or not isinstance(full_url, str):
        raise _invalid("Bundle.entry.request", "An entry has a request with a method and a url.", place)
    if not all(text is None or isinstance(text, str) for text in optional):
        raise _invalid("Bundle.entry.request", "The conditions of a request are texts.", place)
    path, _, query = url.removeprefix(desk.base).removeprefix("/").partition("?")
    kind, _, rest = path.partition("/")
    resource = entry.get("resource")
    asked = Asked(
        method=method.upper(),
        kind=kind,
        id=unquote(rest) or None,
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        body=cast("Json", resource) if isinstance(resource, dict) else None,
        if_match=texts["ifMatch"],
        if_none_match=texts["ifNoneMatch"],
        if_none_exist=texts["ifNoneExist"],
    )
    return Entry(place, full_url, asked)


def _invalid(expression: str, said: str, place: int | None = None) -> InvalidResource:
    text = Text(zh="Bundle 格式不正确。", en=said)
    problem = InvalidResource(text, errors=(FieldError(expression, said),))
    if place is not None:
        problem.members["entry"] = place
    return problem


# ── batch ──


async def _one_of_batch(desk: Desk, place: int, given: object, said: Said) -> Json:
    """Carry out one entry; what is wrong with it is said in its place, and the others go on."""
    if place % AT_A_TIME == 0:
        await asyncio.sleep(0)
    try:
        return _answered(await perform(desk, _entry(desk, place, given).asked), said)
    except Problem as problem:
        return _refused(problem, said)
    except Conflict:
        return _refused(EditConflict(Text(zh="请重试。", en="It was changed meanwhile; try again.")), said)


def _refused(problem: Problem, said: Said) -> Json:
    response = {
        "status": _status(problem.status),
        "outcome": outcome(problem, said.language, said.request_id),
    }
    return {"response": response}


# ── transaction ──


async def _transaction(desk: Desk, entries: Sequence[Entry]) -> list[Answer]:
    """Carry out all entries: first what creates, then what updates, then what reads."""
    for entry in entries:
        _named(entry, lambda asked: permit(desk, asked))
    changes = [entry for entry in entries if entry.asked.method == "PUT"]
    if len({(entry.asked.kind, entry.asked.id) for entry in changes}) < len(changes):
        raise _invalid("Bundle.entry", "A transaction updates each resource once at most.")
    creations = sorted((entry for entry in entries if entry.asked.method == "POST"), key=_rank)
    references, known = await _resolve(desk, creations)
    writes = [
        (entry.place, _read(desk, entry, references)) for entry in (*creations, *changes) if entry.place not in known
    ]
    done = await write(desk, writes)
    answers: dict[int, Answer] = {}
    for count, ((place, one), written) in enumerate(zip(writes, done, strict=True), 1):
        if count % AT_A_TIME == 0:
            await asyncio.sleep(0)
        resource = fhir_kinds.shown_of(one.kind, desk, written.visit, written.id)
        created = entries[place].asked.method == "POST"
        location = f"{desk.base}/{one.kind}/{written.id}" if created else None
        answers[place] = Answer(201 if created and written.new else 200, resource, location)
    for place, resource in known.items():
        answers[place] = Answer(200, resource, f"{desk.base}/{resource['resourceType']}/{resource['id']}")
    for entry in entries:
        if entry.asked.method == "GET":
            answers[entry.place] = await perform(desk, entry.asked)
    return [answers[entry.place] for entry in entries]


def _rank(entry: Entry) -> tuple[int, bool]:
    """Order what is created: a credit comes after its charge."""
    kind = entry.asked.kind
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), bool(dicts(entry.asked.body, "partOf")))


async def _resolve(desk: Desk, creations: Sequence[Entry]) -> tuple[References, dict[int, Json]]:
    """Give what the full URLs stand for, and what `ifNoneExist` has found to be there already."""
    references: dict[str, Target] = {}
    known: dict[int, Json] = {}
    for entry in creations:
        if entry.asked.kind == ENQUIRY:
            text = Text(zh="请单独询问额度。", en="Ask for eligibility by itself, or in a batch.")
            raise _of_entry(entry, unprocessable(ENQUIRY, text, "not-supported"))
        body = _named(entry, resource_of)
        target = _target(desk, entry.asked.kind, body)
        if entry.asked.if_none_exist is not None:
            found = await _existing(desk, entry, body, references)
            if found is not None:
                known[entry.place] = found
                target = _target_of(found)
        if entry.full_url and target is not None:
            if entry.full_url in references:
                raise _invalid("Bundle.entry.fullUrl", "Two entries have the same fullUrl.", entry.place)
            references[entry.full_url] = target
    return references, known


async def _existing(desk: Desk, entry: Entry, body: Json, references: References) -> Json | None:
    try:
        wanted = READERS[entry.asked.kind](desk, body, references)
        return await existing(desk, entry.asked, wanted.visit)
    except Problem as problem:
        raise _of_entry(entry, problem) from None


def _target(desk: Desk, kind: str, body: Json) -> Target | None:
    """Give what a resource that is to be created will be known by, even before it is there."""
    if kind in OF_A_VISIT:
        number = identifier_of(body, desk.system("visit"))
        return None if number is None else target_of_number(desk, number, kind)
    line = identifier_of(body, desk.system("charge"))
    return Target(kind, "", line=line) if kind == "ChargeItem" and line is not None else None


def _target_of(resource: Json) -> Target:
    kind, key = resource["resourceType"], resource["id"]
    if kind in OF_A_VISIT:
        return Target(kind, key, resource["identifier"][0]["value"])
    return Target(kind, "", line=resource["identifier"][0]["value"])


def _read(desk: Desk, entry: Entry, references: References) -> Write:
    asked = entry.asked
    try:
        body = resource_of(asked)
        if asked.id is None:
            return READERS[asked.kind](desk, body, references)
        return replace(CHANGES[asked.kind](desk, asked.id, body, references), if_match=asked.if_match)
    except Problem as problem:
        raise _of_entry(entry, problem) from None


def _of_entry(entry: Entry, problem: Problem) -> Problem:
    problem.members["entry"] = entry.place
    return problem


def _named(entry: Entry, work: Callable[[Asked], T]) -> T:
    """Do something with what an entry asks for; what is wrong with it is said of the entry."""
    try:
        return work(entry.asked)
    except Problem as problem:
        raise _of_entry(entry, problem) from None


# ── answers ──


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _answered(answer: Answer, said: Said) -> Json:
    response: Json = {"status": _status(answer.status)}
    if answer.location is not None:
        response["location"] = answer.location
    resource = answer.resource
    entry: Json = {"response": response}
    if resource is None or resource["resourceType"] == "Bundle":
        return entry if resource is None else {"resource": resource, **entry}
    response["etag"] = etag(resource)
    response["lastModified"] = resource["meta"]["lastUpdated"]
    if said.returned == "OperationOutcome":
        response["outcome"] = told(Text(zh="完成。", en="Done."), said.language)
    elif said.returned != "minimal" or answer.location is None:
        return {"resource": resource, **entry}
    return entry
