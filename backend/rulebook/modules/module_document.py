"""The YAML of a rule module as it is meant: tables of rules written out, and named sources in their places.

Whatever reads the rules of a file reads this document, so that a rule from a table has an id, a text, a source and a
location like any other. A fault in it is shown in the cell from which the text came.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook.modules.keys import MODULE_KEYS, RULE_KEYS
from backend.rulebook.modules.yaml_document import (
    Part,
    YamlEntry,
    YamlMapping,
    YamlScalar,
    YamlSequence,
    YamlValue,
    read_document,
    with_spelling,
)
from backend.rulebook.source import SourceFile, suggest

TABLE, SOURCES = "table", "sources"

_PLACE = re.compile(r"<([^\W\d]\w*)>")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def module_document(file: SourceFile) -> YamlValue | None:
    """Read the YAML of a rule module. Returns None and adds a fault if it is no YAML.

    `sources:` is left out, and each `table:` among the rules is replaced by its rules. Faults in them are added to the
    file (R080 to R083).
    """
    root = read_document(file)
    if not isinstance(root, YamlMapping):
        return root
    entries = with_spelling(file, root, SOURCES, MODULE_KEYS)
    named = _named_sources(file, entries.pop(SOURCES, None))
    rules = entries.get("rules")
    if rules is not None and isinstance(rules.value, YamlSequence):
        items = [rule for item in rules.value.items for rule in _expand(file, item, named)]
        entries["rules"] = replace(rules, value=replace(rules.value, items=items))
    document = YamlMapping(root.location, entries)
    return _with_sources(file, document, named) if named else document


# ── sources ──


def _named_sources(file: SourceFile, entry: YamlEntry | None) -> Mapping[str, YamlScalar]:
    if entry is None:
        return {}
    if not isinstance(entry.value, YamlMapping):
        message = Text(zh="`sources` 按名称列出各项依据", en="`sources` lists the sources by their names")
        file.fault(entry.value.location, message, _EXAMPLE_OF_SOURCES, "R080")
        return {}
    named: dict[str, YamlScalar] = {}
    for one in entry.value.entries.values():
        if isinstance(one.value, YamlScalar) and _NAME.fullmatch(one.key):
            named[one.key] = one.value
        else:
            message = Text(zh=f"{one.key!r} 不是依据的名称或其内容", en=f"{one.key!r} is not a name with one source")
            file.fault(one.location, message, _EXAMPLE_OF_SOURCES, "R080")
    return named


_EXAMPLE_OF_SOURCES = Text(
    zh='写作 sources: {order_2020: "[V] ……"}', en='write sources: {order_2020: "[V] ..."}, in lower-case letters'
)


def _with_sources(file: SourceFile, value: YamlMapping, named: Mapping[str, YamlScalar]) -> YamlMapping:
    """Return the mapping with the text of a named source wherever a `source` names it."""

    def resolved(entry: YamlEntry) -> YamlEntry:
        if entry.key == "source" and isinstance(entry.value, YamlScalar):
            return replace(entry, value=_resolve_source(file, entry.value, named))
        return replace(entry, value=inside(entry.value))

    def inside(value: YamlValue) -> YamlValue:
        match value:
            case YamlMapping():
                return replace(value, entries={key: resolved(entry) for key, entry in value.entries.items()})
            case YamlSequence():
                return replace(value, items=[inside(item) for item in value.items])
            case YamlScalar():
                return value

    found = inside(value)
    assert isinstance(found, YamlMapping)
    return found


def _resolve_source(file: SourceFile, scalar: YamlScalar, named: Mapping[str, YamlScalar]) -> YamlScalar:
    if _NAME.fullmatch(scalar.text) and scalar.plain:
        if scalar.text in named:
            return named[scalar.text]
        message = Text(zh=f"没有名为 {scalar.text!r} 的依据", en=f"there is no source named {scalar.text!r}")
        file.fault(scalar.location, message, suggest(scalar.text, named), "R081")
        return scalar
    return _fill(file, scalar, named, Text(zh="依据", en="source"))


# ── tables ──


@dataclass
class _Row:
    cells: Mapping[str, YamlEntry]
    sources: Mapping[str, YamlScalar]
    used: set[str] = field(default_factory=set[str])

    def texts(self, key: str) -> Mapping[str, YamlScalar]:
        """Return what the entry of a rule may refer to: the cells, and in a source the named sources as well."""
        cells = {name: cell.value for name, cell in self.cells.items() if isinstance(cell.value, YamlScalar)}
        return {**self.sources, **cells} if key == "source" else cells


def _expand(file: SourceFile, item: YamlValue, sources: Mapping[str, YamlScalar]) -> list[YamlValue]:
    """Return the rules of a table, or the rule itself if it is none."""
    if not isinstance(item, YamlMapping):
        return [item]
    template = with_spelling(file, item, TABLE, RULE_KEYS)
    table = template.pop(TABLE, None)
    if table is None:
        return [item]
    rows = table.value.items if isinstance(table.value, YamlSequence) else []
    if not rows or not all(isinstance(row, YamlMapping) for row in rows):
        message = Text(zh="`table` 是一张表：每行是 {列: 值, ……}", en="`table` is a list of rows {column: value, ...}")
        file.fault(table.value.location, message, _EXAMPLE_OF_TABLE, "R082")
        return []
    return [_rule_of(file, _Row(row.entries, sources), template, row) for row in rows if isinstance(row, YamlMapping)]


_EXAMPLE_OF_TABLE = Text(
    zh="写作 - {class: a, amount: 3_000 yuan}；规则中以 <class>、<amount> 引用",
    en="write - {class: a, amount: 3_000 yuan}; the rule refers to <class> and <amount>",
)


def _rule_of(file: SourceFile, row: _Row, template: Mapping[str, YamlEntry], value: YamlMapping) -> YamlMapping:
    entries: dict[str, YamlEntry] = {}
    for key, entry in template.items():
        entries[key] = replace(entry, value=_fill_value(file, entry.value, row, key))
    for key, cell in row.cells.items():
        if key in _OWN_KEYS and key not in template:
            entries[key] = cell
            row.used.add(key)
    for key in row.cells.keys() - row.used:
        message = Text(zh=f"规则没有用到 {key!r} 列", en=f"the rule does not use the column {key!r}")
        advice = Text(zh=f"在规则中写 <{key}>，或删去此列", en=f"write <{key}> in the rule, or remove the column")
        file.fault(row.cells[key].location, message, advice, "R082")
    return YamlMapping(value.location, entries)


_OWN_KEYS = ("from", "until", "then", "because", "remedy", "source", "article")
"""Columns that are keys of a rule: without a key of its own, the rule takes them over."""


def _fill_value(file: SourceFile, value: YamlValue, row: _Row, key: str) -> YamlValue:
    match value:
        case YamlMapping():
            entries = {k: replace(e, value=_fill_value(file, e.value, row, key)) for k, e in value.entries.items()}
            return replace(value, entries=entries)
        case YamlSequence():
            return replace(value, items=[_fill_value(file, item, row, key) for item in value.items])
        case YamlScalar():
            row.used.update(name for name in _PLACE.findall(value.text) if name in row.cells)
            return _fill(file, value, row.texts(key), Text(zh="列", en="column of this table"))


def _fill(file: SourceFile, scalar: YamlScalar, named: Mapping[str, YamlScalar], what: Text) -> YamlScalar:
    """Return the scalar with the named texts in its places `<name>`; alone in its place, a text stays what it is."""
    found = list(_PLACE.finditer(scalar.text))
    unknown = next((place for place in found if place[1] not in named), None)
    if unknown is not None:
        message = Text(zh=f"没有{what.zh} {unknown[1]!r}", en=f"there is no {what.en} {unknown[1]!r}")
        if all((fault.location, fault.message) != (scalar.location, message) for fault in file.faults):
            file.fault(scalar.location, message, suggest(unknown[1], named), "R083")  # once for all rows of a table
        return scalar
    if not found:
        return scalar
    if found[0][0] == scalar.text:
        return named[found[0][1]]
    return _joined(scalar, [(place.start(), place.end(), named[place[1]]) for place in found])


def _joined(template: YamlScalar, places: Sequence[tuple[int, int, YamlScalar]]) -> YamlScalar:
    text, parts, position = "", list[Part](), 0
    for start, end, cell in places:
        text += template.text[position:start]
        parts.append(Part(len(text), len(text) + len(cell.text), start, end, cell.location))
        text += cell.text
        position = end
    text += template.text[position:]
    return YamlScalar(places[0][2].location, text, template.style or '"', template.ends_at_line, tuple(parts), template)
