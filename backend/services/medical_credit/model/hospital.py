"""A connected hospital and the settings of its interfaces."""

from typing import Any, ClassVar, Literal

from backend.store import Document, Index


class Hospital(Document, kw_only=True):
    """A connected hospital; its `id` is the code that it sends in MSH-4 and in its client assertions.

    `jwks` are the public keys with which it signs in to FHIR, and `scopes` what it may request there. `encoding`
    applies to messages without MSH-18. `acknowledgement` says whether MSH-15 and MSH-16 of each message determine the
    acknowledgement mode, or one mode applies to all. `certificate` is the subject of its MLLP client certificate.
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
