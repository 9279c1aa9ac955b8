"""The table of events: what the city does with each message type and trigger event of HL7 v2. Pure.

Hospitals send their whole stream of events, not a selection. An event that changes no visit is accepted and ignored,
so that the sender's queue continues; a hospital may be set to have it refused instead. An event that asks for data is
refused, because its sender waits for an answer. An event that merges or renumbers is checked by `identity_changes`.
"""

from typing import Literal

from backend.i18n import Text
from backend.services.medical_credit.model.hospital import Hospital
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.message import Message, Part

Treatment = Literal["used", "kept", "identity", "unused"]
"""Commands to a visit; stored for later use; a change of identifiers; no effect on visits."""

Event = tuple[str, str]

_USED: dict[str, str] = {
    "ADT": "A01 A03 A04 A06 A07 A08 A11 A13",
    "BAR": "P01 P05 P06",
    "DFT": "P03 P11",
}
_KEPT: dict[str, str] = {"ORU": "R01 R30 R31 R32 R40 W01"}
"""Results: they are kept and acknowledged; no service uses them yet."""

_IDENTITY: dict[str, str] = {
    "ADT": "A18 A23 A30 A34 A35 A36 A39 A40 A41 A42 A43 A44 A45 A46 A47 A48 A49 A50 A51",
    "BAR": "P02",
}
"""Merges, moves and changes of patient, account or visit numbers, and deletions of records."""

_UNUSED: dict[str, str] = {
    "ADT": (
        "A02 A05 A09 A10 A12 A14 A15 A16 A17 A20 A21 A22 A24 A25 A26 A27 A28 A29 A31 A32 A33 A37 A38 "
        "A52 A53 A54 A55 A60 A61 A62"
    ),
    "BAR": "P10 P12",
}
_WITHOUT_EFFECT = (
    "MDM MFN OMB OMD OMG OMI OML OMN OMP OMS ORM OSU OUL PEX PGL PMU PPG PPP PPR PTR RAS RDE RDS REF RGV SIU SSU VXU"
)
_UNUSED_TYPES = frozenset(_WITHOUT_EFFECT.split())
"""Types of which no event changes a visit: orders, schedules, documents, vaccinations, referrals, master files."""

_EVENTS: dict[Treatment, dict[str, str]] = {"used": _USED, "kept": _KEPT, "identity": _IDENTITY, "unused": _UNUSED}
_TABLE: dict[Event, Treatment] = {
    (code, trigger): treatment
    for treatment, events in _EVENTS.items()
    for code, triggers in events.items()
    for trigger in triggers.split()
}
_TYPES = frozenset(code for code, _ in _TABLE)

OPENING = frozenset({"ADT^A01", "ADT^A04", "ADT^A06", "ADT^A07"})
"""The kinds of messages that open a visit which is not open yet."""


def event_of(message: Message) -> Event:
    """Return the message type and the trigger event (MSH-9)."""
    message_type = message.header.field(9)
    return message_type.component(1).text, message_type.component(2).text


def event_label(message: Message) -> str:
    """Return the event as `ADT^A01`, or `other` if it is not in the table; the number of labels is bounded."""
    event = event_of(message)
    if event in _TABLE:
        return "^".join(event)
    return event[0] if event[0] in _UNUSED_TYPES else "other"


def treatment_of(message: Message) -> Treatment | None:
    """Return what is done with a message; None if its event is not supported."""
    event = event_of(message)
    return _TABLE.get(event) or ("unused" if event[0] in _UNUSED_TYPES else None)


def check_event(message: Message, hospital: Hospital) -> None:
    """Raise Hl7Error 200 or 201 at MSH-9 if the event is not supported, or not used and refused for this hospital."""
    message_type = message.header.field(9)
    treatment = treatment_of(message)
    if treatment is None and event_of(message)[0] not in _TYPES:
        raise _unsupported(message_type.component(1), "200", "消息类型", "message type")
    if treatment is None or (treatment == "unused" and hospital.unused_events == "refuse"):
        raise _unsupported(message_type.component(2), "201", "触发事件", "trigger event")


def _unsupported(part: Part, code: Literal["200", "201"], zh: str, en: str) -> Hl7Error:
    return Hl7Error(
        part.location,
        code,
        Text(zh=f"{part.location}：不支持该{zh}", en=f"{part.location}: this {en} is not supported"),
    )
