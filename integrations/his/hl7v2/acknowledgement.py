"""Answers to HL7 v2 messages: which are wanted, and how they are written."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from integrations.his.hl7v2.error import CODES, Hl7Error, Place
from integrations.his.hl7v2.message import Message, Syntax, escape

Acknowledgement = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
Mode = Literal["by_message", "original", "enhanced"]
Condition = Literal["AL", "NE", "ER", "SU"]

MAX_ERRORS = 100
CONDITIONS = ("AL", "NE", "ER", "SU")
"""HL7 table 0155: always, never, on errors only, on success only."""


class Wanted(Struct, frozen=True):
    """Which answers a sender waits for: a commit answer (CA, CE, CR) and then one of the application (AA, AE, AR).

    In the original mode there is one answer, the application's, whatever went wrong.
    """

    mode: Literal["original", "enhanced"]
    commit: Condition
    application: Condition

    def wants_commit(self, *, ok: bool) -> bool:
        """Tell whether an answer is due when the message was stored, or could not be."""
        return _is_due(self.commit, ok=ok)

    def wants_application(self, *, ok: bool) -> bool:
        """Tell whether an answer is due when the message was carried out, or could not be."""
        return _is_due(self.application, ok=ok)


def _is_due(condition: Condition, *, ok: bool) -> bool:
    return condition in ("AL", "SU" if ok else "ER")


def wanted_acknowledgements(message: Message, mode: Mode = "by_message") -> Wanted:
    """Tell which answers are wanted, by MSH-15 and MSH-16 or by the mode that a hospital is set to.

    By message, both empty mean the original mode, and one alone empty means never. In a hospital that is set to the
    enhanced mode, an empty one means always. Raises Hl7Error 103.
    """
    if mode == "original":
        return Wanted("original", "NE", "AL")
    accept, application = _condition(message, 15), _condition(message, 16)
    if mode == "by_message" and accept is application is None:
        return Wanted("original", "NE", "AL")
    silent: Condition = "AL" if mode == "enhanced" else "NE"
    return Wanted("enhanced", accept or silent, application or silent)


def _condition(message: Message, number: int) -> Condition | None:
    part = message.header.field(number)
    text = part.text
    if text and text not in CONDITIONS:
        raise Hl7Error(
            part.place, "103", Text(zh=f"{part.place} 不在表 0155 中", en=f"{part.place}: not in table 0155")
        )
    return text or None


def acknowledge(
    message: Message, code: Acknowledgement, errors: Sequence[Hl7Error] = (), *, control_id: str, now: datetime
) -> bytes:
    """Write the answer to a message, in its delimiters and its encoding; `control_id` is the answer's own (MSH-10).

    A message that cannot be read is answered by what `header_of` gives. At most 100 errors are told.
    """
    header, syntax = message.header, message.syntax
    trigger = header.field(9).component(2).raw
    msh = [""] * 19
    msh[0], msh[2] = "MSH", header.fields[2]
    msh[3], msh[4], msh[5], msh[6] = (header.field(number).raw for number in (5, 6, 3, 4))
    msh[7] = now.strftime("%Y%m%d%H%M%S%z")
    msh[9] = syntax.component.join(("ACK", trigger, "ACK")) if trigger else "ACK"
    msh[10] = escape(control_id, syntax)
    msh[11], msh[12], msh[18] = (header.field(number).raw for number in (11, 12, 18))
    del msh[1]  # it is the delimiter itself
    old = header.field(12).text < "2.5"
    msa = ["MSA", code, header.field(10).raw]
    if old and errors:
        msa.append(escape(errors[0].text.zh, syntax))  # MSA-3; it was withdrawn later
    lines = [msh, msa, *(_error(error, syntax, old=old) for error in errors[:MAX_ERRORS])]
    text = "".join(syntax.field.join(fields).rstrip(syntax.field) + "\r" for fields in lines)
    return text.encode(syntax.encoding)


def _error(error: Hl7Error, syntax: Syntax, *, old: bool) -> list[str]:
    """Write an ERR segment. Before version 2.5 there was only ERR-1, place and code together."""
    place, named = error.place or Place(""), (error.code, CODES[error.code], "HL70357")
    location = place.location(syntax.component) if error.place else ""
    first = [place.segment, str(place.sequence), str(place.field or ""), syntax.subcomponent.join(named)]
    return [
        "ERR",
        syntax.component.join(first) if old else "",
        location,
        syntax.component.join(named),
        error.severity,
        "",
        "",
        escape(f"{error.place}: {CODES[error.code]}" if error.place else CODES[error.code], syntax),
        escape(f"{error.text.zh} {error.text.en}", syntax),
    ]
