"""From the solver's values to facts: the Struct that the engine evaluates, and the YAML that an author reads."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, inspect

from backend.rulebook.language.types import EPOCH, MICROSECOND, Type, fields_of
from backend.rulebook.modules.case_writer import stated_facts, value_yaml
from backend.rulebook.prover.smt import Model
from backend.rulebook.prover.symbols import (
    FactSpace,
    SymbolicList,
    SymbolicStruct,
    Value,
    accepts,
    item_kind,
    kind_of_field,
)

_PLAIN_INSTANT = EPOCH + timedelta(days=10_957)  # 2000-01-01, for facts that no rule reads
_OTHER_TEXTS = ("other", "A", "AA", "ABC", "0", "00", "000000", "a", "aa", "甲", "")


class NoSuchFacts(Exception):
    """The values that the solver found cannot be written as facts; the message says why."""


@dataclass(frozen=True)
class Person:
    """Reads facts from the solver's values."""

    space: FactSpace
    model: Model

    def facts(self, facts: SymbolicStruct) -> Struct:
        """Return the facts. Raises NoSuchFacts if their Struct has a condition that the solver does not know."""
        try:
            return msgspec.convert(self._fields(facts), facts.struct)
        except msgspec.ValidationError as error:
            raise NoSuchFacts(str(error)) from error

    def _fields(self, facts: SymbolicStruct) -> dict[str, Any]:
        read = _fields_read(facts)
        values: dict[str, Any] = {}
        for info in msgspec.structs.fields(facts.struct):
            field, described = fields_of(facts.struct)[info.name], kind_of_field(facts.struct, info.name)
            if info.name not in read:
                if info.required:
                    values[info.name] = None if field.optional else _plain(field.type, described)
                continue
            held = facts.read(info.name)
            if self.model.truth(held.present):
                values[info.name] = self._value(held.value, field.type, described)
            elif info.required:
                values[info.name] = None
        return values

    def _value(self, value: Value, kind: Type, described: inspect.Type) -> Any:  # noqa: ANN401  any fact
        if isinstance(value, SymbolicStruct):
            return self._fields(value)
        if isinstance(value, SymbolicList):
            element, inner = cast("Type", kind.element), item_kind(described)
            items = (item for there, item in value.elements if self.model.truth(there))
            return _in_order([self._value(item, element, inner) for item in items], element)
        match kind.kind:
            case "bool":
                return self.model.truth(value)
            case "double":
                return float(self.model.fraction(value))
            case "string":
                return self._text(self.model.number(value), described)
            case "timestamp":
                return EPOCH + self.model.number(value) * MICROSECOND
            case "duration":
                return self.model.number(value) * MICROSECOND
            case _:
                return self.model.number(value)

    def _text(self, number: int, described: inspect.Type) -> str:
        if number >= 0:
            return self.space.words.text(number)
        free = [text for text in _OTHER_TEXTS if text not in self.space.words.numbers and accepts(described, text)]
        if not free:
            raise NoSuchFacts("no text of this pattern is known")
        return free[-number % len(free)]


def _in_order(items: list[Any], kind: Type) -> list[Any]:
    """Return elements in the order of their first instant: it means nothing to rules, but helps a reader."""
    if kind.kind == "timestamp":
        return sorted(items)
    known = fields_of(kind.struct) if kind.struct is not None else {}
    dated = [name for name, field in known.items() if field.type.kind == "timestamp" and not field.optional]
    return sorted(items, key=lambda item: item.get(dated[0], EPOCH)) if dated else items


def _fields_read(facts: SymbolicStruct) -> frozenset[str]:
    """Return the fields of which there are variables; those of changed facts are read from the original as well."""
    original = facts.original_facts()
    return frozenset(facts.fields) if original is None else frozenset(facts.fields) | _fields_read(original)


def _plain(kind: Type, described: inspect.Type) -> Any:  # noqa: ANN401  any fact
    """Return a value for a fact that no rule reads and that must be there."""
    if kind.struct is not None:
        infos = msgspec.structs.fields(kind.struct)
        needed = {info.name: fields_of(kind.struct)[info.name] for info in infos if info.required}
        return {
            name: None if field.optional else _plain(field.type, kind_of_field(kind.struct, name))
            for name, field in needed.items()
        }
    if kind.element is not None:
        return [_plain(kind.element, item_kind(described))] * (cast("Any", described).min_length or 0)
    if kind.words is not None:
        return kind.words[0]
    if kind.kind == "string":
        return next((text for text in ("", *_OTHER_TEXTS) if accepts(described, text)), "")
    plain: dict[str, Any] = {"bool": False, "double": 0.0, "timestamp": _PLAIN_INSTANT, "duration": timedelta()}
    return plain[kind.kind] if kind.kind in plain else min(max(0, kind.low), kind.high)


# ── YAML ──


def block_of(facts: Struct, zone: ZoneInfo) -> str:
    """Return facts as a YAML file, with one line for each fact and each element of a list."""
    lines: list[str] = []
    for name, value in stated_facts(facts).items():
        if isinstance(value, list | tuple) and value:
            lines.append(f"{name}:")
            lines += [f"  - {value_yaml(item, zone)}" for item in cast("tuple[Any, ...]", value)]
        else:
            lines.append(f"{name}: {value_yaml(value, zone)}")
    return "\n".join(lines) if lines else "{}"
