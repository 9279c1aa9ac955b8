"""Where the name under the cursor is defined, and every place that a rename must change."""

import inspect
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from backend.rulebook.editor.completion import Draft
from backend.rulebook.editor.expression import type_of
from backend.rulebook.editor.outline import Outline, inner_location
from backend.rulebook.editor.place import ITEM
from backend.rulebook.editor.symbols import CONDITION, RULE_PLACES, TEXT_KEYS, Symbol
from backend.rulebook.modules.module import OTHERWISE
from backend.rulebook.modules.yaml_document import YamlScalar, location_in
from backend.rulebook.source import Location, SourceFile

_CLAIM_CONDITIONS = tuple(("claims", ITEM, key) for key in ("always", "if", "where", "unless"))
_RULE_ID = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,63}")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")


class Definition(Struct, frozen=True):
    """A location in a file; an empty `path` is the file of the rule module."""

    path: str
    location: Location


def definition_of(symbol: Symbol, draft: Draft) -> Definition | None:
    """Return where a name is defined: in the rule module, or for facts in the source of their Struct."""
    match symbol.kind:
        case "parameter":
            return _in_module(draft.module.parameters.get(symbol.name))
        case "rule":
            return _in_module(draft.module.rules.get(symbol.name))
        case "module":
            return Definition("", Location(1, 1))
        case "struct":
            struct = draft.structs.get(symbol.name)
            return None if struct is None else definition_in_source(struct)
        case "fact":
            owner, _, name = symbol.chain.rpartition(".")
            kind = type_of(owner, symbol.place.typed, draft.scope)
            return None if kind is None or kind.struct is None else definition_in_source(kind.struct, name)
        case "key" | "function" | "variable":
            return None


def _in_module(location: Location | None) -> Definition | None:
    return None if location is None else Definition("", location)


def definition_in_source(struct: type[Struct], field: str = "") -> Definition | None:
    """Return where a Struct, or one of its fields, is written in Python; None if it was not written there."""
    try:
        path, (lines, first) = inspect.getsourcefile(struct), inspect.getsourcelines(struct)
    except (OSError, TypeError):
        return None
    if path is None:
        return None
    pattern = re.compile(rf"\s+(?P<name>{re.escape(field)}):" if field else rf"class (?P<name>{struct.__name__})\b")
    for number, line in enumerate(lines):
        found = pattern.match(line)
        if found is not None:
            return Definition(path, Location(first + number, found.start("name") + 1, len(found["name"])))
    return Definition(path, Location(first, 1))


def is_valid_name(symbol: Symbol, name: str) -> bool:
    """Return whether a rule or a parameter may have this name."""
    if symbol.kind == "rule":
        return _RULE_ID.fullmatch(name) is not None and name != OTHERWISE
    return _PARAMETER.fullmatch(name) is not None and name not in ("facts", "now")


def uses_of(symbol: Symbol, file: SourceFile, found: Outline, *, is_module: bool) -> Iterator[Location]:
    """Yield every location of a rule's id or a parameter's name in the rule module, its cases or its claims."""
    if symbol.kind == "rule":
        yield from _rule_uses(symbol.name, file, found)
    elif is_module and symbol.kind == "parameter":
        yield from _parameter_uses(symbol.name, file, found)


def _rule_uses(name: str, file: SourceFile, found: Outline) -> Iterator[Location]:
    for keys in (("rules", ITEM, "id"), *RULE_PLACES, ("claims", ITEM, "never_both", ITEM)):
        yield from (inner_location(scalar) for scalar in found.scalars.get(keys, ()) if scalar.text == name)
    quoted = re.compile(rf"([\"'])(?P<name>{re.escape(name)})\1")
    for keys in _CLAIM_CONDITIONS:
        for scalar in found.scalars.get(keys, ()):
            yield from _locations(file, scalar, quoted)


def _parameter_uses(name: str, file: SourceFile, found: Outline) -> Iterator[Location]:
    if name in found.parameters:
        yield found.parameters[name]
    for scalar in found.scalars.get(("rules", ITEM, "then"), ()):
        if scalar.text == name:
            yield inner_location(scalar)
    for scalar in found.scalars.get(CONDITION, ()):
        yield from _locations(file, scalar, re.compile(rf"(?<![\w.])(?P<name>{re.escape(name)})(?!\w)"), _QUOTED)
    for keys, scalars in found.scalars.items():
        if len(keys) > 1 and keys[-2] in TEXT_KEYS:
            for scalar in scalars:
                yield from _locations(file, scalar, re.compile(rf"\{{(?P<name>{re.escape(name)})(?=[}}:])"))


def _locations(
    file: SourceFile, scalar: YamlScalar, pattern: re.Pattern[str], without: re.Pattern[str] | None = None
) -> Iterator[Location]:
    """Yield the location of each match in a scalar, except inside the matches of `without`."""
    text = scalar.text
    excluded: Sequence[tuple[int, int]] = [one.span() for one in without.finditer(text)] if without is not None else []
    for match in pattern.finditer(text):
        start, end = match.span("name")
        if not any(begin <= start < finish for begin, finish in excluded):
            yield location_in(file, scalar, start, end)
