"""The sandbox of a text message provider: writes to the log and, in development, to an outbox that developers read."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from backend.security.identity import public
from backend.services.account.model.account import InvalidPhone, masked_phone, parse_phone
from backend.settings import Settings

MAX_OUTBOX = 1_000

_log = logging.getLogger("chengma.sms")
_outbox: deque[tuple[str, str]] = deque(maxlen=MAX_OUTBOX)


class OutboxRequest(Struct, forbid_unknown_fields=True):
    """The phone whose messages to return."""

    phone: Annotated[str, Meta(min_length=5, max_length=32)]


class Outbox(Struct, frozen=True):
    """The messages to a phone, newest first."""

    messages: list[str]


class SandboxSms:
    """Logs each message, with a masked phone and without its text; sends nothing.

    With `use_outbox`, the message is also stored in the development outbox.
    """

    def __init__(self, *, use_outbox: bool) -> None:
        self._use_outbox = use_outbox

    async def send(self, phone: str, text: str) -> None:
        """Log a message, and store it in the outbox if that is in use."""
        _log.info("text message of %d characters to %s", len(text), masked_phone(phone))
        if self._use_outbox:
            _outbox.appendleft((phone, text))


def outbox_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """Return the route that reads the outbox; none outside development."""
    if not settings.development:
        return ()

    @post("/v1/development/outbox", guards=[public], status_code=200, problems=(InvalidPhone,))
    async def read_outbox(data: JSONBody[OutboxRequest]) -> Outbox:
        """Return the messages to a phone. Available in development only."""
        phone = parse_phone(data.phone, settings.phone_region)
        return Outbox([text for to, text in _outbox if to == phone])

    return (read_outbox,)


def make(settings: Settings) -> SandboxSms:
    """Return the sandbox; in development it keeps the messages, and anyone reads them."""
    return SandboxSms(use_outbox=settings.development)
