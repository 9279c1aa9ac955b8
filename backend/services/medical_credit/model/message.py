"""What a hospital's system has sent, kept as it came before it is answered."""

import hashlib
from datetime import timedelta
from typing import ClassVar, Literal

from backend.store import Document, Index

KEPT_FOR = timedelta(days=90)
"""For so long a message that comes again is answered from the store."""

MAX_WAIT = timedelta(days=3)
"""A message that waits for another one is given up for an operator to look at after this time."""

MessageState = Literal["received", "done", "waiting", "failed"]


class HisMessage(Document, kw_only=True):
    """A message of a hospital; its `id` follows from the hospital, the sending application, and the control id.

    `raw` is sealed, for it holds personal data, and `digest` tells whether the same came again. `answer` is what was
    answered for the application, as text, and `answer_code` its code; `reason` says in words why it waits or failed.
    `visit` is the visit that it is about, once that could be read.
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
    """Give the id of a message: by hospital (MSH-4), sending application (MSH-3) and control id (MSH-10)."""
    return hashlib.sha256(f"message\n{hospital}\n{application}\n{control_id}".encode()).hexdigest()[:32]
