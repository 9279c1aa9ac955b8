"""The external dependency of accounts: a sender of text messages."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Sms(Protocol):
    """Sends text messages."""

    async def send(self, phone: str, text: str) -> None:
        """Send `text` to a phone in E.164 format, such as +8613800138000."""
        ...
