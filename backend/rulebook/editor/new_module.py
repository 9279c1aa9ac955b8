"""A new module for authors to start from: one rule, one `otherwise`, and the cases of both.

It passes `check` and `test` as it is, so that an author changes something that works.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.temporal import midnight
from backend.rulebook.language.types import INT64, Field, Type, fields_of

FILLED = "2000-01-01T00:00:00+08:00"
"""The instant that stands for any instant in the cases."""

PLACEHOLDER = '"[A] assumption: name the order and its article"'
"""The source that an author replaces."""

MAX_START = 1_000_000
"""The greatest number that the cases begin with."""

_HEAD = Text(
    zh="# 新规则模块：请改写名称、规则和依据。`chengma rules facts` 列出规则可以读取的事实。",
    en="# A new rule module: edit its title, rules and sources. `chengma rules facts` lists what rules may read.",
)
_RULE = Text(zh="# 条件为真时，这条规则成立。", en="# This rule fires when its condition is true.")
_OTHERWISE = Text(zh="# 没有规则成立时的结果。", en="# The result if no rule fires.")
_CASES = Text(
    zh="# 每个案例：某人的事实、判定的时刻、应有的结果。",
    en="# Each case: facts about a person, the instant of the decision, and the expected result.",
)
_FIRST_DAY = Text(zh="规则自第一天起成立", en="the rule fires from its first day")
_BEFORE = Text(zh="第一天之前规则无效", en="before its first day the rule is not in force")
_WITHOUT = Text(zh="没有这项事实，规则不成立", en="without the fact the rule does not fire")


@dataclass(frozen=True)
class NewModule:
    """What a new module begins with.

    `results` are its words, mildest first, or the bounds of its numbers. `terms` is the YAML of the key `terms`, for
    facts that need it. The rule is in force from `since`. Comments and names of cases are in the `language`.
    """

    name: str
    facts: type[Struct]
    results: tuple[str, ...] | tuple[int, int]
    collects: bool
    since: date
    zone: ZoneInfo
    terms: str = ""
    language: Literal["zh", "en"] = "en"

    def module_text(self) -> str:
        """Return the YAML of the module."""
        first, then = self._outcomes()
        words = ", ".join(str(word) for word in self.results)
        result = f"[{words}]" if self._words() else f"{{at_least: {self.results[0]}, at_most: {self.results[-1]}}}"
        strategy = "collect" if self.collects else "first"
        condition = self._condition()
        lines = [
            self._say(_HEAD),
            f"module: {self.name}",
            "title: {zh: 新规则, en: New rules}",
            f"facts: {self.facts.__name__}",
            f"result: {result}",
            f"strategy: {strategy}",
            "",
            *([self.terms.rstrip("\n"), ""] if self.terms else []),
            "rules:",
            f"  {self._say(_RULE)}",
            "  - id: first-rule",
            f"    from: {self.since}",
            f"    when: {condition.text}",
            f"    then: {then}",
            "    because: {zh: 请写明理由, en: Write the reason here}",
            f"    source: {PLACEHOLDER}",
            "",
            self._say(_OTHERWISE),
            "otherwise:",
            f"  then: {first}",
            "  because: {zh: 不符合任何一条规则, en: No rule applies}",
        ]
        return "\n".join(lines) + "\n"

    def cases_text(self) -> str:
        """Return the YAML of its cases."""
        _, then = self._outcomes()
        condition = self._condition()
        begin = midnight(self.since, self.zone).astimezone(self.zone)
        cases = [
            (_FIRST_DAY, begin, condition.true, self._expected(then), "first-rule"),
            (_BEFORE, begin - timedelta(seconds=1), condition.true, None, None),
            (_WITHOUT, begin + timedelta(hours=12), condition.false, None, None),
        ]
        lines = [
            self._say(_CASES),
            f"module: {self.name}",
            "cases:",
        ]
        for name, at, given, result, rule in cases:
            expected = self._expected(self._outcomes()[0], fired=False) if result is None else result
            lines += [
                f"  - case: {self._say(name)}",
                f"    at: {at.isoformat()}",
                f"    given: {given}",
                f"    expect: {{result: {expected}, rule: {rule or 'otherwise'}}}",
            ]
        return "\n".join(lines) + "\n"

    def _say(self, text: Text) -> str:
        return text.in_language(self.language)

    def _words(self) -> bool:
        return isinstance(self.results[0], str)

    def _outcomes(self) -> tuple[str | int, str | int]:
        """Return the results without and with the rule."""
        if self._words():
            return self.results[0], self.results[-1]
        low, high = int(self.results[0]), int(self.results[1])
        return low, min(high, low + 1)

    def _expected(self, then: str | int, *, fired: bool = True) -> str:
        if self.collects:
            return f"[{then}]" if fired else f"[{self._outcomes()[0]}]"
        return str(then)

    def _condition(self) -> "_Condition":
        required = {
            found.name: example(fields_of(self.facts)[found.name].type)
            for found in msgspec.structs.fields(self.facts)
            if found.required
        }
        for name, field in sorted(fields_of(self.facts).items(), key=lambda item: _preference(item[1])):
            for text, true, false in _tests(name, field):
                return _Condition(text, _given(required, name, true), _given(required, name, false))
        return _Condition("true", _given(required), _given(required))


@dataclass(frozen=True)
class _Condition:
    """A condition, and facts for which it is true and false."""

    text: str
    true: str
    false: str


def _preference(field: Field) -> int:
    """Return which facts read best in a first rule: a number, then a word, a truth value, a list, an optional fact."""
    order = {"int": 0, "string": 1, "bool": 2, "list": 3}
    return 4 if field.optional else order.get(field.type.kind, 5)


def _tests(name: str, field: Field) -> Iterator[tuple[str, str, str | None]]:
    """Yield a condition on a fact, and values that make it true and false; None leaves the fact out."""
    kind = field.type
    if field.optional:
        yield f"has(facts.{name})", example(kind), None
    elif kind.kind == "int":
        low = 0 if kind.low == INT64[0] else kind.low
        middle = min(kind.high, low + 1)
        yield f"facts.{name} >= {middle}", str(middle), str(middle - 1)
    elif kind.words and len(kind.words) > 1:
        yield f'facts.{name} == "{kind.words[-1]}"', kind.words[-1], kind.words[0]
    elif kind.kind == "bool":
        yield f"facts.{name}", "true", "false"
    elif kind.element is not None:
        yield f"size(facts.{name}) > 0", f"[{example(kind.element)}]", "[]"
    elif kind.kind == "timestamp":
        yield f"facts.{name} <= now", f'"{FILLED}"', '"2149-01-01T00:00:00+08:00"'


def example(kind: Type) -> str:
    """Return a value of a type in YAML, in one line."""
    if kind.struct is not None:
        fields = fields_of(kind.struct)
        required = [found.name for found in msgspec.structs.fields(kind.struct) if found.required]
        return "{" + ", ".join(f"{name}: {example(fields[name].type)}" for name in required) + "}"
    if kind.element is not None:
        return "[]"
    if kind.words:
        return kind.words[0]
    low = 0 if kind.low == INT64[0] else kind.low
    values = {"bool": "false", "int": str(low), "double": "0.0", "string": "AA", "duration": "1d"}
    return f'"{FILLED}"' if kind.kind == "timestamp" else values[kind.kind]


def _given(required: dict[str, str], name: str = "", value: str | None = None) -> str:
    values = required if value is None else {**required, name: value}
    return "{" + ", ".join(f"{key}: {text}" for key, text in values.items()) + "}"


def first_day(today: datetime) -> date:
    """Return the first day of the year: the day from which a new rule is in force until its author knows better."""
    return date(today.year, 1, 1)


def copied_terms(texts: Sequence[str], since: date) -> str:
    """Return the key `terms` for a module on the same facts as these modules; empty if none of them has it.

    They are the shortest of those in force last, of money if there are any: a first module should have no conditions
    that its author must take out again. They begin with the new module, and their source is for the author to write.
    """
    found = [terms for text in texts for terms in [_last_terms(text)] if terms]
    if not found:
        return ""
    shortest = min(
        found, key=lambda terms: ("gives: money" not in terms, "base:" in terms, terms.count("\n"), len(terms), terms)
    )
    dated = re.sub(r"\bfrom: \d{4}-\d\d-\d\d", f"from: {since}", shortest, count=1)
    return "terms:\n" + re.sub(r'\bsource: ("[^"]*"|[^,}\n]+)', lambda _: f"source: {PLACEHOLDER}", dated, count=1)


def _last_terms(text: str) -> str:
    """Return the lines of the last item of `terms` in the text of a module; empty without one."""
    lines = text.splitlines()
    if "terms:" not in lines:
        return ""
    begin = lines.index("terms:") + 1
    end = next((n for n in range(begin, len(lines)) if lines[n] and not lines[n].startswith((" ", "#"))), len(lines))
    items = [n for n in range(begin, end) if lines[n].startswith("  - from:") or lines[n].startswith("  - {from:")]
    return "\n".join(line for line in lines[items[-1] : end] if line.strip()) + "\n" if items else ""
