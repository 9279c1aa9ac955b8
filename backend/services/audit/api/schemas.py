"""Responses about the audit log."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.city.audit_chain import AuditBlock
from backend.city.audit_log import AuditEntry
from backend.i18n import Text

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
Statement = Annotated[str, Meta(description="a compact EdDSA JWS; the public keys are in /.well-known/audit-jwks.json")]


class AuditKeys(Struct, frozen=True):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, str]]


class LogEntry(Struct, frozen=True):
    """An entry, with opaque ids and keyed hashes only. `block` is null until the entry is chained."""

    id: str
    at: datetime
    action: str
    account: str
    role: str
    about: str
    person: str
    reason: str
    block: int | None


class LogEntries(Struct, frozen=True):
    """Entries, newest first, and the cursor of the next page."""

    entries: list[LogEntry]
    cursor: str | None


class OwnEntry(Struct, frozen=True):
    """Who read or changed a record of the caller: in which role and for which authority, but not the officer's name."""

    id: str
    at: datetime
    action: str
    text: Text
    role: str
    authority: Text
    reason: str


class OwnEntries(Struct, frozen=True):
    """The entries about the caller, newest first, and the cursor of the next page."""

    entries: list[OwnEntry]
    cursor: str | None


class InclusionProof(Struct, frozen=True):
    """The proof that an entry about the caller is in its day: `path` leads from the hash of `content` to the root.

    `index` is the place of the entry among the `size` entries of the day. The statement of the day has the root.
    """

    content: str
    leaf: Hash
    index: int
    size: int
    path: list[Hash]
    statement: Statement


class ClosedDay(Struct, frozen=True):
    """A closed day: the number of its entries, the Merkle root over them, and the city's signed statement."""

    day: str
    entries: int
    root: Hash
    statement: Statement


class ClosedDays(Struct, frozen=True):
    """Closed days, newest first, and the cursor of the next page."""

    days: list[ClosedDay]
    cursor: str | None


class LogHead(Struct, frozen=True):
    """The present end of the log, and the city's signed statement. All are null while the log is empty."""

    number: int | None
    size: int | None
    statement: Statement | None


def log_entry(entry: AuditEntry) -> LogEntry:
    """Return an entry as auditors see it."""
    return LogEntry(**{name: getattr(entry, name) for name in LogEntry.__struct_fields__})


def closed_day(block: AuditBlock) -> ClosedDay:
    """Return a closed day as anyone sees it."""
    return ClosedDay(block.day, block.day_size, block.root, block.statement)
