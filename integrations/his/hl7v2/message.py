r"""Parse HL7 v2 messages, from bytes to values that carry their location.

Bytes are decoded first and split afterwards: in GB18030 each delimiter is also the second byte of 126 characters.

The hl7 package is not used, because it builds an object for every empty field (1 MiB of `|` costs 450 MB and seconds),
expands `\.sp99999999\` from fourteen bytes to a hundred million, and decodes `\Xhh\` as Latin-1. This parser splits a
field on access, and limits the size of a message.
"""

import codecs
import re
from collections import Counter

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from integrations.his.hl7v2.errors import Hl7Error, Location
from integrations.his.hl7v2.syntax import Encoding, Syntax, nth_part, parse_syntax, unescape

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

_PREAMBLE = re.compile(rb"(?:\xef\xbb\xbf|\x84\x31\x95\x33|[ \t\r\n])+")
"""What may precede a message: a byte order mark in UTF-8 or GB18030, and blank lines."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"M\0S\0", b"\0M\0S")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile(rb"[\r\n]")


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
            first = nth_part(first, separator, 1)
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
        return self.subpart(nth_part(self.raw, self.syntax.repetition, number), repetition=number)

    def component(self, number: int) -> "Part":
        """Return a component of a repetition (of a field, of its first one), empty if missing."""
        parent = self if self.location.repetition else self.repetition(1)
        return parent.subpart(nth_part(parent.raw, parent.syntax.component, number), component=number)

    def subcomponent(self, number: int) -> "Part":
        """Return a subcomponent of a component (of a larger part, of its first one), empty if missing."""
        parent = self if self.location.component else self.component(1)
        return parent.subpart(nth_part(parent.raw, parent.syntax.subcomponent, number), subcomponent=number)

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

    @property
    def is_before_2_5(self) -> bool:
        """Return whether MSH-12 names a version before 2.5, where ERR and FT1 have fewer fields."""
        return "" < self.header.field(12).component(1).raw < "2.5"

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
    if raw.startswith(_UTF_16):
        text = Text(zh="消息采用UTF-16编码，请使用UTF-8或GB18030", en="the message is in UTF-16; send UTF-8 or GB18030")
        raise Hl7Error(None, "102", text)
    encoding = encoding_of(raw, default)
    return parse_text(decode(without_preamble(raw), encoding), encoding)


def without_preamble(raw: bytes) -> bytes:
    """Return a message without the byte order mark and the blank lines before it."""
    found = _PREAMBLE.match(raw)
    return raw[found.end() :] if found is not None else raw


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
        raise Hl7Error(location, "102", _invalid_byte(raw, error.start, encoding)) from None


def _invalid_byte(raw: bytes, start: int, encoding: Encoding) -> Text:
    """Return the text for a byte that is invalid in an encoding, with the encoding that the whole message has instead.

    Most bytes are valid GB18030. Text before the byte that was valid UTF-8 shows that the message is not GB18030.
    """
    zh, en = f"第{start + 1}个字节不是{encoding.upper()}编码", f"byte {start + 1} is not {encoding.upper()}"
    other: Encoding = "gb18030" if encoding == "utf-8" else "utf-8"
    try:
        raw.decode(other)
        is_other = other == "utf-8" or raw[:start].isascii()
    except UnicodeDecodeError:
        is_other = False
    if not is_other:
        return Text(zh=zh, en=en)
    return Text(zh=f"{zh}，MSH-18应为{other.upper()}", en=f"{en}; set MSH-18 to {other.upper()}")


def encoding_of(raw: bytes, default: Encoding) -> Encoding:
    """Return the encoding of a message. Raises Hl7Error 103 if MSH-18 names an unsupported one.

    In the wrong encoding, a facility name before MSH-18 can hide a delimiter or add one. Therefore an encoding is
    accepted only if the header, decoded in it, names it. A byte order mark of UTF-8 is a default of the message itself.
    """
    if raw.startswith(codecs.BOM_UTF8):
        default = "utf-8"
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
    return _LINE_END.split(without_preamble(raw[:MAX_HEADER_BYTES]), maxsplit=1)[0]


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
    syntax = parse_syntax(lines[0], encoding)
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
    if raw.startswith(_UTF_16):
        little_endian = raw[:2] == codecs.BOM_UTF16_LE or raw[1:2] == b"\0"
        text = raw[:MAX_HEADER_BYTES].decode("utf-16-le" if little_endian else "utf-16-be", "replace")
        text = text.lstrip("\ufeff").split("\r", 1)[0]
    else:
        text = header.decode(default, "replace")
    try:
        message = parse_text(text, default)
    except Hl7Error:
        message = _read_fields(text, default)
    # the acknowledgement uses the default encoding, whatever MSH-18 says
    fields_to_17 = (*message.header.fields, *[""] * 18)[:18]
    header_segment = replace(message.header, fields=(*fields_to_17, CHARACTER_SET_NAMES[default]))
    return Message(message.syntax, (header_segment,))


def _read_fields(header: str, encoding: Encoding) -> Message:
    """Return the fields of an MSH with invalid delimiters or control characters, between the usual delimiters."""
    syntax = Syntax(encoding=encoding)
    sent = header.split(header[3:4], 20)[2:] if header.startswith("MSH") and header[3:4] else []
    fields = [_CONTROL.sub("", value).replace(syntax.field, f"{syntax.escape}F{syntax.escape}") for value in sent]
    fields += [""] * (10 - len(fields))
    fields[8:10] = fields[8] or "P", fields[9] or "2.5"
    return Message(syntax, (Segment("MSH", 1, ("MSH", syntax.field, "^~\\&", *fields), syntax),))


def message_too_long(max_bytes: int) -> Hl7Error:
    """Return the error for a message of more than this number of bytes."""
    return Hl7Error(None, "102", Text(zh=f"消息超过{max_bytes}字节", en=f"the message exceeds {max_bytes} bytes"))


def _is_segment_name(name: str) -> bool:
    return len(name) == 3 and name.isascii() and name.isalnum() and name.isupper()  # noqa: PLR2004


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
