"""The external dependencies of accounts: a sender of text messages, and a captcha for when there are too many."""

from typing import Protocol, runtime_checkable

from backend.security.captcha import Captcha

__all__ = ["Captcha", "Sms"]


@runtime_checkable
class Sms(Protocol):
    """Sends text messages."""

    async def send(self, phone: str, text: str) -> None:
        """Send `text` to a phone in E.164 format, such as +8613800138000."""
        ...
