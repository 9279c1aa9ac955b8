"""The name under the cursor: what it is, and what it means."""

import re
from typing import Literal

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.editor.completion import Draft
from backend.rulebook.editor.expression import fact_detail, field_of, receiver
from backend.rulebook.editor.functions import FUNCTIONS, VARIABLES
from backend.rulebook.editor.keys import keys_at
from backend.rulebook.editor.place import ITEM, Place, place_at
from backend.rulebook.editor.reference import describe
from backend.rulebook.modules.module import OTHERWISE

SymbolKind = Literal["key", "fact", "parameter", "function", "variable", "struct", "rule", "module"]

CONDITION = ("rules", ITEM, "when")
RULE_PLACES = (("cases", ITEM, "expect", "rule"), ("cases", ITEM, "expect", "fired", ITEM))
TEXT_KEYS = ("because", "remedy", "title")

_NAME = re.compile(r"[A-Za-z_]\w*")
_WORD = re.compile(r"[\w-]+")


class Symbol(Struct, frozen=True):
    """A name in a file, at the characters [start, end) of a line; `chain` is the whole of `facts.tests`."""

    kind: SymbolKind
    name: str
    line: int
    start: int
    end: int
    place: Place
    chain: str = ""


def symbol_at(lines: list[str], line: int, column: int, draft: Draft) -> Symbol | None:
    """Return the name at a character of a line, or None."""
    if line >= len(lines):
        return None
    in_condition = not draft.cases and place_at(lines, line, column).keys == CONDITION
    words = (_NAME if in_condition else _WORD).finditer(lines[line])
    found = next((word for word in words if word.start() <= column <= word.end()), None)
    if found is None:
        return None
    place = place_at(lines, line, found.end())
    kind, chain = _kind(found[0], lines[line][: found.start()], place, draft)
    return None if kind is None else Symbol(kind, found[0], line, found.start(), found.end(), place, chain)


def _kind(name: str, before: str, place: Place, draft: Draft) -> tuple[SymbolKind | None, str]:
    if place.is_key:
        return ("parameter" if place.keys == ("parameters",) and not draft.cases else "key"), ""
    if draft.cases:
        if place.keys in RULE_PLACES and (name in draft.module.rules or name == OTHERWISE):
            return "rule", ""
        return ("module" if place.keys == ("module",) else None), ""
    if place.keys == CONDITION:
        return _kind_in_condition(name, place, draft)
    if place.keys == ("facts",):
        return "struct", ""
    if place.keys == ("rules", ITEM, "id"):
        return "rule", ""
    is_figure = place.keys[-2:-1] and place.keys[-2] in TEXT_KEYS and before.endswith("{")
    if (place.keys == ("rules", ITEM, "then") or is_figure) and name in draft.module.parameters:
        return "parameter", ""
    return None, ""


def _kind_in_condition(name: str, place: Place, draft: Draft) -> tuple[SymbolKind | None, str]:
    chain = receiver(place.typed)
    if "." in chain:
        is_field = field_of(chain, place.typed, draft.scope) is not None
        return ("fact" if is_field else "function" if name in FUNCTIONS else None), chain
    if name in draft.parameters or name in draft.module.parameters:
        return "parameter", ""
    if name in VARIABLES:
        return "variable", ""
    return ("function" if name in FUNCTIONS else None), ""


def meaning_of(symbol: Symbol, draft: Draft) -> Text | None:
    """Return what a name means, in Markdown; None for one that explains itself."""
    match symbol.kind:
        case "key":
            keys = keys_at(symbol.place.keys, draft.facts, cases=draft.cases)
            return next((key.meaning for key in keys if key.name == symbol.name), None)
        case "fact":
            field = field_of(symbol.chain, symbol.place.typed, draft.scope)
            return None if field is None else _titled(symbol.chain, fact_detail(describe(symbol.chain, field)))
        case "parameter":
            detail = draft.parameters.get(symbol.name)
            return None if detail is None else _titled(symbol.name, detail)
        case "function":
            function = FUNCTIONS[symbol.name]
            return _titled(function.signature, function.meaning)
        case "variable":
            return _titled(symbol.name, VARIABLES[symbol.name])
        case "struct":
            struct = draft.structs.get(symbol.name)
            return None if struct is None else Text(zh=struct.__doc__ or "", en=struct.__doc__ or "")
        case "rule" | "module":
            return None


def _titled(name: str, meaning: Text) -> Text:
    return Text(zh=f"`{name}`\n\n{meaning.zh}", en=f"`{name}`\n\n{meaning.en}")
