r"""HL7 v2 messages, from bytes to values that know their place.

Bytes become text first and are split after: in GB18030 each of the delimiters is also the second byte of 126
characters.

The reader is our own, not the hl7 package's: that one builds an object for every empty field (1 MiB of `|` costs
450 MB and seconds), lets `\.sp99999999\` grow fourteen bytes into a hundred million, and reads `\Xhh\` as Latin-1.
This one splits a field when it is asked for, and holds a message to bounds.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from integrations.his.hl7v2.error import Hl7Error, Place

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
"""HL7 table 0211 and what the field writes for it, without spaces and hyphens; None leaves the hospital's default.

ASCII is declared by many who send Chinese. GBK and GB2312 are parts of GB18030.
"""

NAMES: dict[Encoding, str] = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}
"""What table 0211 calls our encodings."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile(rb"[\r\n]")


class Syntax(Struct, frozen=True):
    """How a message is written: its delimiters (MSH-1, MSH-2), and the encoding in which it came."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    encoding: Encoding = "utf-8"


class Part(Struct, frozen=True):
    """A field, a repetition, a component or a subcomponent: `place` tells which, `raw` is as it was sent."""

    raw: str
    place: Place
    syntax: Syntax

    @property
    def text(self) -> str:
        """The value without escapes, empty if there is none; of something composed, the value of its first part."""
        if self.deleted:
            return ""
        first = self.raw
        for separator in (self.syntax.repetition, self.syntax.component, self.syntax.subcomponent):
            first = first.split(separator, 1)[0]
        return unescape(first, self.syntax, self.place) if self.syntax.escape in first else first

    @property
    def deleted(self) -> bool:
        """Whether the sender says, by two quotes, that the value is to be erased."""
        return self.raw == '""'

    def required(self) -> str:
        """Give the text. Raises Hl7Error 101 where there is none."""
        text = self.text
        if not text:
            raise Hl7Error(self.place, "101", Text(zh=f"缺少必填的 {self.place}", en=f"{self.place} is required"))
        return text

    def repetitions(self) -> tuple["Part", ...]:
        """Give the repetitions of a field; an empty field has none."""
        if not self.raw:
            return ()
        raws = self.raw.split(self.syntax.repetition)
        return tuple(self.part(raw, repetition=number) for number, raw in enumerate(raws, 1))

    def repetition(self, number: int) -> "Part":
        """Give a repetition of a field, empty if it is not there."""
        return self.part(_nth(self.raw, self.syntax.repetition, number), repetition=number)

    def component(self, number: int) -> "Part":
        """Give a component of a repetition (of a field, the first), empty if it is not there."""
        of = self if self.place.repetition else self.repetition(1)
        return of.part(_nth(of.raw, of.syntax.component, number), component=number)

    def subcomponent(self, number: int) -> "Part":
        """Give a subcomponent of a component (of something larger, the first), empty if it is not there."""
        of = self if self.place.component else self.component(1)
        return of.part(_nth(of.raw, of.syntax.subcomponent, number), subcomponent=number)

    def part(self, raw: str, *, repetition: int = 0, component: int = 0, subcomponent: int = 0) -> "Part":
        """Give what stands at a place within this one."""
        at = self.place
        place = Place(
            at.segment,
            at.sequence,
            at.field,
            at.repetition or repetition,
            at.component or component,
            at.subcomponent or subcomponent,
        )
        return Part(raw, place, self.syntax)


def _nth(raw: str, separator: str, number: int) -> str:
    parts = raw.split(separator, number)
    return parts[number - 1] if number <= len(parts) else ""


class Segment(Struct, frozen=True):
    """One line of a message, the `sequence`-th of its name. `fields[n]` is field n as it was sent."""

    name: str
    sequence: int
    fields: tuple[str, ...]
    syntax: Syntax

    def field(self, number: int) -> Part:
        """Give a field, empty if it is not there. MSH-1 and MSH-2 are read from the message's `syntax`."""
        assert number > 2 or self.name != "MSH", "delimiters are no values"  # noqa: PLR2004  MSH-1 and MSH-2
        raw = self.fields[number] if number < len(self.fields) else ""
        return Part(raw, Place(self.name, self.sequence, number), self.syntax)


