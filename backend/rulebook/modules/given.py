"""Structs as an author writes them in YAML, such as the facts of a case, read by the types of their fields."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from backend.rulebook.language.types import Type, fields_of
from backend.rulebook.modules.document import Entry, Mapping, Scalar, Sequence, Value
from backend.rulebook.modules.fields import FieldReader
from backend.rulebook.source import suggest


@dataclass
class GivenReader(FieldReader):
    """Reads Structs; whatever does not fit one is noted with its place."""

    def struct(self, value: Value, struct: type[Struct]) -> Struct | None:
        """Read a Struct, such as the facts of one person; fields that are left out take their defaults."""
        before = len(self.file.faults)
        given = self._fields(value, struct)
        if len(self.file.faults) > before:
            return None
        try:
            return msgspec.convert(given, struct)
        except msgspec.ValidationError as error:  # also what the Struct itself refuses, in its own words
            self.file.fault(value.place, str(error))
            return None

    def _fields(self, value: Value, struct: type[Struct]) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self.file.fault(value.place, f"expected the fields of {struct.__name__}, or {{}} for none")
            return {}
        known = fields_of(struct)
        given: dict[str, Any] = {}
        for entry in value.entries.values():
            field = known.get(entry.key)
            if field is None:
                self.file.fault(
                    entry.place, f"unknown field {entry.key!r} of {struct.__name__}", suggest(entry.key, known)
                )
            elif not (field.optional and _is_null(entry)):
                given[entry.key] = self._field(entry.value, field.type)
        for required in msgspec.structs.fields(struct):
            if required.required and required.name not in value.entries:
                self.file.fault(value.place, f"{struct.__name__} needs the field {required.name!r}")
        return given

    def _field(self, value: Value, kind: Type) -> Any:  # noqa: ANN401  whatever the rule language holds
        if kind.struct is not None:
            return self.struct(value, kind.struct)
        if kind.element is not None:
            if isinstance(value, Sequence):
                return [self._field(item, kind.element) for item in value.items]
            self.file.fault(value.place, f"expected a {kind}, such as [...]")
            return None
        if kind.kind == "timestamp":
            return self.instant(value)
        if kind.kind == "string" and isinstance(value, Scalar):
            if kind.words is not None and value.text not in kind.words:
                self.file.fault(
                    value.place,
                    f"{value.text!r} is none of the words that this field can hold",
                    suggest(value.text, kind.words),
                )
            return value.text
        faults = len(self.file.faults)
        found = self.literal(value)
        held, words = _HELD[kind.kind]
        if len(self.file.faults) == faults and type(found) is not held:
            self.file.fault(value.place, f"expected {words}")
        elif type(found) is int and not kind.low <= found <= kind.high:
            self.file.fault(value.place, f"expected a whole number from {kind.low} to {kind.high}")
        return found


_HELD = {
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "double": (float, "a number such as 2.5"),
    "string": (str, "a text"),
    "duration": (timedelta, "a duration such as 14d, 12h, 1h30m or 90s"),
}


def _is_null(entry: Entry) -> bool:
    return isinstance(entry.value, Scalar) and entry.value.plain and entry.value.text in ("", "null", "~")
