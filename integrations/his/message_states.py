"""Routes by which a hospital sees the state of each of its HL7 v2 messages, with its own access token.

An address holds the id of a message at most, which is a hash, and the control id that the hospital chose: nothing
personal. Messages themselves are not returned; the hospital has them.
"""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Struct
from msgspec.structs import asdict

from backend.city.service import City
from backend.problems import NotFound
from backend.security.identity import role_guard
from backend.services.medical_credit.model.hospital import HisMessage, MessageState
from backend.store import Order, Scalar
from backend.store.time import from_ms, to_ms
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.scopes import Permission
from integrations.his.fhir.smart import AnyRequest, request_context

PAGE = 100
SCOPE = "MessageHeader"
"""The resource type of FHIR for which the access token must have a scope, as in `system/MessageHeader.rs`."""

hospital = role_guard("hospital")

StateFilter = Annotated[MessageState | None, QueryParameter(name="state")]


class MessageSummary(Struct, frozen=True):
    """The state of a message: `event` is MSH-9, `answer` is MSA-1, and `reason` says why it is not done.

    `next_attempt_at` is when a waiting message is processed again at the latest.
    """

    id: str
    control_id: str
    event: str
    state: MessageState
    answer: str | None
    reason: str | None
    received_at: datetime
    attempts: int
    next_attempt_at: datetime | None


class MessageDetails(MessageSummary, frozen=True):
    """The state of a message, and its `acknowledgement` as it was sent, with the texts of ERR in both languages."""

    acknowledgement: str | None


class MessageList(Struct, frozen=True):
    """A hospital's messages, newest first, and the cursor of the next page; None after the last page."""

    messages: list[MessageSummary]
    cursor: str | None


@get("/v1/hospital/messages", guards=[hospital], tags=["medical_credit"])
async def list_messages(
    request: Request[object, object, State],
    city: NamedDependency[City],
    in_state: StateFilter = None,
    control_id: FromQuery[str | None] = None,
    day: FromQuery[date | None] = None,
    cursor: FromQuery[str | None] = None,
) -> MessageList:
    """List the calling hospital's HL7 v2 messages: by state, by control id, or received on a day of the city's time."""
    context = await _context(request, city, "s")
    where: dict[str, Scalar] = {"hospital": context.hospital.id}
    if control_id is not None:
        where["control_id"] = control_id
    if in_state is not None:
        where["state"] = in_state
    page = await city.store.find(HisMessage, where, order=_received_on(context, day), cursor=cursor, limit=PAGE)
    return MessageList([_summary(one) for one in page.documents], page.cursor)


@get("/v1/hospital/messages/{message_id:str}", guards=[hospital], tags=["medical_credit"])
async def show_message(
    request: Request[object, object, State], city: NamedDependency[City], message_id: FromPath[str]
) -> MessageDetails:
    """Show the state of one of the calling hospital's messages, and the acknowledgement that it got."""
    context = await _context(request, city, "r")
    found = await city.store.get(HisMessage, message_id)
    if found is None or found.hospital != context.hospital.id:
        raise NotFound(zh="没有找到该消息。", en="This message was not found.")
    return _details(found)


def message_routes() -> Sequence[ControllerRouterHandler]:
    """Return the routes of message states."""
    return [list_messages, show_message]


async def _context(request: AnyRequest, city: City, permission: Permission) -> RequestContext:
    """Return the context of the calling hospital. Raises NotSignedIn, or NotAllowed without the scope."""
    context = await request_context(request, city, "")
    context.require_scope(SCOPE, permission)
    return context


def _received_on(context: RequestContext, day: date | None) -> Order:
    if day is None:
        return Order("received_ms", "descending")
    zone = ZoneInfo(context.city.settings.time_zone)
    first, last = (to_ms(datetime.combine(day, at, zone)) for at in (time.min, time.max))
    return Order("received_ms", "descending", at_least=first, below=last + 1)


def _summary(stored: HisMessage) -> MessageSummary:
    return MessageSummary(
        id=stored.id,
        control_id=stored.control_id,
        event=stored.kind,
        state=stored.state,
        answer=stored.answer_code,
        reason=stored.reason,
        received_at=from_ms(stored.received_ms),
        attempts=stored.attempts,
        next_attempt_at=None if stored.due_ms is None else from_ms(stored.due_ms),
    )


def _details(stored: HisMessage) -> MessageDetails:
    return MessageDetails(**asdict(_summary(stored)), acknowledgement=stored.answer)