class Message(Struct, frozen=True):
    """What was sent: segments in their order, the first of them MSH."""

    syntax: Syntax
    segments: tuple[Segment, ...]

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]

    def all(self, name: str) -> tuple[Segment, ...]:
        """Give all segments of a name, in their order."""
        return tuple(segment for segment in self.segments if segment.name == name)

    def segment(self, name: str) -> Segment:
        """Give the first segment of a name. Raises Hl7Error 100 where there is none."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise Hl7Error(Place(name), "100", Text(zh=f"缺少 {name} 段", en=f"there is no {name} segment"))


def read(raw: bytes, default: Encoding, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    """Read a message in the encoding that its MSH-18 names, or in the hospital's default. Raises Hl7Error."""
    if len(raw) > max_bytes:
        raise too_long(max_bytes)
    encoding = encoding_of(raw, default)
    return read_message(decode(raw, encoding), encoding)


def decode(raw: bytes, encoding: Encoding) -> str:
    """Turn bytes into text, strictly. Raises Hl7Error 102 with the byte's number, counted from 1."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.rfind(b"\r", 0, error.start) + 1
        name = raw[line : line + 3]
        sequence = (b"\r" + raw[: error.start]).count(b"\r" + name)
        place = Place(name.decode("ascii"), max(sequence, 1)) if _is_name(name.decode("latin-1")) else None
        said = Text(
            zh=f"第 {error.start + 1} 个字节不是 {encoding.upper()} 编码",
            en=f"byte {error.start + 1} is not {encoding.upper()}",
        )
        raise Hl7Error(place, "102", said) from None


def encoding_of(raw: bytes, default: Encoding) -> Encoding:
    """Tell in which encoding a message is written. Raises Hl7Error 103 for an MSH-18 that names none of ours.

    Read in a wrong encoding, the names of facilities before MSH-18 may swallow a delimiter, or give one too many. So an
    encoding is believed where the header, read in it, names it.
    """
    header = _header_bytes(raw)
    said: Encoding | None = None
    unknown: Hl7Error | None = None
    other: Encoding = "gb18030" if default == "utf-8" else "utf-8"
    for encoding in (default, other):
        try:
            declared = _declared(header.decode(encoding))
        except UnicodeDecodeError:
            continue
        except Hl7Error as error:
            unknown = unknown or error
            continue
        if declared == encoding:
            return encoding
        said = said or declared
    if said is None and unknown is not None:
        raise unknown
    return said or default


def _header_bytes(raw: bytes) -> bytes:
    return _LINE_END.split(raw[:MAX_HEADER_BYTES].lstrip(b"\r\n"), maxsplit=1)[0]


def _declared(header: str) -> Encoding | None:
    fields = header.split(header[3:4] or "|", 18)
    repetition = header[5:6] or "~"
    for word in (fields[17] if len(fields) > 17 else "").split(repetition):  # noqa: PLR2004  MSH-18
        plain = re.sub(r"[ _-]", "", word.upper())
        if plain not in _CHARACTER_SETS:
            said = Text(zh=f"不支持的字符集 {word[:40]}", en=f"the character set {word[:40]!r} is not supported")
            raise Hl7Error(Place("MSH", 1, 18), "103", said)
        encoding = _CHARACTER_SETS[plain]
        if encoding is not None:
            return encoding
    return None


def read_message(text: str, encoding: Encoding = "utf-8", *, at_most: int = MAX_MESSAGE_BYTES) -> Message:
    """Read a message of at most so many characters, that came in this encoding. Raises Hl7Error.

    Segments end with a carriage return; a line feed, alone or after it, is taken for one.
    """
    if len(text) > at_most:
        raise too_long(at_most)
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    lines = text.strip("\r").split("\r", MAX_SEGMENTS)
    if len(lines) > MAX_SEGMENTS:
        raise Hl7Error(
            None,
            "100",
            Text(zh=f"消息超过 {MAX_SEGMENTS} 段", en=f"there are more than {MAX_SEGMENTS} segments"),
        )
    syntax = _read_syntax(lines[0], encoding)
    counts = Counter[str]()
    return Message(syntax, tuple(_read_segment(line, syntax, counts) for line in lines if line))


def header_of(raw: bytes, default: Encoding) -> Message:
    """Read what can be read of a broken message's MSH, so that it can be answered; an empty one if nothing can."""
    header = _header_bytes(raw)
    try:
        encoding = encoding_of(raw, default)
        return read_message(header.decode(encoding, "replace"), encoding)
    except Hl7Error:
        pass
    try:
        message = read_message(header.decode(default, "replace"), default)
    except Hl7Error:
        return read_message("MSH|^~\\&|||||||||P|2.5", default)
    # the answer will be in the default, whatever the sender named
    until_18 = (*message.header.fields, *[""] * 18)[:18]
    named = replace(message.header, fields=(*until_18, NAMES[default]))
    return Message(message.syntax, (named,))


def too_long(at_most: int) -> Hl7Error:
    """Give the error of a message of more than so many bytes."""
    return Hl7Error(None, "102", Text(zh=f"消息超过 {at_most} 字节", en=f"the message exceeds {at_most} bytes"))


