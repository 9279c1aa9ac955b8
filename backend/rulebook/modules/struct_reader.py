"""Reads Structs from YAML, such as the facts of a case, by the types of their fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.types import Type, fields_of
from backend.rulebook.modules.field_reader import FieldReader
from backend.rulebook.modules.units import is_money
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, YamlSequence, YamlValue
from backend.rulebook.source import NO_HELP, suggest


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
            self.file.fault(
                value.location,
                Text(zh=f"事实有误：{error}", en=str(error)),
                NO_HELP,
                "R028",
            )
            return None

    def partial(self, value: YamlValue, struct: type[Struct]) -> Mapping[str, Any] | None:
        """Read some fields of a Struct; those that it requires may be missing. Returns None if one is invalid."""
        before = len(self.file.faults)
        values = self._fields(value, struct, whole=False)
        return None if len(self.file.faults) > before else values

    def _fields(self, value: YamlValue, struct: type[Struct], *, whole: bool = True) -> dict[str, Any]:
        if not isinstance(value, YamlMapping):
            message = Text(
                zh=f"此处应为 {struct.__name__} 的字段；没有字段时写 {{}}",
                en=f"expected the fields of {struct.__name__}, or {{}} for none",
            )
            self.file.fault(value.location, message, Text(zh="请写 `字段: 值`", en="write `field: value`"), "R012")
            return {}
        known = fields_of(struct)
        values: dict[str, Any] = {}
        for entry in value.entries.values():
            field = known.get(entry.key)
            if field is None:
                message = Text(
                    zh=f"{struct.__name__} 没有“{entry.key}”这个字段",
                    en=f"unknown field {entry.key!r} of {struct.__name__}",
                )
                if not self.has_layout_flaw(entry):
                    self.file.fault(entry.location, message, suggest(entry.key, known), "R036")
            elif not (field.optional and _is_null(entry)):
                values[entry.key] = self._field(entry.value, field.type, money=is_money(entry.key))
        for required in msgspec.structs.fields(struct):
            unknown = [name for name in value.entries if name not in known]
            is_misspelt = bool(get_close_matches(required.name, unknown, cutoff=0.6))
            if whole and required.required and required.name not in value.entries and not is_misspelt:
                message = Text(
                    zh=f"{struct.__name__} 缺少字段“{required.name}”",
                    en=f"{struct.__name__} needs the field {required.name!r}",
                )
                self.file.fault(
                    value.location,
                    message,
                    Text(zh=f"请补上 `{required.name}: ...`", en=f"add `{required.name}: ...`"),
                    "R011",
                )
        return values

    def _field(self, value: YamlValue, kind: Type, *, money: bool) -> Any:  # noqa: ANN401  any value of the rule language
        if kind.struct is not None:
            return self.struct(value, kind.struct)
        if kind.element is not None:
            if isinstance(value, YamlSequence):
                return [self._field(item, kind.element, money=money) for item in value.items]
            message = Text(zh=f"此处应为{kind.text.zh}，写作 [...]", en=f"expected a {kind}, such as [...]")
            self.file.fault(
                value.location,
                message,
                Text(zh="请写 [..., ...]，或以 `- ` 开头的各行", en="write [..., ...], or lines that begin with `- `"),
                "R012",
            )
            return None
        if kind.kind == "timestamp":
            return self.instant(value)
        if kind.kind == "string" and isinstance(value, YamlScalar):
            if kind.words is not None and value.text not in kind.words:
                message = Text(zh=f"“{value.text}”不是此字段的值", en=f"{value.text!r} is not a value of this field")
                self.file.fault(value.location, message, suggest(value.text, kind.words), "R040")
            return value.text
        faults = len(self.file.faults)
        found = self.literal(value, money=money)
        python_type, words = _PYTHON_TYPES[kind.kind]
        if len(self.file.faults) == faults and type(found) is not python_type:
            message = Text(zh=f"此处应为{words.zh}", en=f"expected {words.en}")
            self.file.fault(
                value.location,
                message,
                Text(zh="请更正值，或去掉引号", en="correct the value, or remove its quotes"),
                "R019",
            )
        elif type(found) is int and not kind.low <= found <= kind.high:
            message = Text(
                zh=f"此处应为{kind.low}至{kind.high}的整数",
                en=f"expected a whole number from {kind.low} to {kind.high}",
            )
            self.file.fault(value.location, message, Text(zh="请更正数字", en="correct the number"), "R025")
        return found


_PYTHON_TYPES = {
    "bool": (bool, Text(zh=" true 或 false", en="true or false")),
    "int": (int, Text(zh="整数", en="a whole number")),
    "double": (float, Text(zh="小数，如 2.5", en="a number such as 2.5")),
    "string": (str, Text(zh="文本", en="a text")),
    "duration": (timedelta, Text(zh="时长，如 14d、12h、1h30m 或 90s", en="a duration such as 14d, 12h, 1h30m or 90s")),
}


def _is_null(entry: YamlEntry) -> bool:
    return isinstance(entry.value, YamlScalar) and entry.value.plain and entry.value.text in ("", "null", "~")
