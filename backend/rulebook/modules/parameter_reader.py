"""Reads the parameters of a module: dated values, with what they mean and their unit."""

import re
from collections import Counter
from dataclasses import dataclass, field

from backend.i18n import Text
from backend.rulebook.language.types import Type, join, type_of_value
from backend.rulebook.modules.article_reader import ArticleReader
from backend.rulebook.modules.keys import (
    OPTIONAL_PARAMETER_KEYS,
    OPTIONAL_VALUE_KEYS,
    PARAMETER_KEYS,
    VALUE_KEYS,
)
from backend.rulebook.modules.module import Parameter
from backend.rulebook.modules.periods import DatedValue, resolve_periods
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.units import UNITS, YUAN, fen_of, is_money, without_unit
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, YamlValue

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

_SPANS = ("days", "hours", "minutes")
_FORM = "parameters:\n  limit:\n    - {...}"


@dataclass
class ParameterReader(StructReader, ArticleReader):
    """Reads parameters; those with a fault are in `invalid_parameters`."""

    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter], kw_only=True)
    invalid_parameters: set[str] = field(default_factory=set[str], kw_only=True)

    def read_parameters(self, value: YamlValue) -> None:
        """Read the parameters by their names."""
        if not isinstance(value, YamlMapping):
            message = Text(zh="参数应按名称列出", en="expected parameters by their names")
            self.file.fault(value.location, message, Text(zh=_FORM, en=_FORM), "R012")
            return
        for entry in value.entries.values():
            if not NAME.fullmatch(entry.key) or entry.key in ("facts", "now"):
                message = Text(zh=f"“{entry.key}”不能作参数名", en=f"{entry.key!r} is not a name for a parameter")
                advice = Text(zh="由小写字母、数字和 _ 组成", en="lower-case letters, digits and _")
                self.file.fault(entry.location, message, advice, "R013")
                continue
            parameter = self._parameter(entry)
            if parameter is None:
                self.invalid_parameters.add(entry.key)
            else:
                self.parameters[entry.key] = parameter

    def _parameter(self, entry: YamlEntry) -> Parameter | None:
        """Read a list of dated values, or a head with `label`, `unit` and the `values`."""
        label, unit, values = None, None, entry
        if isinstance(entry.value, YamlMapping):
            what = Text(zh=f"参数“{entry.key}”", en=f"the parameter {entry.key!r}")
            head = self.entries(entry.value, PARAMETER_KEYS, optional=OPTIONAL_PARAMETER_KEYS, what=what)
            if head is None:
                return None
            label = self.text(head.get("label"))
            unit = self.word(head["unit"].value, Text(zh="单位", en="a unit"), list(UNITS)) if "unit" in head else None
            values = head["values"]
        dated, joined = self._values(entry.key, values, unit)
        if joined is None or not dated or not self._unit_fits(entry.value, joined, unit):
            return None
        unit = YUAN if joined.kind == "int" and is_money(entry.key, unit) else unit
        return Parameter(entry.key, joined, resolve_periods(entry.key, dated, self.file), label, unit)

    def _values(self, name: str, values: YamlEntry, unit: str | None) -> tuple[list[DatedValue], Type | None]:
        dated: list[DatedValue] = []
        found: list[tuple[YamlValue, Type]] = []
        before = len(self.file.faults)
        for item in self.items(values, Text(zh="带日期的参数值", en="the parameter's values with their dates")):
            what = Text(zh="参数值", en="a value")
            entries = self.entries(item, VALUE_KEYS, optional=OPTIONAL_VALUE_KEYS, what=what)
            if entries is None:
                continue
            given = entries["value"].value
            value, source = self.literal(given, money=is_money(name, unit)), self.short_text(entries["source"])
            if value is None or source is None:
                continue
            if unit == YUAN and type(value) is int and not _is_written_as_money(given):
                self.file.fault(given.location, *without_unit(name, value), "R084")
                return dated, None
            since, until = self.period(entries)
            articles = self.articles(entries.get("article"))
            dated.append(DatedValue(since, until, value, source, item.location, articles))
            found.append((given, type_of_value(value)))
        return dated, self._joined(name, found) if len(self.file.faults) == before else None

    def _joined(self, name: str, found: list[tuple[YamlValue, Type]]) -> Type | None:
        """Return the type of a parameter; a value of another type than most is a fault at its place."""
        usual = Counter(kind.kind for _, kind in found).most_common(1)
        joined: Type | None = None
        for given, kind in sorted(found, key=lambda each: each[1].kind != usual[0][0]):
            wider = kind if joined is None else join(joined, kind)
            if joined is not None and wider is None:
                message = Text(
                    zh=f"这个值是{kind.text.zh.strip()}，“{name}”的其他值是{joined.text.zh.strip()}",
                    en=f"this value is of type {kind.kind}, the other values of {name!r} are of type {joined.kind}",
                )
                advice = Text(
                    zh="各值应为同一类型：请更正单位或引号",
                    en="correct its unit or its quotes: the values are of one type",
                )
                self.file.fault(given.location, message, advice, "R020")
                return None
            joined = wider
        return joined

    def _unit_fits(self, value: YamlValue, joined: Type, unit: str | None) -> bool:
        kinds = ("int", "duration") if unit in _SPANS else ("int",)
        if unit is None or joined.kind in kinds:
            return True
        message = Text(zh=f"{joined.text.zh}没有单位“{unit}”", en=f"a {joined.kind} has no unit {unit!r}")
        self.file.fault(
            value.location,
            message,
            Text(zh="请删去 `unit`，或更正值", en="remove `unit`, or correct the value"),
            "R084",
        )
        return False


def _is_written_as_money(value: YamlValue) -> bool:
    return isinstance(value, YamlScalar) and fen_of(value.text) is not None
