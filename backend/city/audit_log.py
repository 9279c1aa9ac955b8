"""The audit log: who did what, in which role, when, to what and why.

An act and its entry are one write: the entry stands in the document that the act changes, as one of its `acts`, until
the log has taken it over. An act that changes no document, such as reading another person's record, is a document of
its own. Entries hold opaque ids and keyed hashes only, so that the log stays valid when a person is erased.
"""

import secrets
from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.security.identity import Caller
from backend.store import Document, Index
from backend.store.time import to_ms

UNLOGGED = Index((), ordered="acts_due_ms")
"""Every audited document declares this index, by which a sweep finds acts that a crash kept from the log."""


class Act(Struct, frozen=True, kw_only=True):
    """An act of an account in a role, or of the city itself (`account` is then "city").

    `action` is `<service>.<what was done>`, such as `account.roles_granted`. `about` is the opaque id or the keyed hash
    of what was touched, `reason` a word or the keyed hash of a text.
    """

    id: str
    at: datetime
    action: str
    account: str
    role: str
    about: str
    reason: str = ""


class AuditedDocument(Document, kw_only=True):
    """A document that holds the acts that changed it, until the audit log has them."""

    acts: tuple[Act, ...] = ()
    acts_due_ms: int | None = None


A = TypeVar("A", bound=AuditedDocument)


def new_act(city: City, caller: Caller, role: str, action: str, about: str, reason: str = "") -> Act:
    """Return an act of the caller, now."""
    return Act(
        id=secrets.token_urlsafe(12),
        at=city.now(),
        action=action,
        account=caller.account_id,
        role=role,
        about=about,
        reason=reason,
    )


def with_act(document: A, act: Act) -> A:
    """Return a document with one more act, to be stored in the same write as the change that it records."""
    return replace(document, acts=(*document.acts, act), acts_due_ms=to_ms(act.at))
