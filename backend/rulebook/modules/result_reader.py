"""Reads what a module may return: its strategy, its results, and the `then` of its rules."""

from dataclasses import dataclass, field
from typing import Any, cast

from backend.i18n import Text
from backend.rulebook.language.types import INT64
from backend.rulebook.modules.field_reader import A_RESULT
from backend.rulebook.modules.keys import BOUNDS_KEYS
from backend.rulebook.modules.module import NUMERIC, STRATEGIES, Strategy
from backend.rulebook.modules.parameter_reader import NAME, ParameterReader
from backend.rulebook.modules.units import fen_of
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, YamlValue
from backend.rulebook.source import Location, suggest


@dataclass
class ResultReader(ParameterReader):
    """Reads results; a rule may return the value of one of the `parameters` that were read before."""

    result: tuple[Any, ...] = field(default=(), kw_only=True)
    bounds: tuple[int, int] | None = field(default=None, kw_only=True)
    in_yuan: bool = field(default=False, kw_only=True)
    strategy: Strategy = field(default="first", kw_only=True)

    def read_strategy(self, entry: YamlEntry | None) -> Strategy:
        """Read how the rules that fire are combined."""
        found = self.scalar(entry)
        if found is not None and found.text not in STRATEGIES:
            message = Text(zh=f"未知的策略“{found.text}”", en=f"unknown strategy {found.text!r}")
            self.file.fault(found.location, message, suggest(found.text, STRATEGIES), "R016")
        return cast("Strategy", found.text) if found is not None else "first"

    def read_result(self, entry: YamlEntry | None) -> tuple[Any, ...]:
        """Read the words that the module may return, or the bounds of its numbers."""
        if entry is None:
            return ()
        if self.strategy == "sum" or isinstance(entry.value, YamlMapping):
            if self.strategy not in NUMERIC:
                message = Text(
                    zh=f"`strategy: {self.strategy}` 的结果是词", en=f"`strategy: {self.strategy}` returns words"
                )
                advice = Text(
                    zh=f"结果为整数时，策略应为 {'、'.join(NUMERIC)}；结果为词时，应写成列表",
                    en=f"whole numbers need the strategy {', '.join(NUMERIC)}; write words as a list",
                )
                self.file.fault(entry.value.location, message, advice, "R016")
            self.bounds = self._bounds(entry)
            return self.bounds
        words = self.items(entry, Text(zh="可能的结果，由轻到重", en="the possible results, mildest first"))
        found: list[str] = []
        for word in words:
            text = self.word(word, A_RESULT)
            if text in found:
                message = Text(zh=f"“{text}”列了两次", en=f"{text!r} is listed twice")
                self.file.fault(word.location, message, Text(zh="请删去一个", en="remove one"), "R023")
            elif text is not None:
                found.append(text)
        return tuple(found)

    def _bounds(self, entry: YamlEntry) -> tuple[int, int]:
        """Read the bounds of the module's numbers; if they are invalid, return those of 64 bits."""
        what = Text(zh="整数范围", en="a range of whole numbers")
        entries = self.entries(entry.value, BOUNDS_KEYS, what=what)
        if entries is None:
            return INT64
        ends = [entries[name].value for name in ("at_least", "at_most")]
        self.in_yuan = any(isinstance(end, YamlScalar) and fen_of(end.text) is not None for end in ends)
        low, high = (self.whole_number(end, money=self.in_yuan) for end in ends)
        if low is None or high is None:
            return INT64
        if low > high:
            message = Text(zh="`at_least` 大于 `at_most`", en="`at_least` is greater than `at_most`")
            self.file.fault(
                entry.location,
                message,
                Text(zh="请把小的写在 `at_least`", en="write the smaller one as `at_least`"),
                "R025",
            )
            return INT64
        return low, high

    def outcome(self, value: YamlValue, *, named: bool = True) -> str | int | None:
        """Read a `then`: one of the module's words; or a whole number, or the name of a parameter with one.

        Numbers must be within the bounds, except for `sum`, which limits the sum to them.
        """
        if self.bounds is None:
            return self.word(value, A_RESULT, self.result)
        if named and isinstance(value, YamlScalar) and NAME.fullmatch(value.text):
            return self._parameter_result(value)
        number = self.whole_number(value, money=self.in_yuan)
        if number is not None:
            message = Text(zh=f"{number} 不是可能的结果", en=f"{number} is not a possible result")
            self._check_bounds(value.location, number, message)
        return number

    def _parameter_result(self, value: YamlScalar) -> str | None:
        """Read the name of the parameter whose value a rule returns; an invalid one is reported only once."""
        parameter = self.parameters.get(value.text)
        if parameter is None:
            if value.text not in self.invalid_parameters:
                message = Text(
                    zh=f"“{value.text}”既不是整数，也不是参数",
                    en=f"{value.text!r} is neither a whole number nor a parameter",
                )
                self.file.fault(value.location, message, suggest(value.text, self.parameters), "R024")
            return None
        if parameter.type.kind != "int":
            message = Text(
                zh=f"本模块的结果为整数，而“{value.text}”是{parameter.type.text.zh}",
                en=f"the module returns whole numbers, but {value.text!r} is a {parameter.type.kind}",
            )
            self.file.fault(
                value.location,
                message,
                Text(zh="请写值为整数的参数", en="write a parameter that is a whole number"),
                "R024",
            )
            return None
        for dated in parameter.values:
            zh, en = (f"自 {dated.since} 起", f" from {dated.since}") if dated.since else ("", "")
            message = Text(zh=f"“{value.text}”{zh}为 {dated.value}", en=f"{value.text!r} is {dated.value}{en}")
            self._check_bounds(value.location, dated.value, message)
        return value.text

    def _check_bounds(self, location: Location, number: int, message: Text) -> None:
        low, high = self.bounds or INT64
        if self.strategy != "sum" and not low <= number <= high:
            advice = Text(zh=f"`result` 允许 {low} 至 {high}", en=f"`result` allows {low} to {high}")
            self.file.fault(location, message, advice, "R025")
