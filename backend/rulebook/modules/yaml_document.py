"""Reading YAML with the location of each value.

Only the structure of the YAML is read. The schema decides what a scalar means, so that `1.10` is not silently read as
a float, and a duplicate key is an error.
"""
# ruamel.yaml does not declare the types of its nodes:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from backend.i18n import Text
from backend.rulebook.modules.layout import cut_by_comma, explain_error, find_flaws
from backend.rulebook.source import Location, SourceFile, nearest_key, suggest_key

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_DOCUMENTS = 8
_FIRST_KEYS = ("id", "case", "persona", "from")


class Part(Struct):
    """A part of a scalar: its characters [start, end) took the place [place_start, place_end) of a template."""

    start: int
    end: int
    place_start: int
    place_end: int
    location: Location


class YamlScalar(Struct):
    """A single value. `style` is its YAML quote or block indicator; `ends_at_line` is 1-based.

    A scalar that was made from a `template` has its `parts` from elsewhere in the file.
    """

    location: Location
    text: str
    style: str
    ends_at_line: int
    parts: tuple[Part, ...] = ()
    template: "YamlScalar | None" = None

    @property
    def plain(self) -> bool:
        """Whether it has no quotes, so that it may be a number or a date."""
        return not self.style


class YamlSequence(Struct):
    """A list of values."""

    location: Location
    items: list["YamlValue"]


class YamlEntry(Struct):
    """One `key: value` of a mapping, with the location of the key."""

    key: str
    location: Location
    value: "YamlValue"


class YamlMapping(Struct):
    """Keys and values, in the order of the file."""

    location: Location
    entries: dict[str, YamlEntry]


YamlValue = YamlScalar | YamlSequence | YamlMapping

_documents: dict[str, YamlValue] = {}


def read_document(file: SourceFile) -> YamlValue | None:
    """Parse one YAML document. Returns None and adds a fault if the file is empty or invalid.

    Several checks read the same file one after another, so the last valid documents are kept. Nobody may change one.
    """
    known = _documents.get(file.text)
    if known is not None and not file.faults:
        return known
    root = _parse(file)
    if root is not None and not file.faults:
        _documents[file.text] = root
        for oldest in list(_documents)[:-MAX_DOCUMENTS]:
            _documents.pop(oldest, None)
    return root


def _parse(file: SourceFile) -> YamlValue | None:
    if len(file.text) > MAX_FILE_BYTES:
        message = Text(
            zh=f"文件超过{MAX_FILE_BYTES:,}个字符", en=f"the file is longer than {MAX_FILE_BYTES:,} characters"
        )
        file.fault(Location(1, 1), message, Text(zh="请拆分模块", en="split the module"), "R004")
        return None
    flaws = list(find_flaws(file.text))
    for flaw in flaws:
        flaw.report(file)
    if flaws:  # not faults of another kind, found before the document is read again
        return None
    try:
        deepest = find_deep_nesting(file.text)
        if deepest is not None:
            message = Text(zh=f"嵌套超过{MAX_DEPTH}层", en=f"nested deeper than {MAX_DEPTH} levels")
            file.fault(deepest, message, Text(zh="请减少嵌套", en="nest less deeply"), "R004")
            return None
        root = YAML(typ="safe").compose(file.text)
    except MarkedYAMLError as error:
        explain_error(file.text, error).report(file)
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0]
        message = Text(zh=f"不是有效的 YAML：{problem}", en=f"not valid YAML: {problem}")
        file.fault(Location(1, 1), message, Text(zh="请检查这个文件", en="look for odd characters in the file"), "R003")
        return None
    if root is None:
        message = Text(zh="文件是空的", en="the file is empty")
        advice = Text(
            zh="规则模块以 `module: 文件夹.文件名` 开头", en="a rule module begins with `module: folder.file`"
        )
        file.fault(Location(1, 1), message, advice, "R001")
        return None
    return _Reader(file).value(root)


def find_deep_nesting(text: str) -> Location | None:
    """Return where YAML is nested deeper than MAX_DEPTH, or None. Raises YAMLError.

    The library composes by recursion in C, which would end the process; it finds the beginnings of lists one by one.
    """
    depth = 0
    for event in YAML(typ="safe").parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            return Location(event.start_mark.line + 1, event.start_mark.column + 1)
    return None


