"""The sandbox of identity proofing: registers that know the invented city.

The register of the population knows the name of everybody in it; it accepts any name for numbers of the real world, of
which a sandbox can know nothing. The carrier knows the phones of the invented city; any other phone belongs to
the person who proves an identity with it. A face, or a card, is genuine if it is the one that follows from the number.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from datetime import date
from typing import TypeVar

import msgspec

from backend.city.invented_people import invented_face, invented_name, invented_place, is_invented, place_of_phone
from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.account.ports import Identity, Presence
from backend.settings import Settings
from integrations._sandbox.database import CallOutcome, SandboxDatabase

T = TypeVar("T")
CARD_DIGITS = 12


def card_of(document: str) -> str:
    """Return the number of the bank card that the sandbox's bank issued to the holder of a document, as text."""
    digits = int(hashlib.sha256(f"card\n{document}".encode()).hexdigest(), 16) % 10**CARD_DIGITS
    return f"6214{digits:0{CARD_DIGITS}d}"


class SandboxIdentityProofing:
    """Knows the invented city, and what tests and developers have put on record in addition."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database

    async def agrees(self, identity: Identity) -> bool:
        """Return whether name, document and phone are of one person. Raises UpstreamTimeout or UpstreamRejected."""
        return await self._answer(
            "agrees",
            lambda file: self._is_named(file, identity) and _belongs(_record(file, "phone", identity.phone), identity),
        )

    async def is_present(self, identity: Identity, presence: Presence) -> bool:
        """Return whether a face or a bank card is that of the person. Raises UpstreamTimeout or UpstreamRejected."""

        def work(file: sqlite3.Connection) -> bool:
            if presence.method == "face":
                return self._is_named(file, identity) and presence.evidence == invented_face(identity.document)
            phone = _record(file, "phone", identity.phone)
            is_theirs = presence.evidence == card_of(identity.document)
            return self._is_named(file, identity) and _belongs(phone, identity) and is_theirs

        return await self._answer("is_present", work)

    async def allocated_on(self, phone: str) -> date | None:
        """Return when a phone was given to its present subscriber. Raises UpstreamTimeout or UpstreamRejected."""

        def work(file: sqlite3.Connection) -> date | None:
            record = _record(file, "phone", phone)
            return msgspec.convert(record["since"], date) if record and record["since"] else None

        return await self._answer("allocated_on", work)

    # ── what is on record ──

    def register(self, document: str, name: str) -> None:
        """Put the name of a person on record in the register of the population."""
        self._put("name", document, {"name": name})

    def assign_phone(self, phone: str, document: str, since: date | None = None) -> None:
        """Give a phone to a person, as carriers do; `since` then, if the number had another subscriber before."""
        self._put("phone", phone, {"holder": document, "since": None if since is None else since.isoformat()})

    def _put(self, what: str, key: str, record: dict[str, str | None]) -> None:
        row = (f"identity {what}", _digest(key), msgspec.json.encode(record).decode())
        self.database.do(lambda file: file.execute("INSERT OR REPLACE INTO registered VALUES (?, ?, ?)", row))

    @staticmethod
    def _is_named(file: sqlite3.Connection, identity: Identity) -> bool:
        record = _record(file, "name", identity.document)
        if record is not None:
            return record["name"] == identity.name
        return not is_invented(identity.document) or invented_name(identity.document) == identity.name

    async def _answer(self, call: str, answer: Callable[[sqlite3.Connection], T]) -> T:
        def work(file: sqlite3.Connection) -> tuple[CallOutcome, T]:
            return self.database.outcome(file, call), answer(file)

        outcome, answered = await self.database.work(work)
        if outcome == "hang":
            await asyncio.Event().wait()  # until the caller's timeout
        if outcome == "refused":
            raise UpstreamRejected(f"the register rejects the query ({call})")
        if outcome != "fine":
            raise UpstreamTimeout(f"the register does not answer ({call})")
        return answered


def _record(file: sqlite3.Connection, what: str, key: str | None) -> dict[str, str | None] | None:
    row = (f"identity {what}", _digest(key or ""))
    found = file.execute("SELECT body FROM registered WHERE what = ? AND person = ?", row).fetchone()
    return None if found is None else msgspec.json.decode(found["body"])


def _belongs(record: dict[str, str | None] | None, identity: Identity) -> bool:
    """Return whether the carrier says that a phone is the person's."""
    if identity.phone is None:
        return False
    if record is not None:
        return record["holder"] == identity.document
    place = place_of_phone(identity.phone)
    return place is None or (is_invented(identity.document) and invented_place(identity.document) == place)


def _digest(key: str) -> str:
    return hashlib.sha256(f"identity\n{key}".encode()).hexdigest()


def make(settings: Settings) -> SandboxIdentityProofing:
    """Return the sandbox of the settings' file."""
    return SandboxIdentityProofing(SandboxDatabase(settings.sandbox))
