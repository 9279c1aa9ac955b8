"""Reading YAML with places: what an author wrote, and where.

YAML is read for its shape alone. What a scalar means is decided by the part of the schema that expects it, so that
`1.10` never becomes a float behind an author's back and a duplicate key never wins silently.
"""
# ruamel.yaml does not tell the types of its nodes:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from backend.rulebook.source import Place, SourceFile

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 40


class Scalar(Struct):
    """A word or text. `style` is YAML's mark for how it was written; `ends_at_line` counts from 1."""

    place: Place
    text: str
    style: str
    ends_at_line: int

    @property
    def plain(self) -> bool:
        """Tell that it stood without quotes, so that it may be read as a number or a date."""
        return not self.style


class Sequence(Struct):
    """A list of values."""

    place: Place
    items: list["Value"]


class Entry(Struct):
    """One `key: value` of a mapping, with the key's place."""

    key: str
    place: Place
    value: "Value"


class Mapping(Struct):
    """Keys and values, in the author's order."""

    place: Place
    entries: dict[str, Entry]


Value = Scalar | Sequence | Mapping


def read_document(file: SourceFile) -> Value | None:
    """Read one YAML document; None, with a fault noted, where the file is empty or is no such document."""
    if len(file.text) > MAX_FILE_BYTES:
        file.fault(Place(1, 1), f"the file is longer than {MAX_FILE_BYTES:,} characters")
        return None
    try:
        root = YAML(typ="safe").compose(file.text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        tab = "\t" in (file.text.split("\n")[place.line - 1 : place.line] or [""])[0]
        advice = "indent with spaces: YAML has no tabs" if tab else ""
        file.fault(place, f"not valid YAML: {error.problem or error.context}", advice)
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        file.fault(Place(1, 1), f"not valid YAML: {str(error).splitlines()[0]}")
        return None
    if root is None:
        file.fault(Place(1, 1), "the file is empty", "a rule module begins with `module: folder.file`")
        return None
    return _Reader(file).value(root, 0)


class _Reader:
    """Turns the YAML library's nodes into values, refusing what a rule file must not hold."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.seen: set[int] = set()

    def value(self, node: Node, depth: int) -> Value | None:
        place = _place(node)
        if id(node) in self.seen:
            self.file.fault(place, "a YAML alias repeats another part of the file", "write the part out")
            return None
        self.seen.add(id(node))
        if depth > MAX_DEPTH:
            self.file.fault(place, f"nested deeper than {MAX_DEPTH} levels")
            return None
        tag = str(node.tag)
        if not tag.startswith("tag:yaml.org,2002:") or "/" in tag:
            self.file.fault(place, f"the YAML tag {tag!r} has no meaning here", "remove the tag")
            return None
        if isinstance(node, ScalarNode):
            return Scalar(place, node.value, node.style or "", node.end_mark.line + 1)
        if isinstance(node, SequenceNode):
            items = (self.value(item, depth + 1) for item in node.value)
            return Sequence(place, [item for item in items if item is not None])
        assert isinstance(node, MappingNode)
        return self._mapping(node, depth)

    def _mapping(self, node: MappingNode, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        for key, child in node.value:
            place = _place(key)
            if not isinstance(key, ScalarNode):
                self.file.fault(place, "a key must be a word")
                continue
            name = str(key.value)
            if name in entries:
                first = entries[name].place
                self.file.fault(place, f"duplicate key {name!r}", f"the first one stands in line {first.line}")
                continue
            value = self.value(child, depth + 1)
            if value is not None:
                entries[name] = Entry(name, place, value)
        return Mapping(_place(node), entries)


def locate(file: SourceFile, scalar: Scalar, start: int, end: int) -> Place:
    """Give the place in the file of the characters [start, end) of a scalar's text.

    All but white space and escapes stands in the file in the same order as in the value, however YAML folded it.
    """
    lines = file.text.split("\n")
    line, column = scalar.place.line - 1, scalar.place.column - 1
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
    return Place(at[0] + 1, at[1] + 1, max(1, length))


def _find(lines: list[str], line: int, column: int, last_line: int, character: str) -> tuple[int, int] | None:
    if character.isspace():
        return None
    while line < min(last_line, len(lines)):
        found = lines[line].find(character, column)
        if found >= 0:
            return line, found
        line, column = line + 1, 0
    return None


def _place(node: Node) -> Place:
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Place(start.line + 1, start.column + 1, max(1, length))
