"""Text messages. The embedded default sends none: it writes to the log, and for developers to an outbox."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from backend.city.service import Integration
from backend.security.identity import public
from backend.services.account.model import InvalidPhone, masked_phone, parse_phone
from backend.services.account.ports import Sms
from backend.settings import Settings

MAX_OUTBOX = 1_000

_log = logging.getLogger("chengma.sms")
_outbox: deque[tuple[str, str]] = deque(maxlen=MAX_OUTBOX)


class OutboxWanted(Struct, forbid_unknown_fields=True):
    """The phone whose messages are wanted."""

    phone: Annotated[str, Meta(min_length=5, max_length=32)]


class Outbox(Struct, frozen=True):
    """The messages to a phone, newest first."""

    messages: list[str]


class LoggedSms:
    """Writes to the log that a message was sent, to a masked phone and without its words.

    With `keeps`, the message also goes into the development outbox.
    """

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps

    async def send(self, phone: str, text: str) -> None:
        """Send a message."""
        _log.info("text message of %d characters to %s", len(text), masked_phone(phone))
        if self._keeps:
            _outbox.appendleft((phone, text))


def _make(settings: Settings) -> Sms:
    return LoggedSms(keeps=settings.development)


def _routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    if not settings.development:
        return ()

    @post("/v1/development/outbox", guards=[public], status_code=200, problems=(InvalidPhone,))
    async def read_outbox(data: JSONBody[OutboxWanted]) -> Outbox:
        """Read the messages that a phone would have got. It is there in development only."""
        phone = parse_phone(data.phone, settings.phone_region)
        return Outbox([text for to, text in _outbox if to == phone])

    return (read_outbox,)


integration = Integration(port=Sms, make=_make, routes=_routes)
