"""A rule module: what one YAML file says, checked against its facts but not yet compiled.

Everything an author can get wrong is found here, with its place in the file, and all of it at once.
"""

import re
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.check import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.tree import Node, Variable, walk
from backend.rulebook.language.types import (
    INT64,
    TIMESTAMP,
    Type,
    UnreadableFacts,
    fields_of,
    join,
    terms_of,
    type_of_value,
)
from backend.rulebook.modules.dated import Dated, dated_on, in_force, succession
from backend.rulebook.modules.document import Entry, Mapping, Scalar, Value, locate, read_document
from backend.rulebook.modules.given import GivenReader
from backend.rulebook.source import Place, SourceFile, suggest

Strategy = Literal["most_severe", "first", "unique", "sum", "collect"]
STRATEGIES: tuple[Strategy, ...] = ("most_severe", "first", "unique", "sum", "collect")
NUMERIC = ("first", "unique", "sum")
"""The strategies by which a module may answer whole numbers."""

OTHERWISE = "otherwise"
MAX_RULES = 500

_MODULE_KEYS = ("module", "title", "facts", "result", "strategy", "terms", "parameters", "rules", "otherwise")
_RULE_KEYS = ("id", "from", "until", "when", "then", "because", "remedy", "source")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Parameter:
    """A figure of the law: its values, one after the other."""

    name: str
    type: Type
    values: tuple[Dated, ...]

    def on(self, day: date) -> Dated | None:
        """Give the value in force on a day, or None."""
        return dated_on(self.values, day)


@dataclass(frozen=True)
class Rule:
    """One rule: when it holds, it speaks for `then` (a word, a number, or a parameter's name)."""

    id: str
    since: date | None
    until: date | None
    text: str
    condition: Node
    then: str | int
    because: Text
    remedy: Text | None
    source: str
    place: Place


@dataclass(frozen=True)
class Otherwise:
    """What holds where no rule does."""

    then: str | int
    because: Text
    remedy: Text | None


@dataclass(frozen=True)
class Module:
    """A checked rule module.

    `result` are the words it may answer, mildest first, or the bounds of its numbers. `terms` hold Structs that the
    service reads beside the rules.
    """

    name: str
    title: Text
    facts: type[Struct]
    result: tuple[str, ...] | tuple[int, int]
    strategy: Strategy
    parameters: Table[str, Parameter]
    rules: tuple[Rule, ...]
    otherwise: Otherwise
    terms: tuple[Dated, ...] = ()

    def figure(self, then: str | int, day: date) -> int:
        """Give the whole number that a rule in force on a day answers: its own, or that of the parameter it names."""
        if isinstance(then, int):
            return then
        dated = self.parameters[then].on(day)
        assert dated is not None, "a rule in force has its figures"
        return cast("int", dated.value)

    @property
    def numeric(self) -> bool:
        """Tell that it answers whole numbers, so that a rule's `then` is a number, or names a parameter that is one."""
        return isinstance(self.result[0], int)


def read_module(file: SourceFile, name: str, facts: Table[str, type[Struct]]) -> Module | None:
    """Read the module `name` from its file; None, with the faults noted in it, where anything is wrong."""
    root = read_document(file)
    if root is None or file.faults:
        return None
    module = _ModuleReader(file, name, facts).module(root)
    return None if file.faults else module