def _is_name(name: str) -> bool:
    return len(name) == 3 and name.isascii() and name.isalnum() and name.isupper()  # noqa: PLR2004


def _read_syntax(header: str, encoding: Encoding) -> Syntax:
    if not header.startswith("MSH"):
        raise Hl7Error(Place("MSH"), "100", Text(zh="消息不以 MSH 段开始", en="the message does not begin with MSH"))
    field = header[3:4]
    characters = header[4:].split(field, 1)[0] if field else ""
    delimiters = field + characters
    # four, and since version 2.7 a fifth that marks what was cut
    if len(characters) not in (4, 5) or len(set(delimiters)) < len(delimiters) or not _may_delimit(delimiters):
        said = Text(zh="MSH-1、MSH-2 的分隔符无效", en="MSH-1 and MSH-2 name no delimiters, such as |^~\\&")
        raise Hl7Error(Place("MSH", 1, 2), "102", said)
    return Syntax(field, *characters[:4], encoding=encoding)


def _may_delimit(characters: str) -> bool:
    return all("!" <= character <= "~" and not character.isalnum() for character in characters)


def _read_segment(line: str, syntax: Syntax, counts: Counter[str]) -> Segment:
    if (control := _CONTROL.search(line)) is not None:
        said = Text(zh=f"含有控制字符 {control[0]!r}", en=f"there is a control character, {control[0]!r}")
        raise Hl7Error(Place(line[:3], counts[line[:3]] + 1) if _is_name(line[:3]) else None, "102", said)
    fields = line.split(syntax.field, MAX_FIELDS + 1)
    name = fields[0]
    if not _is_name(name):
        number = counts.total() + 1
        said = Text(zh=f"第 {number} 段没有段名", en=f"segment {number} of the message does not begin with a name")
        raise Hl7Error(None, "100", said)
    counts[name] += 1
    if len(fields) > MAX_FIELDS + 1:
        said = Text(zh=f"段内超过 {MAX_FIELDS} 个字段", en=f"the segment has more than {MAX_FIELDS} fields")
        raise Hl7Error(Place(name, counts[name]), "102", said)
    if name == "MSH":
        if counts[name] > 1:
            raise Hl7Error(
                Place(name, 2), "100", Text(zh="一个消息块内有两个 MSH 段", en="there is a second MSH segment")
            )
        fields.insert(1, syntax.field)  # MSH-1 is the delimiter itself
    return Segment(name, counts[name], tuple(fields), syntax)


@lru_cache(maxsize=16)
def _escapes(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(f"{e}(?:([FSRTEHN])|X((?:[0-9A-Fa-f]{{2}})+)|\\.(br|sp|ce|in|ti|sk|fi|nf)[+-]?[0-9]*){e}")


def unescape(raw: str, syntax: Syntax, place: Place | None = None) -> str:
    r"""Give the text that was meant (HL7 2.5, 2.7). Raises Hl7Error 102 for a `\Xhh\` that is no text.

    Line breaks become "\n", marks for highlighting and layout vanish, and what is no known sequence stays as it stands:
    many senders do not escape a backslash.
    """
    meant = {"F": syntax.field, "S": syntax.component, "R": syntax.repetition, "T": syntax.subcomponent}
    meant["E"] = syntax.escape

    def mean(found: re.Match[str]) -> str:
        letter, digits, layout = found.groups()
        if letter:
            return meant.get(letter, "")
        if layout:
            return "\n" if layout in ("br", "sp", "ce") else ""
        try:
            return bytes.fromhex(digits).decode(syntax.encoding)
        except UnicodeDecodeError:
            said = Text(
                zh=f"转义的字节不是 {syntax.encoding.upper()} 编码",
                en=f"the escaped bytes are not {syntax.encoding.upper()}",
            )
            raise Hl7Error(place, "102", said) from None

    return _escapes(syntax.escape).sub(mean, raw)


def escape(text: str, syntax: Syntax) -> str:
    """Write text so that `unescape` gives it back."""
    return text.translate(_escaped(syntax))


@lru_cache(maxsize=16)
def _escaped(syntax: Syntax) -> dict[int, str]:
    e = syntax.escape
    sequences = {number: f"{e}X{number:02X}{e}" for number in (*range(32), 127)}
    sequences[ord("\n")] = f"{e}.br{e}"
    delimiters = {"F": syntax.field, "S": syntax.component, "R": syntax.repetition, "T": syntax.subcomponent, "E": e}
    return sequences | {ord(delimiter): f"{e}{letter}{e}" for letter, delimiter in delimiters.items()}
