"""Shared parts of the sandboxes of the talent code's registries: a person's record, and faulty answers."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.talent_code.ports import Finding
from backend.services.talent_code.synthetic import CHINA_TIME
from integrations._sandbox.database import CallOutcome, SandboxDatabase

T = TypeVar("T")
E = TypeVar("E", bound=Struct)


class SandboxRegistry(Generic[T]):
    """The records behind one call of a registry: those set for a person, or else derived by `synthesize`.

    `synthesize` takes an ID number; `kind` is the stored type. `detail` distinguishes the queries of a call with
    further parameters.
    """

    def __init__(
        self, database: SandboxDatabase, call: str, kind: type[T], synthesize: Callable[[str], T], detail: str = ""
    ) -> None:
        self._database, self._call, self._kind, self._synthesize = database, call, kind, synthesize
        self._key = f"{call} {detail}".rstrip()

    def known(self, id_number: str) -> T:
        """Return the record of a person."""
        return self._database.do(lambda connection: self._known(connection, id_number))

    def set(self, id_number: str, known: T) -> None:
        """Set the record of a person."""
        row = (self._key, _digest(self._key, id_number), msgspec.json.encode(known).decode())
        self._database.do(
            lambda connection: connection.execute("INSERT OR REPLACE INTO registered VALUES (?, ?, ?)", row)
        )

    async def ask(self, id_number: str) -> tuple[T, CallOutcome]:
        """Return the record of a person, and the outcome to answer with: `fine`, `pending` or `wrong`.

        Raises UpstreamTimeout or UpstreamRejected, or waits forever.
        """

        def work(connection: sqlite3.Connection) -> tuple[T, CallOutcome]:
            return self._known(connection, id_number), self._database.outcome(connection, self._call)

        known, outcome = await self._database.work(work)
        if outcome == "hang":
            await asyncio.Event().wait()  # until the caller's timeout; it holds neither a thread nor the file
        if outcome == "refused":
            raise UpstreamRejected(f"the registry rejected the query ({self._call})")
        if outcome not in {"fine", "pending", "wrong"}:
            raise UpstreamTimeout(f"the registry does not answer ({self._call})")
        return known, outcome

    def _known(self, connection: sqlite3.Connection, id_number: str) -> T:
        row = (self._key, _digest(self._key, id_number))
        stored = connection.execute("SELECT body FROM registered WHERE what = ? AND person = ?", row).fetchone()
        return (
            msgspec.json.decode(stored["body"], type=self._kind) if stored is not None else self._synthesize(id_number)
        )


async def confirm(registry: SandboxRegistry[tuple[E, ...]], id_number: str, evidence: str, declared: E) -> Finding:
    """Confirm a declaration that equals a record, comparing instants by day in UTC+8; refute any other.

    A wrong answer confirms other evidence. Raises UpstreamTimeout or UpstreamRejected, or waits forever.
    """
    known, outcome = await registry.ask(id_number)
    if outcome == "wrong":
        return Finding(f"not {evidence}", "confirmed")
    if outcome == "pending":
        return Finding(evidence, "pending")
    is_confirmed = _to_the_day(declared) in map(_to_the_day, known)
    return Finding(evidence, "confirmed" if is_confirmed else "refuted")


async def answer(registry: SandboxRegistry[T], id_number: str, wrong: Callable[[T], T]) -> T:
    """Return the record of a person, or a `wrong` one. Raises UpstreamTimeout or UpstreamRejected, or waits forever."""
    known, outcome = await registry.ask(id_number)
    if outcome == "pending":
        raise UpstreamTimeout("the registry has not decided yet")
    return wrong(known) if outcome == "wrong" else known


def impossible(_figure: int) -> int:
    """Return a number that no registry would report, as a wrong answer."""
    return -1


def _to_the_day(record: Struct) -> tuple[object, ...]:
    values = msgspec.structs.astuple(record)
    days = (value.astimezone(CHINA_TIME).date() if isinstance(value, datetime) else value for value in values)
    return (type(record), *days)


def _digest(key: str, id_number: str) -> str:
    return hashlib.sha256(f"{key}\n{id_number}".encode()).hexdigest()
