"""Requests that may be sent again: the first answer is kept under the caller's `Idempotency-Key`, and given again.

As draft-ietf-httpapi-idempotency-key-header has it: a missing key is refused, a known key with another payload too, and
so is one whose first request still runs. Errors are answers like others.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from litestar.params import HeaderParameter
from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.store import Conflict, Document, Duplicate, Index, Store

KEPT_FOR = timedelta(days=2)
MAX_RUN_TIME = timedelta(seconds=60)
"""Whoever has not answered by then was interrupted, and the same request may be carried out again."""

FAULTS_OF_OURS = 500
"""A Problem from here on says to try again later, which the same key may."""

S = TypeVar("S", bound=Struct)

IdempotencyKey = Annotated[
    str, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")
]
"""The header by which a caller names a request, so that it may be sent again."""


class IdempotencyKeyReused(Problem):
    """The Idempotency-Key was used before, for a request with another content."""

    status, title = 422, "Idempotency-Key reused"


class RequestInProgress(Problem):
    """The first request with this Idempotency-Key is still being carried out."""

    status, title = 409, "Request in flight"


class StoredProblem(Struct, frozen=True):
    """A Problem that was answered, so that it can be answered again."""

    kind: str
    detail: Text
    errors: tuple[FieldError, ...]
    members: dict[str, Any]


class IdempotencyRecord(Document, kw_only=True):
    """What was answered to the request with a key; its `id` follows from the caller and the key.

    `payload` is the digest of what was asked. Until there is an answer neither `answer` nor `problem` is there.
    """

    collection: ClassVar[str] = "kept_answers"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    payload: str
    begun_at: datetime
    expires_ms: int
    answer: str | None = None
    problem: StoredProblem | None = None


async def once(
    store: Store, now: datetime, caller: str, key: str, asked: object, kind: type[S], work: Callable[[], Awaitable[S]]
) -> S:
    """Do `work` once for the caller's key, and give its answer, also to whoever asks again.

    `asked` is what the request says. `work` must come out the same when it is repeated after an interruption. Raises
    KeyReused, RequestInFlight, and whatever Problem `work` raised, each time; but one that says to come back later
    is not kept.
    """
    digest = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
    begun = IdempotencyRecord(
        id=hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest(),
        payload=digest,
        begun_at=now,
        expires_ms=int((now + KEPT_FOR).timestamp() * 1_000),
    )
    kept = await _begin(store, begun)
    if kept.answer is not None:
        return msgspec.json.decode(kept.answer, type=kind)
    if kept.problem is not None:
        raise _again(kept.problem)
    try:
        answer = await work()
    except Problem as problem:
        if problem.status >= FAULTS_OF_OURS:
            await store.delete(kept)
            raise
        said = StoredProblem(type(problem).__name__, problem.detail, problem.errors, problem.members)
        await store.replace(replace(kept, problem=said))
        raise
    await store.replace(replace(kept, answer=msgspec.json.encode(answer).decode()))
    return answer


async def _begin(store: Store, begun: IdempotencyRecord) -> IdempotencyRecord:
    """Note that the request runs, or give what is known of it. Raises KeyReused or RequestInFlight."""
    try:
        return await store.insert(begun)
    except Duplicate:
        known = await store.get(IdempotencyRecord, begun.id)
    if known is None:
        raise _in_flight()  # its time ran out just now
    if known.payload != begun.payload:
        raise IdempotencyKeyReused(
            Text(zh="同一幂等键用于不同的请求。", en="This Idempotency-Key was used for another request.")
        )
    if known.answer is None and known.problem is None:
        if begun.begun_at - known.begun_at < MAX_RUN_TIME:
            raise _in_flight()
        try:
            return await store.replace(replace(known, begun_at=begun.begun_at))
        except Conflict:
            raise _in_flight() from None
    return known


def _in_flight() -> RequestInProgress:
    return RequestInProgress(
        Text(zh="相同的请求正在处理，请稍候。", en="The same request is being carried out; ask again in a moment."),
        headers={"Retry-After": "2"},
    )


def _again(said: StoredProblem) -> Problem:
    kinds: dict[str, type[Problem]] = {kind.__name__: kind for kind in _kinds(Problem)}
    return kinds[said.kind](said.detail, errors=said.errors, **said.members)


def _kinds(kind: type[Problem]) -> list[type[Problem]]:
    return [kind, *(below for direct in kind.__subclasses__() for below in _kinds(direct))]