class _Reader:
    """Converts the nodes of the YAML library to values; rejects aliases, tags and duplicate keys."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.seen: set[int] = set()

    def value(self, node: Node) -> YamlValue | None:
        location = _location(node)
        if id(node) in self.seen:
            message = Text(zh="不支持 YAML 别名（*）", en="YAML aliases are not supported")
            self.file.fault(location, message, Text(zh="请把内容重写一遍", en="repeat the text instead"), "R005")
            return None
        self.seen.add(id(node))
        tag = str(node.tag)
        if not tag.startswith("tag:yaml.org,2002:") or "/" in tag:
            message = Text(zh=f"不支持 YAML 标签“{tag}”", en=f"the YAML tag {tag!r} is not supported")
            self.file.fault(location, message, Text(zh="请删去标签", en="remove the tag"), "R005")
            return None
        if isinstance(node, ScalarNode):
            return YamlScalar(location, node.value, node.style or "", node.end_mark.line + 1)
        if isinstance(node, SequenceNode):
            items = (self.value(item) for item in node.value)
            return YamlSequence(location, [item for item in items if item is not None])
        assert isinstance(node, MappingNode)
        return self._mapping(node)

    def _mapping(self, node: MappingNode) -> YamlMapping:
        entries: dict[str, YamlEntry] = {}
        for key, child in node.value:
            location = _location(key)
            if not isinstance(key, ScalarNode):
                self.file.fault(
                    location,
                    Text(zh="键应为词", en="a key must be a word"),
                    Text(zh="请把键写成一个词", en="write a word before the colon"),
                    "R005",
                )
                continue
            name = str(key.value)
            if name in entries:
                first = entries[name].location
                flaw = cut_by_comma(self.file.text, first.line, first.column)
                if flaw is not None:
                    flaw.report(self.file)
                    continue
                message = Text(zh=f"键“{name}”重复", en=f"duplicate key {name!r}")
                advice = Text(zh=f"第一处在第{first.line}行", en=f"the first one is in line {first.line}")
                if name == next(iter(entries)) and name in _FIRST_KEYS:
                    form = f"- {name}: ..."
                    advice = Text(zh=f"新的一项以 `{form}` 开头", en=f"a new item begins with `{form}`")
                    self.file.fault(location, message, advice, "R006")
                    break  # the other keys of the new item are not faults of their own
                self.file.fault(location, message, advice, "R006")
                continue
            value = self.value(child)
            if value is not None:
                entries[name] = YamlEntry(name, location, value)
        return YamlMapping(_location(node), entries)


def location_in(file: SourceFile, scalar: YamlScalar, start: int, end: int) -> Location:
    """Return the location in the file of the characters [start, end) of a scalar's text.

    Except for white space and escapes, the file contains the characters in the same order, however YAML folded them.
    """
    if scalar.template is not None:
        return _location_in_template(file, scalar, scalar.template, start, end)
    lines = file.text.split("\n")
    line, column = scalar.location.line - 1, scalar.location.column - 1
    if scalar.style in ("|", ">"):
        line, column = line + 1, 0
    elif scalar.style:
        column += 1
    at = line, column
    for character in scalar.text[: start + 1]:
        found = _find(lines, line, column, scalar.ends_at_line, character)
        if found is not None:
            at = found
            line, column = found[0], found[1] + 1
    length = min(end - start, len(lines[at[0]].rstrip()) - at[1]) if at[0] < len(lines) else 1
    return Location(at[0] + 1, at[1] + 1, max(1, length))


def _location_in_template(file: SourceFile, scalar: YamlScalar, template: YamlScalar, start: int, end: int) -> Location:
    """Return the part in which the characters are; without one, their location in the template."""
    shift = 0
    for part in scalar.parts:
        if part.start < end and start < part.end:
            return part.location
        if part.end <= start:
            shift += (part.end - part.start) - (part.place_end - part.place_start)
    return location_in(file, template, start - shift, end - shift)


def _find(lines: list[str], line: int, column: int, last_line: int, character: str) -> tuple[int, int] | None:
    if character.isspace():
        return None
    while line < min(last_line, len(lines)):
        found = lines[line].find(character, column)
        if found >= 0:
            return line, found
        line, column = line + 1, 0
    return None


def _location(node: Node) -> Location:
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Location(start.line + 1, start.column + 1, max(1, length))


def with_spelling(file: SourceFile, value: YamlMapping, key: str, known: Sequence[str]) -> dict[str, YamlEntry]:
    """Return the entries of a mapping, in which a misspelt `key` is a fault and has its right name."""
    entries = dict(value.entries)
    others = [other for other in entries if other not in known]
    meant = [other for other in others if key not in entries and nearest_key(other, [*known, key]) == key]
    for other in meant[:1]:
        wrong = entries.pop(other)
        message = Text(zh=f"没有“{other}”这个键", en=f"unknown key {other!r}")
        file.fault(wrong.location, message, suggest_key(other, [*known, key]), "R010")
        entries[key] = YamlEntry(key, wrong.location, wrong.value)
    return entries
