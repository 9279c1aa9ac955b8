"""Sagas: multi-step processes that survive any crash.

A saga is a document, a pure decision on its next step, and a table of steps. The engine here does the rest: it passes
the document from step to step without reading it again, writes it at most once per step, retries after a conflict,
waits longer after each failure of an upstream, and sweeps documents that are due.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backend.jobs.tasks import MAX_SWEEP_SECONDS, JobQueue, Task, TaskReference, background
from backend.store import Conflict, Document, Index, Store
from backend.store.due import Due, drain
from backend.store.in_hand import renew_in_hand
from backend.store.update import insert_or_get, update_document

MAX_STEPS = 60
"""A run that has not finished after this many steps stops; the next sweep resumes it."""

MAX_CONFLICTS = 20
MIN_BACKOFF, MAX_BACKOFF = timedelta(seconds=5), timedelta(hours=1)

DUE = Index((), ordered="due_ms")
"""The index by which sweeps find due documents."""

_log = logging.getLogger("chengma.saga")


class SagaDocument(Document, kw_only=True):
    """A document that a saga advances. `failures` counts failed attempts since the last success.

    `due_ms` is when a sweep resumes it, None if nothing is left to do. A subclass declares the index `DUE`.
    """

    failures: int = 0
    due_ms: int | None = None


class SagaContext(Protocol):
    """The part of a City that a saga needs."""

    @property
    def store(self) -> Store:
        """The store of documents."""
        ...

    @property
    def jobs(self) -> JobQueue:
        """The queue of background work."""
        ...

    def now(self) -> datetime:
        """Return the current instant."""
        ...


def backoff(failures: int) -> timedelta:
    """Return how long a document with this many failures waits before its next attempt."""
    return min(MIN_BACKOFF * 2 ** min(failures, 10), MAX_BACKOFF)


C = TypeVar("C", bound=SagaContext)
D = TypeVar("D", bound=SagaDocument)
T = TypeVar("T")
S = TypeVar("S", bound=Hashable)

Effect = Callable[[C, D, datetime], Awaitable[D | None]]
"""A step that may be repeated: it returns the document after it, or None if it has deleted the document."""


class Decision(Struct, Generic[D, T], frozen=True):
    """A step that only changes the document. It needs no write of its own."""

    decide: Callable[[D, datetime, T], D]


class Request(Struct, Generic[C, D, T], frozen=True):
    """A step that stores a request and then sends it to an upstream.

    `prepare` returns the document with the request. `send` sends it and returns the document with the answer. After a
    conflict it is called again with the document as now stored, so it must change nothing if the request is no longer
    open. If the upstream does not answer, the stored request is looked up when the document is due.
    """

    prepare: Callable[[D, datetime, T], D]
    send: Effect[C, D]


Action = Effect[C, D] | Decision[D, T] | Request[C, D, T]


class Saga(Struct, Generic[C, D, T, S], frozen=True, kw_only=True):
    """The engine of one kind of document.

    `next_step(document, now, terms)` decides and `steps` does. `schedule(document, now, terms)` returns the document
    with `due_ms` set, or the same object if nothing changes. `terms(context, now)` returns what both depend on. An
    exception in `unavailable` postpones the document; one in `retried` is handled like a conflict. `task` runs the
    saga of one document, by its id.
    """

    kind: type[D]
    next_step: Callable[[D, datetime, T], S | None]
    schedule: Callable[[D, datetime, T], D]
    terms: Callable[[C, datetime], T]
    steps: Mapping[S, Action[C, D, T]]
    task: TaskReference
    unavailable: tuple[type[Exception], ...] = ()
    retried: tuple[type[Exception], ...] = ()

    async def start(self, context: C, document: D) -> D:
        """Store a new document, so that a sweep resumes its saga; or return the stored one if the id is taken."""
        now = context.now()
        return await insert_or_get(context.store, self.schedule(document, now, self.terms(context, now)))

    async def resume(self, context: C, document_id: str) -> D | None:
        """Do the due steps of a document. Returns it, or None for an unknown id. Raises Conflict, as `run` does."""
        document = await context.store.get(self.kind, document_id)
        return None if document is None else await self.run(context, document)

    async def run(self, context: C, document: D, request: Request[C, D, T] | Decision[D, T] | None = None) -> D | None:
        """Do `request`, if somebody requests or decides something now, and then the due steps of a stored document.

        `prepare` or `decide` returns the same object if it was already done. Returns the document, or None if a
        step deleted it. If an upstream does not answer, the document is postponed. Raises Conflict if others keep
        changing the document, and whatever the steps raise.
        """
        unsent: Request[C, D, T] | None = None
        conflicts = 0
        for _ in range(MAX_STEPS):
            try:
                effect = self._effect(context, document, unsent, request)
                changed = await effect(context, document, context.now()) if effect is not None else document
                if changed is None:
                    return None
                prepared, following = self._prepare(context, changed, request)
                stored = await self._store(context, document, prepared)
            except (Conflict, *self.retried):
                conflicts += 1
                if conflicts > MAX_CONFLICTS:
                    raise Conflict(self.kind.collection, document.id, document.revision) from None
                await asyncio.sleep(random.uniform(0, 0.002 * conflicts))  # noqa: S311  jitter, not security
                found = await context.store.get(self.kind, document.id)
                if found is None:
                    return None
                document = found
            except self.unavailable as error:
                _log.warning("a step of %s/%s is postponed: %s", self.kind.collection, document.id, error)
                return document if unsent is not None else await self._postpone(context, document)
            else:
                if effect is None and prepared is document and request is None:
                    return stored
                document, unsent, request = stored, following, None
        _log.warning("%s/%s is left to the next sweep after %d steps", self.kind.collection, document.id, MAX_STEPS)
        return document

    def _effect(
        self,
        context: C,
        document: D,
        unsent: Request[C, D, T] | None,
        request: Request[C, D, T] | Decision[D, T] | None,
    ) -> Effect[C, D] | None:
        """Return the effect that is due now; None if a decision, a request or nothing is due."""
        if unsent is not None or request is not None:
            return unsent.send if unsent is not None else None
        now = context.now()
        step = self.next_step(document, now, self.terms(context, now))
        action = self.steps[step] if step is not None else None
        return None if action is None or isinstance(action, Decision | Request) else action

    def _prepare(
        self, context: C, document: D, request: Request[C, D, T] | Decision[D, T] | None
    ) -> tuple[D, Request[C, D, T] | None]:
        """Apply the decisions that are due; return the prepared request, if one follows, to send once it is stored.

        Nothing outside is called between them, so one write stores them all, with the result of the step before.
        """
        now = context.now()
        terms = self.terms(context, now)
        if isinstance(request, Decision):
            return request.decide(document, now, terms), None
        if request is not None:
            prepared = request.prepare(document, now, terms)
            return prepared, request if prepared is not document else None
        for _ in range(MAX_STEPS):
            step = self.next_step(document, now, terms)
            action = self.steps[step] if step is not None else None
            match action:
                case Decision():
                    document = action.decide(document, now, terms)
                case Request():
                    return action.prepare(document, now, terms), action
                case _:
                    break
        return document, None

    async def _store(self, context: C, before: D, after: D) -> D:
        now = context.now()
        scheduled = self.schedule(after, now, self.terms(context, now))
        if scheduled is before:
            return before
        stored = await context.store.replace(scheduled)
        renew_in_hand(context.store, stored)
        return stored

    async def _postpone(self, context: C, document: D) -> D | None:
        """Count a failure; the document is due again later, after a wait that doubles each time.

        If it has changed since it was read, no failure is counted, and it is due as that change decided.
        """

        def failed(found: D, _now: datetime) -> D:
            return replace(found, failures=found.failures + 1) if found.revision == document.revision else found

        return await self.update(context, document.id, failed)

    async def update(self, context: C, document_id: str, change: Callable[[D, datetime], D]) -> D | None:
        """Change a stored document and schedule it; `change` returns the same object if nothing changes.

        Returns None for an unknown id. Raises Conflict if others keep changing it, and whatever `change` raises.
        """

        def changed(document: D) -> D:
            now = context.now()
            after = change(document, now)
            return document if after is document else self.schedule(after, now, self.terms(context, now))

        return await update_document(context.store, lambda: context.store.get(self.kind, document_id), changed)

    # ── sweeps ──

    def due(self) -> Due[D]:
        """Return what the sweep processes."""
        return Due(self.kind, "due_ms")

    async def sweep(self, context: C) -> None:
        """Do the due steps of all documents that are due now, as `drain` does, also in several processes at once.

        A document whose steps raise is left to the job queue, which retries it and finally makes it a dead letter.
        """

        async def run(document: D) -> None:
            await self.run(context, document)

        async def leave(document: D) -> None:
            await self.task.enqueue_once(context.jobs, document.id)

        await drain(context, self.due(), run, leave)


def saga_tasks(saga: Saga[Any, Any, Any, Any], sweep: str, every: timedelta) -> tuple[Task[[str]], Task[[]]]:
    """Return the background work of a saga: its `task` for one document, and the sweep of this name for all."""

    async def resume(context: SagaContext, document_id: str) -> None:
        await saga.resume(context, document_id)

    service = saga.task.name.partition(".")[0]
    make_sweep = background(f"{service}.{sweep}", every=every, max_seconds=MAX_SWEEP_SECONDS, due=(saga.due(),))
    return background(saga.task.name)(resume), make_sweep(saga.sweep)
