"""What the sandboxes of the talent code's registries share: what is true of a person, and how a registry misbehaves."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.talent_code.invention import CHINA
from backend.services.talent_code.ports import Finding
from integrations._sandbox import Books, Outcome

T = TypeVar("T")
E = TypeVar("E", bound=Struct)


class Register(Generic[T]):
    """What a registry answers to one call, of each person: what was set, or else what `invent` makes of an ID number.

    `kind` is what it is kept as; `detail` tells the questions of a call apart that are more than a person's.
    """

    def __init__(self, books: Books, call: str, kind: type[T], invent: Callable[[str], T], detail: str = "") -> None:
        self._books, self._call, self._kind, self._invent = books, call, kind, invent
        self._what = f"{call} {detail}".rstrip()

    def known(self, id_number: str) -> T:
        """Give what is true of a person."""
        return self._books.do(lambda file: self._known(file, id_number))

    def set(self, id_number: str, known: T) -> None:
        """Let this be true of a person from now on."""
        row = (self._what, _digest(self._what, id_number), msgspec.json.encode(known).decode())
        self._books.do(lambda file: file.execute("INSERT OR REPLACE INTO registered VALUES (?, ?, ?)", row))

    async def ask(self, id_number: str) -> tuple[T, Outcome]:
        """Give what is true of a person, and how it is to be answered: `fine`, `pending` or `wrong`.

        Raises Silent or Refused, or waits for ever.
        """

        def work(file: sqlite3.Connection) -> tuple[T, Outcome]:
            return self._known(file, id_number), self._books.outcome(file, self._call)

        known, outcome = await self._books.work(work)
        if outcome == "hang":
            await asyncio.Event().wait()  # until the caller has had enough; neither a thread nor the file is held
        if outcome == "refused":
            raise UpstreamRejected(f"the registry will not say ({self._call})")
        if outcome not in {"fine", "pending", "wrong"}:
            raise UpstreamTimeout(f"the registry does not answer ({self._call})")
        return known, outcome

    def _known(self, file: sqlite3.Connection, id_number: str) -> T:
        row = (self._what, _digest(self._what, id_number))
        set_ = file.execute("SELECT body FROM registered WHERE what = ? AND person = ?", row).fetchone()
        return msgspec.json.decode(set_["body"], type=self._kind) if set_ is not None else self._invent(id_number)


async def confirm(register: Register[tuple[E, ...]], id_number: str, evidence: str, declared: E) -> Finding:
    """Confirm what was declared if it equals something that is true, with instants to the day in UTC+8; else refute it.

    A wrong answer confirms another piece of evidence. Raises Silent or Refused, or waits for ever.
    """
    known, outcome = await register.ask(id_number)
    if outcome == "wrong":
        return Finding(f"not {evidence}", "confirmed")
    if outcome == "pending":
        return Finding(evidence, "pending")
    true = _to_the_day(declared) in map(_to_the_day, known)
    return Finding(evidence, "confirmed" if true else "refuted")


async def tell(register: Register[T], id_number: str, wrong: Callable[[T], T]) -> T:
    """Tell what is true of a person, or something `wrong`. Raises Silent or Refused, or waits for ever."""
    known, outcome = await register.ask(id_number)
    if outcome == "pending":
        raise UpstreamTimeout("the registry is still counting")
    return wrong(known) if outcome == "wrong" else known


def impossible(_figure: int) -> int:
    """Give a figure that can be nobody's."""
    return -1


def _to_the_day(one: Struct) -> tuple[object, ...]:
    values = msgspec.structs.astuple(one)
    days = (value.astimezone(CHINA).date() if isinstance(value, datetime) else value for value in values)
    return (type(one), *days)


def _digest(what: str, id_number: str) -> str:
    return hashlib.sha256(f"{what}\n{id_number}".encode()).hexdigest()
