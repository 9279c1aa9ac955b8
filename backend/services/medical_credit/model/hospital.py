"""A hospital that is connected, and how its systems speak."""

from typing import Any, ClassVar, Literal

from backend.store import Document, Index


class Hospital(Document, kw_only=True):
    """A connected hospital; its `id` is its code, which stands in MSH-4 and in its client assertions.

    `jwks` are the public keys with which it signs in to FHIR, `scopes` what it may ask for there. `encoding` counts
    where a message does not name its own in MSH-18; `acknowledgement` says whether MSH-15 and MSH-16 of each message
    decide, or one mode for all. `certificate` is the subject of the client certificate that its MLLP client shows.
    """

    collection: ClassVar[str] = "hospitals"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="since_ms"),)

    name: str
    since_ms: int
    jwks: dict[str, Any]
    scopes: tuple[str, ...] = ("system/*.read", "system/*.write")
    encoding: Literal["utf-8", "gb18030"] = "utf-8"
    acknowledgement: Literal["by_message", "original", "enhanced"] = "by_message"
    certificate: str | None = None
    enabled: bool = True
