"""Many small people near the boundaries of a module, and edits of its text, both drawn by a seed."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast

import msgspec
from msgspec import Struct

from backend.rulebook import Rulebook
from backend.rulebook.language.tree import Constant, walk
from backend.rulebook.language.types import INSTANT_RANGE, MICROSECOND, Field, Type, fields_of
from backend.rulebook.modules.module import Module
from backend.rulebook.prover.symbols import accepts, item_kind, kind_of_field

TICKS = (timedelta(), MICROSECOND, -MICROSECOND)
OPERATORS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}
_EDITS = (
    (re.compile(r"(?<=[<>=] )\d+(?![\d-])|(?<=value: )-?\d+(?=[,}])"), "number"),
    (re.compile(r"(?<=value: )\d+(?=[dhm])"), "span"),
    (re.compile(r"(?<=from: )\d{4}-\d\d-\d\d"), "date"),
    (re.compile(r"(?<= )(?:<=|>=|==|!=|<|>|&&|\|\|)(?= )"), "operator"),
)


def edited(text: str, random: Random) -> str:
    """Return a module with one number, duration, date or operator changed."""
    places = [
        (found, kind) for pattern, kind in _EDITS for found in pattern.finditer(text) if text[found.start() - 2] != "-"
    ]
    found, kind = random.choice(places)
    word = found[0]
    match kind:
        case "operator":
            word = OPERATORS[word]
        case "date":
            word = f"{int(word[:4]) + random.choice([-1, 1])}{word[4:]}"
        case _:
            word = str(max(int(word) + random.choice([-1, 1, 2, int(word)]), 1 if kind == "span" else -(10**9)))
    return text[: found.start()] + word + text[found.end() :]


class SmallPeople:
    """Draws facts whose numbers and instants are at the boundaries of some editions of a module, or next to them."""

    def __init__(self, editions: Sequence[Rulebook], name: str, random: Random) -> None:
        self.random = random
        self.module: Module = editions[-1].modules[name]
        modules = [edition.modules[name] for edition in editions]
        values = [value.value for module in modules for one in module.parameters.values() for value in one.values]
        rules = [rule for module in modules for rule in module.rules]
        values += [node.value for rule in rules for node in walk(rule.condition) if isinstance(node, Constant)]
        self.numbers = sorted({value for value in values if type(value) is int} | {0})
        spans = {value for value in values if isinstance(value, timedelta)} | {timedelta()}
        self.spans = sorted({*spans, *(one + two for one in spans for two in spans)})
        laws = [law for edition in editions for law in edition.laws(name)]
        self.instants = sorted({law.begins for law in laws})
        self.now = self.instants[0]

    def draw_instant(self) -> datetime:
        """Draw the instant for which to decide: when a law begins, just before, or later."""
        begin = self.random.choice(self.instants[-4:])
        later = self.random.choice([timedelta(), -MICROSECOND, timedelta(days=1), timedelta(days=100, hours=5)])
        self.now = max(begin + later, INSTANT_RANGE[0])
        return self.now

    def draw(self) -> Struct:
        """Draw facts."""
        return msgspec.convert(self._fields(self.module.facts), self.module.facts)

    def _fields(self, struct: type[Struct]) -> dict[str, Any]:
        return {name: self._field(struct, name, field) for name, field in fields_of(struct).items()}

    def _field(self, struct: type[Struct], name: str, field: Field) -> Any:  # noqa: ANN401  any fact
        if field.optional and self.random.random() < 0.4:
            return None
        return self.value(field.type, kind_of_field(struct, name))

    def value(self, kind: Type, described: Any) -> Any:  # noqa: ANN401  any fact
        """Draw a value of a type."""
        random = self.random
        if kind.struct is not None:
            return self._fields(kind.struct)
        if kind.element is not None:
            most = 4 if described.max_length is None else min(described.max_length, 4)
            length = min(random.choice([0, 1, 1, 2, most]), most)
            return [self.value(kind.element, item_kind(described)) for _ in range(length)]
        if kind.words is not None:
            return random.choice(kind.words)
        match kind.kind:
            case "bool":
                return random.random() < 0.5
            case "double":
                return float(random.choice(self.numbers))
            case "string":
                return random.choice([text for text in ("", "甲", "east", "CN") if accepts(described, text)])
            case "timestamp":
                return self.now - random.choice(self.spans) + random.choice(TICKS)
            case "duration":
                return random.choice([*self.spans[:6], timedelta()]) + timedelta(seconds=random.choice([0, 1]))
            case _:
                number = random.choice(self.numbers) + random.choice([-1, 0, 1])
                return min(max(number, kind.low), kind.high)

    def changed(self, facts: Struct, path: Sequence[str], value: Any) -> Struct | None:  # noqa: ANN401  any fact
        """Return facts with another value at a path, through first elements of lists; None if it is absent."""
        name, *rest = path
        held = getattr(facts, name)
        if held is None or held == ():
            return None
        if not rest:
            return msgspec.structs.replace(facts, **{name: value})
        if isinstance(held, tuple):
            first, *others = cast("tuple[Struct, ...]", held)
            inner = self.changed(first, rest, value)
            return None if inner is None else msgspec.structs.replace(facts, **{name: (inner, *others)})
        inner = self.changed(held, rest, value)
        return None if inner is None else msgspec.structs.replace(facts, **{name: inner})
