r"""Parse HL7 v2 messages, from bytes to values that carry their location.

Bytes are decoded first and split afterwards: in GB18030 each delimiter is also the second byte of 126 characters.

The hl7 package is not used, because it builds an object for every empty field (1 MiB of `|` costs 450 MB and seconds),
expands `\.sp99999999\` from fourteen bytes to a hundred million, and decodes `\Xhh\` as Latin-1. This parser splits a
field on access, and limits the size of a message.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from integrations.his.hl7v2.errors import Hl7Error, Location

Encoding = Literal["utf-8", "gb18030"]

MAX_MESSAGE_BYTES = 1_048_576
MAX_SEGMENTS = 2_000
MAX_FIELDS = 500
MAX_HEADER_BYTES = 4_096

_CHARACTER_SETS: dict[str, Encoding | None] = {
    "": None,
    "ASCII": None,
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "GB180302000": "gb18030",
    "GB180302005": "gb18030",
    "GB180302022": "gb18030",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
}
"""HL7 table 0211 and common variants, without spaces and hyphens; None selects the default of the hospital.

Many senders declare ASCII and send Chinese. GBK and GB2312 are subsets of GB18030.
"""

CHARACTER_SET_NAMES: dict[Encoding, str] = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}
"""The names of our encodings in HL7 table 0211."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile(rb"[\r\n]")


class Syntax(Struct, frozen=True):
    """The delimiters of a message (MSH-1, MSH-2) and its encoding."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    encoding: Encoding = "utf-8"


class Part(Struct, frozen=True):
    """A field, repetition, component or subcomponent at a `location`; `raw` is the value as it was sent."""

    raw: str
    location: Location
    syntax: Syntax

    @property
    def text(self) -> str:
        """The value without escape sequences, empty if missing; of a composite, the value of its first part."""
        if self.is_null:
            return ""
        first = self.raw
        for separator in (self.syntax.repetition, self.syntax.component, self.syntax.subcomponent):
            first = first.split(separator, 1)[0]
        return unescape(first, self.syntax, self.location) if self.syntax.escape in first else first

    @property
    def is_null(self) -> bool:
        """Return whether the sender asks, with two quotes, to delete the value."""
        return self.raw == '""'

    def required(self) -> str:
        """Return the text. Raises Hl7Error 101 if it is missing."""
        text = self.text
        if not text:
            raise Hl7Error(
                self.location, "101", Text(zh=f"请补充必填的{self.location}", en=f"{self.location} is required")
            )
        return text

    def repetitions(self) -> tuple["Part", ...]:
        """Return the repetitions of a field; an empty field has none."""
        if not self.raw:
            return ()
        raws = self.raw.split(self.syntax.repetition)
        return tuple(self.subpart(raw, repetition=number) for number, raw in enumerate(raws, 1))

    def repetition(self, number: int) -> "Part":
        """Return a repetition of a field, empty if missing."""
        return self.subpart(_nth(self.raw, self.syntax.repetition, number), repetition=number)

    def component(self, number: int) -> "Part":
        """Return a component of a repetition (of a field, of its first one), empty if missing."""
        parent = self if self.location.repetition else self.repetition(1)
        return parent.subpart(_nth(parent.raw, parent.syntax.component, number), component=number)

    def subcomponent(self, number: int) -> "Part":
        """Return a subcomponent of a component (of a larger part, of its first one), empty if missing."""
        parent = self if self.location.component else self.component(1)
        return parent.subpart(_nth(parent.raw, parent.syntax.subcomponent, number), subcomponent=number)

    def subpart(self, raw: str, *, repetition: int = 0, component: int = 0, subcomponent: int = 0) -> "Part":
        """Return the part with this value at a location within this part."""
        parent = self.location
        location = Location(
            parent.segment,
            parent.sequence,
            parent.field,
            parent.repetition or repetition,
            parent.component or component,
            parent.subcomponent or subcomponent,
        )
        return Part(raw, location, self.syntax)


def _nth(raw: str, separator: str, number: int) -> str:
    parts = raw.split(separator, number)
    return parts[number - 1] if number <= len(parts) else ""


class Segment(Struct, frozen=True):
    """A segment, the `sequence`-th of its name. `fields[n]` is field n as it was sent."""

    name: str
    sequence: int
    fields: tuple[str, ...]
    syntax: Syntax

    def field(self, number: int) -> Part:
        """Return a field, empty if missing. For MSH-1 and MSH-2, use the `syntax` of the message."""
        assert number > 2 or self.name != "MSH", "MSH-1 and MSH-2 are delimiters"  # noqa: PLR2004  MSH-1 and MSH-2
        raw = self.fields[number] if number < len(self.fields) else ""
        return Part(raw, Location(self.name, self.sequence, number), self.syntax)


class Message(Struct, frozen=True):
    """A message: its segments in order, beginning with MSH."""

    syntax: Syntax
    segments: tuple[Segment, ...]

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]

    def all(self, name: str) -> tuple[Segment, ...]:
        """Return all segments of a name, in order."""
        return tuple(segment for segment in self.segments if segment.name == name)

    def segment(self, name: str) -> Segment:
        """Return the first segment of a name. Raises Hl7Error 100 if there is none."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise Hl7Error(Location(name), "100", Text(zh=f"缺少{name}段", en=f"the {name} segment is missing"))


