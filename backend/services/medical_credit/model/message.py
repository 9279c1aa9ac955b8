"""A message from a hospital's system, stored unchanged before it is answered."""

import hashlib
from datetime import timedelta
from typing import ClassVar, Literal

from backend.store import Document, Index

MESSAGE_RETENTION = timedelta(days=90)
"""How long a repeated message is answered from the store."""

MAX_WAIT = timedelta(days=3)
"""How long a message may wait for another one before it fails and an operator must check it."""

MessageState = Literal["received", "done", "waiting", "failed"]


class HisMessage(Document, kw_only=True):
    """A message from a hospital; its `id` is derived from the hospital, the sending application and the control id.

    `raw` is encrypted because it holds personal data; `digest` recognises a repeated message. `answer` is the text of
    the application acknowledgement and `answer_code` its code. `reason` says why the message waits or failed. `visit`
    is set once the visit that the message refers to is known.
    """

    collection: ClassVar[str] = "his_messages"
    indexes: ClassVar[tuple[Index, ...]] = (
        Index(("state",), ordered="received_ms"),
        Index(("visit", "state"), ordered="received_ms"),
        Index((), ordered="due_ms"),
        Index((), ordered="expires_ms"),
    )

    hospital: str
    control_id: str
    kind: str
    raw: str
    digest: str
    received_ms: int
    expires_ms: int
    state: MessageState = "received"
    visit: str | None = None
    answer: str | None = None
    answer_code: str | None = None
    reason: str | None = None
    attempts: int = 0
    due_ms: int | None = None


def message_id(hospital: str, application: str, control_id: str) -> str:
    """Return the id of a message from its hospital (MSH-4), sending application (MSH-3) and control id (MSH-10)."""
    return hashlib.sha256(f"message\n{hospital}\n{application}\n{control_id}".encode()).hexdigest()[:32]
