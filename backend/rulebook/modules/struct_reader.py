"""Reads Structs from YAML, such as the facts of a case, by the types of their fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from backend.rulebook.language.types import Type, fields_of
from backend.rulebook.modules.field_reader import FieldReader
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, YamlSequence, YamlValue
from backend.rulebook.source import suggest


@dataclass
class StructReader(FieldReader):
    """Reads Structs; each mismatch is a fault with its location."""

    def struct(self, value: YamlValue, struct: type[Struct]) -> Struct | None:
        """Read a Struct, such as the facts of one person; missing fields have their defaults."""
        before = len(self.file.faults)
        values = self._fields(value, struct)
        if len(self.file.faults) > before:
            return None
        try:
            return msgspec.convert(values, struct)
        except msgspec.ValidationError as error:  # includes errors that the Struct's __post_init__ raises
            self.file.fault(value.location, str(error))
            return None

    def partial(self, value: YamlValue, struct: type[Struct]) -> Mapping[str, Any] | None:
        """Read some fields of a Struct; those that it requires may be missing. Returns None if one is invalid."""
        before = len(self.file.faults)
        values = self._fields(value, struct, whole=False)
        return None if len(self.file.faults) > before else values

    def _fields(self, value: YamlValue, struct: type[Struct], *, whole: bool = True) -> dict[str, Any]:
        if not isinstance(value, YamlMapping):
            self.file.fault(value.location, f"expected the fields of {struct.__name__}, or {{}} for none")
            return {}
        known = fields_of(struct)
        values: dict[str, Any] = {}
        for entry in value.entries.values():
            field = known.get(entry.key)
            if field is None:
                self.file.fault(
                    entry.location, f"unknown field {entry.key!r} of {struct.__name__}", suggest(entry.key, known)
                )
            elif not (field.optional and _is_null(entry)):
                values[entry.key] = self._field(entry.value, field.type)
        for required in msgspec.structs.fields(struct):
            if whole and required.required and required.name not in value.entries:
                self.file.fault(value.location, f"{struct.__name__} needs the field {required.name!r}")
        return values

    def _field(self, value: YamlValue, kind: Type) -> Any:  # noqa: ANN401  any value of the rule language
        if kind.struct is not None:
            return self.struct(value, kind.struct)
        if kind.element is not None:
            if isinstance(value, YamlSequence):
                return [self._field(item, kind.element) for item in value.items]
            self.file.fault(value.location, f"expected a {kind}, such as [...]")
            return None
        if kind.kind == "timestamp":
            return self.instant(value)
        if kind.kind == "string" and isinstance(value, YamlScalar):
            if kind.words is not None and value.text not in kind.words:
                self.file.fault(
                    value.location,
                    f"{value.text!r} is not a value of this field",
                    suggest(value.text, kind.words),
                )
            return value.text
        faults = len(self.file.faults)
        found = self.literal(value)
        python_type, words = _PYTHON_TYPES[kind.kind]
        if len(self.file.faults) == faults and type(found) is not python_type:
            self.file.fault(value.location, f"expected {words}")
        elif type(found) is int and not kind.low <= found <= kind.high:
            self.file.fault(value.location, f"expected a whole number from {kind.low} to {kind.high}")
        return found


_PYTHON_TYPES = {
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "double": (float, "a number such as 2.5"),
    "string": (str, "a text"),
    "duration": (timedelta, "a duration such as 14d, 12h, 1h30m or 90s"),
}


def _is_null(entry: YamlEntry) -> bool:
    return isinstance(entry.value, YamlScalar) and entry.value.plain and entry.value.text in ("", "null", "~")
