r"""The delimiters of an HL7 v2 message (MSH-1, MSH-2), and its escape sequences.

A sender that needs no subcomponents may leave out their delimiter, and then the escape character too: `MSH|^~\|` and
`MSH|^~|`. A delimiter that is left out is empty here, and separates nothing.
"""

import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from integrations.his.hl7v2.errors import Hl7Error, Location

Encoding = Literal["utf-8", "gb18030"]

MIN_DELIMITERS, MAX_DELIMITERS = 2, 5
"""The length of MSH-2: component and repetition, and since version 2.7 the truncation character as a fifth."""


class Syntax(Struct, frozen=True):
    """The delimiters of a message (MSH-1, MSH-2) and its encoding."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    encoding: Encoding = "utf-8"


def parse_syntax(header: str, encoding: Encoding) -> Syntax:
    """Return the delimiters of a message from its MSH. Raises Hl7Error 100 or 102."""
    if not header.startswith("MSH"):
        raise Hl7Error(Location("MSH"), "100", Text(zh="消息须以MSH段开始", en="the message does not begin with MSH"))
    field = header[3:4]
    characters = header[4:].split(field, 1)[0] if field else ""
    delimiters = field + characters
    length_ok = MIN_DELIMITERS <= len(characters) <= MAX_DELIMITERS
    if not length_ok or len(set(delimiters)) < len(delimiters) or not _are_delimiters(delimiters):
        text = Text(
            zh="MSH-1和MSH-2须为有效的分隔符，如|^~\\&",
            en="MSH-1 and MSH-2 must contain valid delimiters, such as |^~\\&",
        )
        raise Hl7Error(Location("MSH", 1, 2), "102", text)
    component, repetition, escape_character, subcomponent = (*characters, "", "")[:4]
    return Syntax(field, component, repetition, escape_character, subcomponent, encoding)


def _are_delimiters(characters: str) -> bool:
    return all("!" <= character <= "~" and not character.isalnum() for character in characters)


def nth_part(raw: str, separator: str, number: int) -> str:
    """Return the part with this number, counted from 1, or nothing if there is none."""
    if not separator:
        return raw if number == 1 else ""
    parts = raw.split(separator, number)
    return parts[number - 1] if number <= len(parts) else ""


@lru_cache(maxsize=16)
def _escape_pattern(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(f"{e}(?:([FSRTEHN])|X((?:[0-9A-Fa-f]{{2}})+)|\\.(br|sp|ce|in|ti|sk|fi|nf)(?:[+-]?[0-9]+)?){e}")


def unescape(raw: str, syntax: Syntax, location: Location | None = None) -> str:
    r"""Return the text without escape sequences (HL7 2.5, 2.7). Raises Hl7Error 102 for a `\Xhh\` that is not text.

    Line breaks become "\n", highlighting and layout are removed, and unknown sequences are kept, because many senders
    do not escape backslashes.
    """
    if not syntax.escape:
        return raw
    values = {"F": syntax.field, "S": syntax.component, "R": syntax.repetition, "T": syntax.subcomponent}
    values["E"] = syntax.escape

    def decoded(found: re.Match[str]) -> str:
        letter, digits, layout = found.groups()
        if letter:
            return values.get(letter, "")
        if layout:
            return "\n" if layout in ("br", "sp", "ce") else ""
        try:
            return bytes.fromhex(digits).decode(syntax.encoding)
        except UnicodeDecodeError:
            text = Text(
                zh=f"转义的字节不是{syntax.encoding.upper()}编码",
                en=f"the escaped bytes are not {syntax.encoding.upper()}",
            )
            raise Hl7Error(location, "102", text) from None

    return _escape_pattern(syntax.escape).sub(decoded, raw)


def escape(text: str, syntax: Syntax) -> str:
    """Return text with escape sequences, or spaces without an escape character; `unescape` is its inverse."""
    return text.translate(_escape_table(syntax))


@lru_cache(maxsize=16)
def _escape_table(syntax: Syntax) -> dict[int, str]:
    e = syntax.escape
    if not e:
        special = (*range(32), 127, *map(ord, syntax.field + syntax.component + syntax.repetition))
        return dict.fromkeys(special, " ")
    sequences = {number: f"{e}X{number:02X}{e}" for number in (*range(32), 127)}
    sequences[ord("\n")] = f"{e}.br{e}"
    delimiters = {"F": syntax.field, "S": syntax.component, "R": syntax.repetition, "T": syntax.subcomponent, "E": e}
    return sequences | {ord(sign): f"{e}{letter}{e}" for letter, sign in delimiters.items() if sign}
