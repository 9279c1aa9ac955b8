"""Requests that may be repeated: the first answer is stored under the caller's `Idempotency-Key` and returned again.

As in draft-ietf-httpapi-idempotency-key-header, these are refused: a missing key, a known key with another payload, and
a key whose first request is still in progress. A Problem is stored if something was done before it was raised, such as
a payment that the bank declined. A refusal that did nothing is not: the request may succeed once its cause is gone.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from litestar.params import HeaderParameter
from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.store import Conflict, Document, Duplicate, Index, Store
from backend.store.retention import Period, Retention
from backend.store.time import to_ms

MAX_RUN_TIME = timedelta(seconds=60)
"""A request without an answer after this time is considered interrupted; the same request may run again."""

S = TypeVar("S", bound=Struct)

IdempotencyKey = Annotated[
    str, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")
]
"""The header that identifies a request, so that it can be repeated."""


class IdempotencyKeyReused(Problem):
    """The Idempotency-Key was used before, for a request with other content."""

    status, title, title_zh = 422, "Idempotency-Key reused", "提交的内容与之前不同"


class RequestInProgress(Problem):
    """The first request with this Idempotency-Key is still in progress."""

    status, title, title_zh = 409, "Request in progress", "请求正在处理"


ONCE_PROBLEMS = (IdempotencyKeyReused, RequestInProgress)
"""The Problems of a route that takes an Idempotency-Key, besides its own."""


class StoredProblem(Struct, frozen=True):
    """A Problem that was returned as the answer; `kind` is the name of its class."""

    kind: str
    detail: Text
    errors: tuple[FieldError, ...]
    members: dict[str, Any]


class IdempotencyRecord(Document, kw_only=True):
    """The answer to the request with a key; its `id` is derived from the caller and the key.

    `payload` is the digest of the request. Until it is answered, both `answer` and `problem` are None.
    """

    collection: ClassVar[str] = "kept_answers"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each request with an Idempotency-Key",
        ends="when no client repeats the request any more",
        names="nobody",
        ends_at="expires_ms",
        periods=(Period(date(2020, 1, 1), 2, "[A] clients repeat a request for minutes, and people for a day"),),
    )

    payload: str
    started_at: datetime
    expires_ms: int
    answer: str | None = None
    problem: StoredProblem | None = None


async def once(
    store: Store, now: datetime, caller: str, key: str, request: object, kind: type[S], work: Callable[[], Awaitable[S]]
) -> S:
    """Run `work` once for the caller's key and return its answer, including to repeated requests.

    `request` is the content of the request. `work` must have the same outcome if it is repeated after an interruption.
    Raises IdempotencyKeyReused, RequestInProgress, and the Problem that `work` raised: each time if something was done
    before it (`Problem.after_effect`); otherwise a repeated request runs `work` again.
    """
    new_record = IdempotencyRecord(
        id=hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest(),
        payload=hashlib.sha256(msgspec.json.encode(request)).hexdigest(),
        started_at=now,
        expires_ms=to_ms(now + IdempotencyRecord.retention.length(now)),
    )
    record = await _start(store, new_record)
    earlier = _earlier_answer(record, kind)
    if isinstance(earlier, Problem):
        raise earlier
    if earlier is not None:
        return earlier
    try:
        answer = await work()
    except Problem as problem:
        if not problem.after_effect:
            await store.delete(record)
            raise
        stored = StoredProblem(type(problem).__name__, problem.detail, problem.errors, problem.members)
        await store.replace(replace(record, answer=None, problem=stored))
        raise
    await store.replace(replace(record, answer=msgspec.json.encode(answer).decode(), problem=None))
    return answer


async def _start(store: Store, new_record: IdempotencyRecord) -> IdempotencyRecord:
    """Record that a request started, or return its record. Raises IdempotencyKeyReused or RequestInProgress."""
    try:
        return await store.insert(new_record)
    except Duplicate:
        existing = await store.get(IdempotencyRecord, new_record.id)
    if existing is None:
        raise _in_progress()  # it has just expired
    if existing.payload != new_record.payload:
        raise IdempotencyKeyReused(
            Text(
                zh="这次提交与之前的内容不同，请刷新页面后重试。",
                en="This Idempotency-Key was used for another request; please reload the page and try again.",
            )
        )
    if existing.answer is None and existing.problem is None:
        if new_record.started_at - existing.started_at < MAX_RUN_TIME:
            raise _in_progress()
        try:
            return await store.replace(replace(existing, started_at=new_record.started_at))
        except Conflict:
            raise _in_progress() from None
    return existing


def _in_progress() -> RequestInProgress:
    return RequestInProgress(
        Text(zh="相同的请求正在处理，请稍候。", en="The same request is in progress; please try again in a moment."),
        headers={"Retry-After": "2"},
    )


def _earlier_answer(record: IdempotencyRecord, kind: type[S]) -> S | Problem | None:
    """Return the stored answer; None if there is none, or if an earlier edition stored it in another format.

    Earlier editions also stored refusals that did nothing. The work is then repeated, as after an interruption. Renamed
    Problems are handled by a migration of the records.
    """
    if record.problem is not None:
        kinds = {kind.__name__: kind for kind in _problem_classes(Problem)}
        stored = record.problem
        found = kinds.get(stored.kind)
        if found is None or not found.after_effect:
            return None
        return found(stored.detail, errors=stored.errors, **stored.members)
    try:
        return None if record.answer is None else msgspec.json.decode(record.answer, type=kind)
    except msgspec.ValidationError:
        return None


def _problem_classes(kind: type[Problem]) -> list[type[Problem]]:
    return [kind, *(subclass for direct in kind.__subclasses__() for subclass in _problem_classes(direct))]
