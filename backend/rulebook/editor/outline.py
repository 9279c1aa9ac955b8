"""What a rule module or a file of cases names, and where.

It is taken from the YAML; while the file is half written and is no YAML, from the beginnings of its lines.
"""

import re
from collections.abc import Iterator

from msgspec import Struct, field

from backend.rulebook.editor.place import ITEM
from backend.rulebook.modules.module_document import module_document
from backend.rulebook.modules.yaml_document import YamlMapping, YamlScalar, YamlSequence, YamlValue
from backend.rulebook.source import Location, SourceFile

Keys = tuple[str, ...]

_LINE = re.compile(r"""(?P<indent> *)(?:- +\{?)?(?P<key>[\w.]+) *:(?: +(?P<quote>["']?)(?P<value>[^,}#"'|>{\n]*))?""")


class Outline(Struct):
    """The names in a file. `scalars` are the single values at each path of keys, in the order of the file.

    `whole` is False for a file that is no YAML: it then has the head, the parameters and the ids of the rules alone.
    """

    parameters: dict[str, Location] = field(default_factory=dict[str, Location])
    rules: dict[str, Location] = field(default_factory=dict[str, Location])
    scalars: dict[Keys, list[YamlScalar]] = field(default_factory=dict[Keys, list[YamlScalar]])
    whole: bool = True

    def word(self, *keys: str) -> str:
        """Return the first value at a path of keys; empty if there is none."""
        found = self.scalars.get(keys)
        return found[0].text if found else ""

    def words(self, *keys: str) -> list[str]:
        """Return the values of a list of words, such as the `result` of a module."""
        return [scalar.text for scalar in self.scalars.get((*keys, ITEM), ())]


def outline(text: str) -> Outline:
    """Return the outline of a file."""
    root = module_document(SourceFile("", text, []))
    if not isinstance(root, YamlMapping):
        return _from_lines(text)
    found = Outline()
    parameters = root.entries.get("parameters")
    if parameters is not None and isinstance(parameters.value, YamlMapping):
        found.parameters = {entry.key: entry.location for entry in parameters.value.entries.values()}
    for keys, scalar in _scalars(root, ()):
        found.scalars.setdefault(keys, []).append(scalar)
        if keys == ("rules", ITEM, "id"):
            found.rules.setdefault(scalar.text, inner_location(scalar))
    return found


def inner_location(scalar: YamlScalar) -> Location:
    """Return the location of the text of a scalar in one line, without its quotes."""
    at = scalar.location
    if scalar.style in ("'", '"'):
        return Location(at.line, at.column + 1, max(1, at.length - 2))
    return at


def _scalars(value: YamlValue, keys: Keys) -> Iterator[tuple[Keys, YamlScalar]]:
    match value:
        case YamlScalar():
            yield keys, value
        case YamlSequence():
            for item in value.items:
                yield from _scalars(item, (*keys, ITEM))
        case YamlMapping():
            for entry in value.entries.values():
                yield from _scalars(entry.value, (*keys, entry.key))


def _from_lines(text: str) -> Outline:
    """Return what the beginnings of the lines show of a file that is no YAML."""
    found = Outline(whole=False)
    section = ""
    inner = 0
    for number, line in enumerate(text.split("\n"), 1):
        match = _LINE.match(line)
        if match is None:
            continue
        indent, key, value = len(match["indent"]), match["key"], (match["value"] or "").strip()
        scalar = YamlScalar(Location(number, match.start("value") + 1, max(1, len(value))), value, "", number)
        if indent == 0 and not line.startswith(ITEM):
            section, inner = key, 0
            if value.startswith("["):
                words = line[match.start("value") :].split("]")[0].strip("[ ").split(",")
                found.scalars[key, ITEM] = [YamlScalar(scalar.location, word.strip(), "", number) for word in words]
            elif value:
                found.scalars[key,] = [scalar]
        elif section == "parameters" and not line.lstrip().startswith(ITEM):
            inner = inner or indent
            if indent == inner:
                found.parameters.setdefault(key, Location(number, match.start("key") + 1, len(key)))
        elif section == "rules" and key == "id" and value:
            found.rules.setdefault(value, scalar.location)
    return found
