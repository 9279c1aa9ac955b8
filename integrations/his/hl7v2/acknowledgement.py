"""Determine the acknowledgements that an HL7 v2 message requests, and encode them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from integrations.his.hl7v2.errors import CONDITION_CODES, Hl7Error, Location
from integrations.his.hl7v2.message import Message
from integrations.his.hl7v2.syntax import Syntax, escape

AcknowledgementCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
AcknowledgementMode = Literal["by_message", "original", "enhanced"]
AcknowledgementCondition = Literal["AL", "NE", "ER", "SU"]

MAX_ERRORS = 100
MAX_TEXT, MAX_TEXT_BEFORE_2_5 = 250, 80
"""The length of ERR-8 since version 2.5, and of MSA-3 before."""
CONDITIONS = ("AL", "NE", "ER", "SU")
"""HL7 table 0155: always, never, on error or reject only, on success only."""


class RequestedAcknowledgements(Struct, frozen=True):
    """The acknowledgements that a sender requests: accept (CA, CE, CR) and application acknowledgement (AA, AE, AR).

    In the original mode there is one acknowledgement, that of the application, even for rejected messages.
    """

    mode: Literal["original", "enhanced"]
    accept: AcknowledgementCondition
    application: AcknowledgementCondition

    def accept_due(self, *, ok: bool) -> bool:
        """Return whether to send an accept acknowledgement; `ok` says if the message was stored."""
        return _is_due(self.accept, ok=ok)

    def application_due(self, *, ok: bool) -> bool:
        """Return whether to send an application acknowledgement; `ok` says if the message was processed."""
        return _is_due(self.application, ok=ok)


def _is_due(condition: AcknowledgementCondition, *, ok: bool) -> bool:
    return condition in ("AL", "SU" if ok else "ER")


def requested_acknowledgements(message: Message, mode: AcknowledgementMode = "by_message") -> RequestedAcknowledgements:
    """Return the requested acknowledgements, by MSH-15 and MSH-16 or by the mode configured for the hospital.

    By message, two empty fields mean the original mode, and one empty field means never. For a hospital configured for
    the enhanced mode, an empty field means always. Raises Hl7Error 103.
    """
    if mode == "original":
        return RequestedAcknowledgements("original", "NE", "AL")
    accept, application = _condition(message, 15), _condition(message, 16)
    if mode == "by_message" and accept is application is None:
        return RequestedAcknowledgements("original", "NE", "AL")
    default: AcknowledgementCondition = "AL" if mode == "enhanced" else "NE"
    return RequestedAcknowledgements("enhanced", accept or default, application or default)


def _condition(message: Message, number: int) -> AcknowledgementCondition | None:
    part = message.header.field(number)
    text = part.text
    if text and text not in CONDITIONS:
        raise Hl7Error(
            part.location,
            "103",
            Text(zh=f"{part.location}的值不在HL7表0155中", en=f"{part.location} is not in HL7 table 0155"),
        )
    return text or None


def acknowledge(
    message: Message, code: AcknowledgementCode, errors: Sequence[Hl7Error] = (), *, control_id: str, now: datetime
) -> bytes:
    """Return the acknowledgement of a message, in its delimiters and encoding; `control_id` is its own MSH-10.

    For a message that cannot be parsed, pass the result of `parse_header`. At most 100 errors are reported.
    """
    header, syntax = message.header, message.syntax
    trigger = header.field(9).component(2).raw
    msh = [""] * 19
    msh[0], msh[2] = "MSH", header.fields[2]
    msh[3], msh[4], msh[5], msh[6] = (header.field(number).raw for number in (5, 6, 3, 4))
    msh[7] = now.strftime("%Y%m%d%H%M%S%z")
    structure = () if header.field(12).component(1).raw == "2.3" else ("ACK",)  # MSH-9.3 exists since 2.3.1
    msh[9] = syntax.component.join(("ACK", trigger, *structure)) if trigger else "ACK"
    msh[10] = escape(control_id, syntax)
    msh[11], msh[12], msh[18] = (header.field(number).raw for number in (11, 12, 18))
    del msh[1]  # MSH-1 is the delimiter itself
    msa = ["MSA", code, header.field(10).raw]
    if message.is_before_2_5:  # MSA-3 was withdrawn later
        msa += [escape(_message_before_2_5(error), syntax) for error in errors[:1]]
        segments = _error_before_2_5([error for error in errors if error.severity == "E"][:MAX_ERRORS], syntax)
    else:
        segments = [_error(error, syntax) for error in errors[:MAX_ERRORS]]
    lines = [msh, msa, *segments]
    text = "".join(syntax.field.join(fields).rstrip(syntax.field) + "\r" for fields in lines)
    return text.encode(syntax.encoding)


def _error_before_2_5(errors: Sequence[Hl7Error], syntax: Syntax) -> list[list[str]]:
    """Return the ERR segment, whose only field repeats: the location, and the code as its fourth component (ELD).

    It cannot say that something is only a warning, so warnings are in MSA-3 alone, which begins with their severity.
    """
    places: list[str] = []
    for error in errors:
        location = error.location or Location("")
        code = (error.code, CONDITION_CODES[error.code], "HL70357") if syntax.subcomponent else (error.code,)
        field = str(location.field) if location.field else ""
        sequence = str(location.sequence) if error.location else ""
        places.append(syntax.component.join((location.segment, sequence, field, syntax.subcomponent.join(code))))
    return [["ERR", syntax.repetition.join(places)]] if places else []


def _error(error: Hl7Error, syntax: Syntax) -> list[str]:
    """Return an ERR segment as since version 2.5, where ERR-1 is no longer used."""
    meaning = CONDITION_CODES[error.code]
    return [
        "ERR",
        "",
        error.location.to_erl(syntax.component) if error.location else "",
        syntax.component.join((error.code, meaning, "HL70357")),
        error.severity,
        "",
        "",
        escape(f"{error.location}: {meaning}" if error.location else meaning, syntax),
        escape(_in_both_languages(error, MAX_TEXT), syntax),
    ]


def _message_before_2_5(error: Hl7Error) -> str:
    """Return MSA-3 before version 2.5: severity and code in a form that programs can read, and the text."""
    prefix = f"{error.severity} {error.code} "
    return prefix + _in_both_languages(error, MAX_TEXT_BEFORE_2_5 - len(prefix))


def _in_both_languages(error: Hl7Error, length: int) -> str:
    """Return the Chinese and the English text of an error, cut at this length; half of it is left for English.

    English is cut after a word, unless that loses half of its place.
    """
    zh, en = error.text.zh, error.text.en
    zh = zh[: max(length // 2, length - 1 - len(en))]
    place = length - 1 - len(zh)
    if len(en) > place:
        words = en[: place + 1].rpartition(" ")[0]
        en = words.rstrip(",;:") if len(words) > place // 2 else en[:place]
    return f"{zh} {en}"
