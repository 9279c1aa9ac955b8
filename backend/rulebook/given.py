"""Facts as an author writes them in YAML, for a case or an explanation, read by the types of the facts' Struct."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from backend.rulebook.document import Entry, Mapping, Scalar, Sequence, Value
from backend.rulebook.fields import FieldReader
from backend.rulebook.source import suggest
from backend.rulebook.types import Type, fields_of


@dataclass
class GivenReader(FieldReader):
    """Reads facts; whatever does not fit their Struct is noted with its place."""

    def facts(self, value: Value, struct: type[Struct]) -> Struct | None:
        """Read the facts of one person; fields that are left out take their defaults."""
        before = len(self.file.faults)
        given = self._fields(value, struct)
        if len(self.file.faults) > before:
            return None
        try:
            return msgspec.convert(given, struct)
        except msgspec.ValidationError as error:
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
                given[entry.key] = self._fact(entry.value, field.type)
        for required in msgspec.structs.fields(struct):
            if required.required and required.name not in value.entries:
                self.file.fault(value.place, f"{struct.__name__} needs the field {required.name!r}")
        return given

    def _fact(self, value: Value, fact: Type) -> Any:  # noqa: ANN401  whatever the rule language holds
        if fact.struct is not None:
            return self._fields(value, fact.struct)
        if fact.element is not None:
            if isinstance(value, Sequence):
                return [self._fact(item, fact.element) for item in value.items]
            self.file.fault(value.place, f"expected a {fact}, such as [...]")
            return None
        if fact.kind == "timestamp":
            return self.instant(value)
        if fact.kind == "string" and isinstance(value, Scalar):
            if fact.words is not None and value.text not in fact.words:
                self.file.fault(
                    value.place,
                    f"{value.text!r} is none of the words that this fact can hold",
                    suggest(value.text, fact.words),
                )
            return value.text
        faults = len(self.file.faults)
        found = self.literal(value)
        held, words = _HELD[fact.kind]
        if len(self.file.faults) == faults and type(found) is not held:
            self.file.fault(value.place, f"expected {words}")
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