@dataclass
class _ModuleReader(GivenReader):
    name: str
    structs: Table[str, type[Struct]]
    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter])
    unsound: set[str] = field(default_factory=set[str])
    result: tuple[Any, ...] = ()
    bounds: tuple[int, int] | None = None
    strategy: Strategy = "first"

    def module(self, root: Value) -> Module | None:
        keys = self.keys(root, _MODULE_KEYS, optional=("terms", "parameters"), what="a rule module")
        if keys is None:
            return None
        self._own_name(keys.get("module"))
        facts = self._facts(keys.get("facts"))
        self.strategy = self._strategy(keys.get("strategy"))
        self.result = self._result(keys.get("result"))
        title = self.text(keys.get("title"))
        terms = self._terms(root.place, keys.get("terms"), facts.struct) if facts and facts.struct else ()
        before = len(self.file.faults)
        if "parameters" in keys:
            self._parameters(keys["parameters"].value)
        sound = len(self.file.faults) == before  # else each rule that names a bad parameter would be called wrong too
        rules = self._rules(keys.get("rules"), facts if sound else None)
        otherwise = self._otherwise(keys.get("otherwise"))
        if facts is None or facts.struct is None or title is None or otherwise is None or self.file.faults:
            return None
        return Module(
            self.name, title, facts.struct, self.result, self.strategy, self.parameters, tuple(rules), otherwise, terms
        )

    # ── the head ──

    def _own_name(self, entry: Entry | None) -> None:
        found = self.scalar(entry)
        if found is not None and found.text != self.name:
            self.file.fault(
                found.place, f"the module is named by its path: {self.name!r}", f"write `module: {self.name}`"
            )

    def _facts(self, entry: Entry | None) -> Type | None:
        found = self.scalar(entry)
        if found is None:
            return None
        struct = self.structs.get(found.text)
        if struct is None:
            self.file.fault(found.place, f"unknown facts {found.text!r}", suggest(found.text, self.structs))
            return None
        try:
            fields_of(struct)
            fields_of(terms_of(struct) or struct)
        except UnreadableFacts as error:
            self.file.fault(found.place, str(error))
            return None
        return Type("facts", struct=struct)

    def _strategy(self, entry: Entry | None) -> Strategy:
        found = self.scalar(entry)
        if found is not None and found.text not in STRATEGIES:
            self.file.fault(found.place, f"unknown strategy {found.text!r}", suggest(found.text, STRATEGIES))
        return cast("Strategy", found.text) if found is not None else "first"

    def _result(self, entry: Entry | None) -> tuple[Any, ...]:
        if entry is None:
            return ()
        if self.strategy == "sum" or isinstance(entry.value, Mapping):
            if self.strategy not in NUMERIC:
                advice = f"whole numbers are answered with {', '.join(NUMERIC)}; write the words as a list"
                self.file.fault(entry.value.place, f"`strategy: {self.strategy}` answers words", advice)
            self.bounds = self._bounds(entry)
            return self.bounds
        words = self.series(entry, "the words that the module may answer, mildest first")
        found: list[str] = []
        for word in words:
            text = self.word(word, "a result")
            if text in found:
                self.file.fault(word.place, f"{text!r} stands twice")
            elif text is not None:
                found.append(text)
        return tuple(found)

    def _bounds(self, entry: Entry) -> tuple[int, int]:
        """Read the bounds of the module's whole numbers; where they are wrong, any number lies within them."""
        keys = self.keys(entry.value, ("at_least", "at_most"), what="a range of whole numbers")
        if keys is None:
            return INT64
        low, high = (self.whole_number(keys[name].value) for name in ("at_least", "at_most"))
        if low is None or high is None:
            return INT64
        if low > high:
            self.file.fault(entry.place, "`at_least` is greater than `at_most`")
            return INT64
        return low, high

    # ── terms ──

    def _terms(self, head: Place, entry: Entry | None, facts: type[Struct]) -> tuple[Dated, ...]:
        """Read the terms that the facts ask for."""
        struct = terms_of(facts)
        if struct is None or entry is None:
            if entry is not None:
                self.file.fault(entry.place, f"a module on {facts.__name__} has no `terms`")
            elif struct is not None:
                self.file.fault(head, f"a module on {facts.__name__} needs the key 'terms'")
            return ()
        fields = fields_of(struct)
        needed = [found.name for found in msgspec.structs.fields(struct) if found.required]
        known = ("from", "until", *fields, "source")
        optional = [key for key in known if key not in (*needed, "source")]
        dated: list[Dated] = []
        for item in self.series(entry, "the terms with their dates"):
            keys = self.keys(item, known, optional=optional, what="an item of `terms`")
            if keys is None:
                continue
            given = Mapping(item.place, {key: held for key, held in keys.items() if key in fields})
            terms, source = self.struct(given, struct), self.line(keys["source"])
            since, until = self.force(keys)
            if terms is not None and source is not None:
                dated.append(Dated(since, until, terms, source, item.place))
        return succession("terms", dated, self.file)

    # ── parameters ──

    def _parameters(self, value: Value) -> None:
        if not isinstance(value, Mapping):
            self.file.fault(value.place, "expected parameters by their names", "parameters:\n  limit:\n    - {...}")
            return
        for entry in value.entries.values():
            if not _NAME.fullmatch(entry.key) or entry.key in ("facts", "now"):
                self.file.fault(
                    entry.place, f"{entry.key!r} is no name for a parameter", "lower-case letters, digits and _"
                )
                continue
            parameter = self._parameter(entry)
            if parameter is None:
                self.unsound.add(entry.key)
            else:
                self.parameters[entry.key] = parameter

    def _parameter(self, entry: Entry) -> Parameter | None:
        dated: list[Dated] = []
        joined: Type | None = None
        for item in self.series(entry, "the parameter's values with their dates"):
            keys = self.keys(item, ("from", "until", "value", "source"), optional=("from", "until"), what="a value")
            if keys is None:
                continue
            value, source = self.literal(keys["value"].value), self.line(keys["source"])
            if value is None or source is None:
                continue
            since, until = self.force(keys)
            dated.append(Dated(since, until, value, source, item.place))
            wider = type_of_value(value) if joined is None else join(joined, type_of_value(value))
            if wider is None:
                self.file.fault(
                    keys["value"].value.place, f"{entry.key!r} was {joined} before; its values are of one type"
                )
                return None
            joined = wider
        if joined is None or not dated:
            return None
        return Parameter(entry.key, joined, succession(entry.key, dated, self.file))

    # ── rules ──

    def _rules(self, entry: Entry | None, facts: Type | None) -> list[Rule]:
        if entry is None:
            return []
        rules: list[Rule] = []
        seen: dict[str, Place] = {}
        items = self.series(entry, "the rules")
        if len(items) > MAX_RULES:
            self.file.fault(entry.place, f"more than {MAX_RULES} rules", "split the module")
        for item in items[:MAX_RULES]:
            optional = ("from", "until", "remedy")
            keys = self.keys(item, _RULE_KEYS, optional=optional, what="a rule")
            identifier = self.word(keys["id"].value, "a rule's id") if keys else None
            if keys is None or identifier is None:
                continue
            if identifier in seen or identifier == OTHERWISE:
                where = f"it stands in line {seen[identifier].line} already" if identifier in seen else "it is taken"
                self.file.fault(keys["id"].value.place, f"the id {identifier!r} is not free", where)
            seen[identifier] = keys["id"].value.place
            rule = self._rule(keys, identifier, facts)
            if rule is not None:
                rules.append(rule)
        return rules

    def _rule(self, keys: Table[str, Entry], identifier: str, facts: Type | None) -> Rule | None:
        since, until = self.force(keys)
        then = self.outcome(keys["then"].value)
        because, source = self.text(keys["because"]), self.line(keys["source"])
        remedy = self.text(keys["remedy"]) if "remedy" in keys else None
        when = self.scalar(keys["when"])
        condition = self._condition(when, facts) if when is not None and facts is not None else None
        if condition is None or when is None or then is None or because is None or source is None:
            return None
        used = {then, *(node.name for node in walk(condition) if isinstance(node, Variable))}
        for name in sorted(self.parameters.keys() & used):
            self._refuse_gap(keys["when"].value.place, self.parameters[name], since, until)
        place = keys["id"].value.place
        return Rule(identifier, since, until, when.text, condition, then, because, remedy, source, place)

    def _condition(self, when: Scalar, facts: Type) -> Node | None:
        names = {name: parameter.type for name, parameter in self.parameters.items()}
        try:
            condition = check(when.text, {"facts": facts, "now": TIMESTAMP, **names})
        except InvalidExpression as error:
            self.file.fault(locate(self.file, when, error.start, error.end), error.message, error.help)
            return None
        if condition.type.kind != "bool":
            self.file.fault(when.place, f"a rule's condition is true or false, this is {condition.type}")
            return None
        return condition

    def _refuse_gap(self, place: Place, parameter: Parameter, since: date | None, until: date | None) -> None:
        """Refuse a rule that is in force on a day on which a parameter of it has no value."""
        days = {since or date.min, *(value.until for value in parameter.values if value.until is not None)}
        for day in sorted(days):
            if in_force(since, until, day) and parameter.on(day) is None:
                began = f"on {day}" if day != date.min else "before its first date"
                advice = (
                    "give the rule a `from`, or the parameter an earlier value" if day == (since or date.min) else ""
                )
                self.file.fault(place, f"{parameter.name!r} has no value {began}, when the rule is in force", advice)
                return

    def _otherwise(self, entry: Entry | None) -> Otherwise | None:
        if entry is None:
            return None
        keys = self.keys(entry.value, ("then", "because", "remedy"), optional=("remedy",), what="`otherwise`")
        if keys is None:
            return None
        then, because = self.outcome(keys["then"].value, named=False), self.text(keys["because"])
        remedy = self.text(keys["remedy"]) if "remedy" in keys else None
        return None if then is None or because is None else Otherwise(then, because, remedy)

    def outcome(self, value: Value, *, named: bool = True) -> str | int | None:
        """Read a `then`: one of the module's words; or a whole number, or the name of one.

        What is answered as it stands lies within the bounds; a sum is kept within them.
        """
        if self.bounds is None:
            return self.word(value, "a result", self.result)
        if named and isinstance(value, Scalar) and _NAME.fullmatch(value.text):
            return self._figure(value)
        number = self.whole_number(value)
        if number is not None:
            self._refuse_outside(value.place, number, f"{number} is no answer of this module")
        return number

    def _figure(self, value: Scalar) -> str | None:
        """Read the name of a parameter that a rule answers with; one that is told to be wrong is not told again."""
        parameter = self.parameters.get(value.text)
        if parameter is None:
            if value.text not in self.unsound:
                advice = suggest(value.text, self.parameters)
                self.file.fault(value.place, f"{value.text!r} is neither a whole number nor a parameter", advice)
            return None
        if parameter.type.kind != "int":
            self.file.fault(value.place, f"the module answers whole numbers, {value.text!r} is none")
            return None
        for dated in parameter.values:
            since = f" from {dated.since}" if dated.since else ""
            self._refuse_outside(value.place, dated.value, f"{value.text!r} is {dated.value}{since}")
        return value.text

    def _refuse_outside(self, place: Place, number: int, message: str) -> None:
        low, high = self.bounds or INT64
        if self.strategy != "sum" and not low <= number <= high:
            self.file.fault(place, message, f"`result` lets the module answer {low} to {high}")
