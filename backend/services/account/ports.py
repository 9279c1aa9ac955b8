"""The external dependencies of accounts: a sender of text messages, a captcha, and the proof of identities."""

from datetime import date
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from backend.security.captcha import Captcha

__all__ = ["Captcha", "Identity", "IdentityProofing", "Presence", "PresenceMethod", "Sms"]


@runtime_checkable
class Sms(Protocol):
    """Sends text messages."""

    async def send(self, phone: str, text: str) -> None:
        """Send `text` to a phone in E.164 format, such as +8613800138000."""
        ...


PresenceMethod = Literal["face", "bank_card"]


class Identity(Struct, frozen=True):
    """The person whom a caller says to be: name, identity document as text, and phone (None if they have none)."""

    name: str
    document: str
    phone: str | None


class Presence(Struct, frozen=True):
    """What shows that a person is present: the id of a check of their face, or the number of a bank card of theirs."""

    method: PresenceMethod
    evidence: str


@runtime_checkable
class IdentityProofing(Protocol):
    """Asks the registers who somebody is: of the population, of the carriers, and of a bank or a check of faces."""

    async def agrees(self, identity: Identity) -> bool:
        """Return whether name, document and phone are of one person, by the registers of population and carrier.

        Raises UpstreamTimeout or UpstreamRejected.
        """
        ...

    async def is_present(self, identity: Identity, presence: Presence) -> bool:
        """Return whether the person themselves is there: the face, or the card and its phone, is also theirs.

        A face needs no phone. Raises UpstreamTimeout or UpstreamRejected.
        """
        ...

    async def allocated_on(self, phone: str) -> date | None:
        """Return since when a phone number belongs to its present subscriber; None if the carrier does not say.

        Raises UpstreamTimeout or UpstreamRejected.
        """
        ...