def parse_message(raw: bytes, default: Encoding, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    """Parse a message in the encoding of its MSH-18, or in the default of the hospital. Raises Hl7Error."""
    if len(raw) > max_bytes:
        raise message_too_long(max_bytes)
    encoding = encoding_of(raw, default)
    return parse_text(decode(raw, encoding), encoding)


def decode(raw: bytes, encoding: Encoding) -> str:
    """Decode bytes strictly. Raises Hl7Error 102 with the number of the byte, counted from 1."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.rfind(b"\r", 0, error.start) + 1
        name = raw[line : line + 3]
        sequence = (b"\r" + raw[: error.start]).count(b"\r" + name)
        location = (
            Location(name.decode("ascii"), max(sequence, 1)) if _is_segment_name(name.decode("latin-1")) else None
        )
        text = Text(
            zh=f"第{error.start + 1}个字节不是{encoding.upper()}编码",
            en=f"byte {error.start + 1} is not {encoding.upper()}",
        )
        raise Hl7Error(location, "102", text) from None


def encoding_of(raw: bytes, default: Encoding) -> Encoding:
    """Return the encoding of a message. Raises Hl7Error 103 if MSH-18 names an unsupported one.

    In the wrong encoding, a facility name before MSH-18 can hide a delimiter or add one. Therefore an encoding is
    accepted only if the header, decoded in it, names it.
    """
    header = _header_bytes(raw)
    declared_other: Encoding | None = None
    unknown: Hl7Error | None = None
    other: Encoding = "gb18030" if default == "utf-8" else "utf-8"
    for encoding in (default, other):
        try:
            declared = _declared_encoding(header.decode(encoding))
        except UnicodeDecodeError:
            continue
        except Hl7Error as error:
            unknown = unknown or error
            continue
        if declared == encoding:
            return encoding
        declared_other = declared_other or declared
    if declared_other is None and unknown is not None:
        raise unknown
    return declared_other or default


def _header_bytes(raw: bytes) -> bytes:
    return _LINE_END.split(raw[:MAX_HEADER_BYTES].lstrip(b"\r\n"), maxsplit=1)[0]


def _declared_encoding(header: str) -> Encoding | None:
    fields = header.split(header[3:4] or "|", 18)
    repetition = header[5:6] or "~"
    for word in (fields[17] if len(fields) > 17 else "").split(repetition):  # noqa: PLR2004  MSH-18
        name = re.sub(r"[ _-]", "", word.upper())
        if name not in _CHARACTER_SETS:
            text = Text(zh=f"不支持字符集{word[:40]}", en=f"the character set {word[:40]!r} is not supported")
            raise Hl7Error(Location("MSH", 1, 18), "103", text)
        encoding = _CHARACTER_SETS[name]
        if encoding is not None:
            return encoding
    return None


def parse_text(text: str, encoding: Encoding = "utf-8", *, max_characters: int = MAX_MESSAGE_BYTES) -> Message:
    """Parse a message that was sent in this encoding. Raises Hl7Error.

    Segments end with a carriage return; a line feed, alone or after it, is accepted too.
    """
    if len(text) > max_characters:
        raise message_too_long(max_characters)
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    lines = text.strip("\r").split("\r", MAX_SEGMENTS)
    if len(lines) > MAX_SEGMENTS:
        raise Hl7Error(
            None,
            "100",
            Text(zh=f"消息超过{MAX_SEGMENTS}个段", en=f"there are more than {MAX_SEGMENTS} segments"),
        )
    syntax = _parse_syntax(lines[0], encoding)
    counts = Counter[str]()
    return Message(syntax, tuple(_parse_segment(line, syntax, counts) for line in lines if line))


def parse_header(raw: bytes, default: Encoding) -> Message:
    """Parse as much as possible of the MSH of a broken message, to acknowledge it; at worst return an empty MSH."""
    header = _header_bytes(raw)
    try:
        encoding = encoding_of(raw, default)
        return parse_text(header.decode(encoding, "replace"), encoding)
    except Hl7Error:
        pass
    try:
        message = parse_text(header.decode(default, "replace"), default)
    except Hl7Error:
        return parse_text("MSH|^~\\&|||||||||P|2.5", default)
    # the acknowledgement uses the default encoding, whatever MSH-18 says
    fields_to_17 = (*message.header.fields, *[""] * 18)[:18]
    header_segment = replace(message.header, fields=(*fields_to_17, CHARACTER_SET_NAMES[default]))
    return Message(message.syntax, (header_segment,))


def message_too_long(max_bytes: int) -> Hl7Error:
    """Return the error for a message of more than this number of bytes."""
    return Hl7Error(None, "102", Text(zh=f"消息超过{max_bytes}字节", en=f"the message exceeds {max_bytes} bytes"))


def _is_segment_name(name: str) -> bool:
    return len(name) == 3 and name.isascii() and name.isalnum() and name.isupper()  # noqa: PLR2004


def _parse_syntax(header: str, encoding: Encoding) -> Syntax:
    if not header.startswith("MSH"):
        raise Hl7Error(Location("MSH"), "100", Text(zh="消息须以MSH段开始", en="the message does not begin with MSH"))
    field = header[3:4]
    characters = header[4:].split(field, 1)[0] if field else ""
    delimiters = field + characters
    # four, and since version 2.7 the truncation character as a fifth
    if len(characters) not in (4, 5) or len(set(delimiters)) < len(delimiters) or not _are_delimiters(delimiters):
        text = Text(
            zh="MSH-1和MSH-2须为有效的分隔符，如|^~\\&",
            en="MSH-1 and MSH-2 must contain valid delimiters, such as |^~\\&",
        )
        raise Hl7Error(Location("MSH", 1, 2), "102", text)
    return Syntax(field, *characters[:4], encoding=encoding)


def _are_delimiters(characters: str) -> bool:
    return all("!" <= character <= "~" and not character.isalnum() for character in characters)


def _parse_segment(line: str, syntax: Syntax, counts: Counter[str]) -> Segment:
    if (control := _CONTROL.search(line)) is not None:
        text = Text(zh=f"含有控制字符{control[0]!r}", en=f"there is a control character, {control[0]!r}")
        raise Hl7Error(Location(line[:3], counts[line[:3]] + 1) if _is_segment_name(line[:3]) else None, "102", text)
    fields = line.split(syntax.field, MAX_FIELDS + 1)
    name = fields[0]
    if not _is_segment_name(name):
        number = counts.total() + 1
        text = Text(zh=f"第{number}个段没有段名", en=f"segment {number} of the message does not begin with a name")
        raise Hl7Error(None, "100", text)
    counts[name] += 1
    if len(fields) > MAX_FIELDS + 1:
        text = Text(zh=f"段内超过{MAX_FIELDS}个字段", en=f"the segment has more than {MAX_FIELDS} fields")
        raise Hl7Error(Location(name, counts[name]), "102", text)
    if name == "MSH":
        if counts[name] > 1:
            raise Hl7Error(
                Location(name, 2), "100", Text(zh="一条消息内出现了第二个MSH段", en="there is a second MSH segment")
            )
        fields.insert(1, syntax.field)  # MSH-1 is the delimiter itself
    return Segment(name, counts[name], tuple(fields), syntax)


@lru_cache(maxsize=16)
def _escape_pattern(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(f"{e}(?:([FSRTEHN])|X((?:[0-9A-Fa-f]{{2}})+)|\\.(br|sp|ce|in|ti|sk|fi|nf)(?:[+-]?[0-9]+)?){e}")


def unescape(raw: str, syntax: Syntax, location: Location | None = None) -> str:
    r"""Return the text without escape sequences (HL7 2.5, 2.7). Raises Hl7Error 102 for a `\Xhh\` that is not text.

    Line breaks become "\n", highlighting and layout are removed, and unknown sequences are kept, because many senders
    do not escape backslashes.
    """
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
    """Return text with escape sequences; `unescape` is its inverse."""
    return text.translate(_escape_table(syntax))


@lru_cache(maxsize=16)
def _escape_table(syntax: Syntax) -> dict[int, str]:
    e = syntax.escape
    sequences = {number: f"{e}X{number:02X}{e}" for number in (*range(32), 127)}
    sequences[ord("\n")] = f"{e}.br{e}"
    delimiters = {"F": syntax.field, "S": syntax.component, "R": syntax.repetition, "T": syntax.subcomponent, "E": e}
    return sequences | {ord(delimiter): f"{e}{letter}{e}" for letter, delimiter in delimiters.items()}
