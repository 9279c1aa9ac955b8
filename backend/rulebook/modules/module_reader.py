"""Reads a rule module from YAML and checks it against its facts. It is not yet compiled.

All faults of a file are reported at once, each with its location.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

import msgspec
from msgspec import Struct

from backend.rulebook.language.checker import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.tree import Node
from backend.rulebook.language.types import (
    INT64,
    TIMESTAMP,
    Type,
    UnsupportedFacts,
    fields_of,
    join,
    terms_of,
    type_of_value,
)
from backend.rulebook.modules.keys import (
    BOUNDS_KEYS,
    MODULE_KEYS,
    OPTIONAL_MODULE_KEYS,
    OPTIONAL_OTHERWISE_KEYS,
    OPTIONAL_RULE_KEYS,
    OPTIONAL_VALUE_KEYS,
    OTHERWISE_KEYS,
    RULE_KEYS,
    VALUE_KEYS,
)
from backend.rulebook.modules.module import NUMERIC, OTHERWISE, STRATEGIES, Module, Otherwise, Parameter, Rule, Strategy
from backend.rulebook.modules.periods import DatedValue, in_force, resolve_periods
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import (
    YamlEntry,
    YamlMapping,
    YamlScalar,
    YamlValue,
    location_in,
    read_document,
)
from backend.rulebook.source import Location, SourceFile, suggest

MAX_RULES = 500

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def read_module(file: SourceFile, name: str, facts: Mapping[str, type[Struct]]) -> Module | None:
    """Read the module `name` from its file. Returns None and adds faults to the file if it is invalid."""
    root = read_document(file)
    if root is None or file.faults:
        return None
    module = _ModuleReader(file, name, facts).module(root)
    return None if file.faults else module


@dataclass
class _ModuleReader(StructReader):
    name: str
    structs: Mapping[str, type[Struct]]
    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter])
    invalid_parameters: set[str] = field(default_factory=set[str])
    result: tuple[Any, ...] = ()
    bounds: tuple[int, int] | None = None
    strategy: Strategy = "first"

    def module(self, root: YamlValue) -> Module | None:
        entries = self.entries(root, MODULE_KEYS, optional=OPTIONAL_MODULE_KEYS, what="a rule module")
        if entries is None:
            return None
        self._check_name(entries.get("module"))
        facts = self._facts(entries.get("facts"))
        self.strategy = self._strategy(entries.get("strategy"))
        self.result = self._result(entries.get("result"))
        title = self.text(entries.get("title"))
        terms = self._terms(root.location, entries.get("terms"), facts.struct) if facts and facts.struct else ()
        before = len(self.file.faults)
        if "parameters" in entries:
            self._parameters(entries["parameters"].value)
        are_valid = len(self.file.faults) == before  # a rule with an invalid parameter is not a second fault
        rules = self._rules(entries.get("rules"), facts if are_valid else None)
        otherwise = self._otherwise(entries.get("otherwise"))
        if facts is None or facts.struct is None or title is None or otherwise is None or self.file.faults:
            return None
        return Module(
            self.name, title, facts.struct, self.result, self.strategy, self.parameters, tuple(rules), otherwise, terms
        )

    # ── the head ──

    def _check_name(self, entry: YamlEntry | None) -> None:
        found = self.scalar(entry)
        if found is not None and not all(_NAME.fullmatch(part) for part in self.name.split(".")):
            advice = "rename the file or folder: up to 64 lower-case letters, digits and _, beginning with a letter"
            self.file.fault(found.location, f"the path gives the module the name {self.name!r}", advice)
        elif found is not None and found.text != self.name:
            self.file.fault(
                found.location, f"the module is named by its path: {self.name!r}", f"write `module: {self.name}`"
            )

    def _facts(self, entry: YamlEntry | None) -> Type | None:
        found = self.scalar(entry)
        if found is None:
            return None
        struct = self.structs.get(found.text)
        if struct is None:
            self.file.fault(
                found.location,
                f"unknown facts {found.text!r}: no service declares this Struct in `Service(rule_modules=...)`",
                suggest(found.text, self.structs),
            )
            return None
        try:
            fields_of(struct)
            fields_of(terms_of(struct) or struct)
        except UnsupportedFacts as error:
            self.file.fault(found.location, str(error))
            return None
        return Type("facts", struct=struct)

    def _strategy(self, entry: YamlEntry | None) -> Strategy:
        found = self.scalar(entry)
        if found is not None and found.text not in STRATEGIES:
            self.file.fault(found.location, f"unknown strategy {found.text!r}", suggest(found.text, STRATEGIES))
        return cast("Strategy", found.text) if found is not None else "first"

    def _result(self, entry: YamlEntry | None) -> tuple[Any, ...]:
        if entry is None:
            return ()
        if self.strategy == "sum" or isinstance(entry.value, YamlMapping):
            if self.strategy not in NUMERIC:
                advice = f"whole numbers need the strategy {', '.join(NUMERIC)}; write words as a list"
                self.file.fault(entry.value.location, f"`strategy: {self.strategy}` returns words", advice)
            self.bounds = self._bounds(entry)
            return self.bounds
        words = self.items(entry, "the possible results, mildest first")
        found: list[str] = []
        for word in words:
            text = self.word(word, "a result")
            if text in found:
                self.file.fault(word.location, f"{text!r} is listed twice")
            elif text is not None:
                found.append(text)
        return tuple(found)

    def _bounds(self, entry: YamlEntry) -> tuple[int, int]:
        """Read the bounds of the module's numbers; if they are invalid, return those of 64 bits."""
        entries = self.entries(entry.value, BOUNDS_KEYS, what="a range of whole numbers")
        if entries is None:
            return INT64
        low, high = (self.whole_number(entries[name].value) for name in ("at_least", "at_most"))
        if low is None or high is None:
            return INT64
        if low > high:
            self.file.fault(entry.location, "`at_least` is greater than `at_most`")
            return INT64
        return low, high

    # ── terms ──

    def _terms(self, head: Location, entry: YamlEntry | None, facts: type[Struct]) -> tuple[DatedValue, ...]:
        """Read the terms, if the facts declare any."""
        struct = terms_of(facts)
        if struct is None or entry is None:
            if entry is not None:
                self.file.fault(entry.location, f"a module on {facts.__name__} has no `terms`")
            elif struct is not None:
                self.file.fault(head, f"a module on {facts.__name__} needs the key 'terms'")
            return ()
        fields = fields_of(struct)
        needed = [found.name for found in msgspec.structs.fields(struct) if found.required]
        known = ("from", "until", *fields, "source")
        optional = [key for key in known if key not in (*needed, "source")]
        dated: list[DatedValue] = []
        for item in self.items(entry, "the terms with their dates"):
            entries = self.entries(item, known, optional=optional, what="an item of `terms`")
            if entries is None:
                continue
            values = YamlMapping(item.location, {key: held for key, held in entries.items() if key in fields})
            terms, source = self.struct(values, struct), self.short_text(entries["source"])
            since, until = self.period(entries)
            if terms is not None and source is not None:
                dated.append(DatedValue(since, until, terms, source, item.location))
        return resolve_periods("terms", dated, self.file)

    # ── parameters ──

    def _parameters(self, value: YamlValue) -> None:
        if not isinstance(value, YamlMapping):
            self.file.fault(value.location, "expected parameters by their names", "parameters:\n  limit:\n    - {...}")
            return
        for entry in value.entries.values():
            if not _NAME.fullmatch(entry.key) or entry.key in ("facts", "now"):
                self.file.fault(
                    entry.location, f"{entry.key!r} is not a name for a parameter", "lower-case letters, digits and _"
                )
                continue
            parameter = self._parameter(entry)
            if parameter is None:
                self.invalid_parameters.add(entry.key)
            else:
                self.parameters[entry.key] = parameter

    def _parameter(self, entry: YamlEntry) -> Parameter | None:
        dated: list[DatedValue] = []
        joined: Type | None = None
        for item in self.items(entry, "the parameter's values with their dates"):
            entries = self.entries(item, VALUE_KEYS, optional=OPTIONAL_VALUE_KEYS, what="a value")
            if entries is None:
                continue
            value, source = self.literal(entries["value"].value), self.short_text(entries["source"])
            if value is None or source is None:
                continue
            since, until = self.period(entries)
            dated.append(DatedValue(since, until, value, source, item.location))
            wider = type_of_value(value) if joined is None else join(joined, type_of_value(value))
            if wider is None:
                self.file.fault(
                    entries["value"].value.location,
                    f"{entry.key!r} was {joined} before; its values must be of one type",
                )
                return None
            joined = wider
        if joined is None or not dated:
            return None
        return Parameter(entry.key, joined, resolve_periods(entry.key, dated, self.file))

    # ── rules ──

    def _rules(self, entry: YamlEntry | None, facts: Type | None) -> list[Rule]:
        if entry is None:
            return []
        rules: list[Rule] = []
        seen: dict[str, Location] = {}
        items = self.items(entry, "the rules")
        if len(items) > MAX_RULES:
            self.file.fault(entry.location, f"more than {MAX_RULES} rules", "split the module")
        for item in items[:MAX_RULES]:
            entries = self.entries(item, RULE_KEYS, optional=OPTIONAL_RULE_KEYS, what="a rule")
            identifier = self.word(entries["id"].value, "a rule's id") if entries else None
            if entries is None or identifier is None:
                continue
            if identifier in seen or identifier == OTHERWISE:
                where = f"it is used in line {seen[identifier].line}" if identifier in seen else "it is reserved"
                self.file.fault(entries["id"].value.location, f"the id {identifier!r} is taken", where)
            seen[identifier] = entries["id"].value.location
            rule = self._rule(entries, identifier, facts)
            if rule is not None:
                rules.append(rule)
        return rules

    def _rule(self, entries: Mapping[str, YamlEntry], identifier: str, facts: Type | None) -> Rule | None:
        since, until = self.period(entries)
        then = self.outcome(entries["then"].value)
        because, source = self.text(entries["because"]), self.short_text(entries["source"])
        remedy = self.text(entries["remedy"]) if "remedy" in entries else None
        when = self.scalar(entries["when"])
        condition = self._condition(when, facts) if when is not None and facts is not None else None
        if condition is None or when is None or then is None or because is None or source is None:
            return None
        location = entries["id"].value.location
        rule = Rule(identifier, since, until, when.text, condition, then, because, remedy, source, location)
        for name in sorted(self.parameters.keys() & rule.names()):
            self._check_values(entries["when"].value.location, self.parameters[name], since, until)
        return rule

    def _condition(self, when: YamlScalar, facts: Type) -> Node | None:
        names = {name: parameter.type for name, parameter in self.parameters.items()}
        try:
            condition = check(when.text, {"facts": facts, "now": TIMESTAMP, **names})
        except InvalidExpression as error:
            self.file.fault(location_in(self.file, when, error.start, error.end), error.message, error.help)
            return None
        if condition.type.kind != "bool":
            self.file.fault(when.location, f"a rule's condition must be true or false, not {condition.type}")
            return None
        return condition

    def _check_values(self, location: Location, parameter: Parameter, since: date | None, until: date | None) -> None:
        """Add a fault if the rule is in force on a day without a value of its parameter."""
        days = {since or date.min, *(value.until for value in parameter.values if value.until is not None)}
        for day in sorted(days):
            if in_force(since, until, day) and parameter.on(day) is None:
                began = f"on {day}" if day != date.min else "before its first date"
                advice = (
                    "give the rule a `from`, or the parameter an earlier value" if day == (since or date.min) else ""
                )
                self.file.fault(location, f"{parameter.name!r} has no value {began}, when the rule is in force", advice)
                return

    def _otherwise(self, entry: YamlEntry | None) -> Otherwise | None:
        if entry is None:
            return None
        entries = self.entries(entry.value, OTHERWISE_KEYS, optional=OPTIONAL_OTHERWISE_KEYS, what="`otherwise`")
        if entries is None:
            return None
        then, because = self.outcome(entries["then"].value, named=False), self.text(entries["because"])
        remedy = self.text(entries["remedy"]) if "remedy" in entries else None
        return None if then is None or because is None else Otherwise(then, because, remedy)

    def outcome(self, value: YamlValue, *, named: bool = True) -> str | int | None:
        """Read a `then`: one of the module's words; or a whole number, or the name of a parameter with one.

        Numbers must be within the bounds, except for `sum`, which limits the sum to them.
        """
        if self.bounds is None:
            return self.word(value, "a result", self.result)
        if named and isinstance(value, YamlScalar) and _NAME.fullmatch(value.text):
            return self._parameter_result(value)
        number = self.whole_number(value)
        if number is not None:
            self._check_bounds(value.location, number, f"{number} is not a possible result")
        return number

    def _parameter_result(self, value: YamlScalar) -> str | None:
        """Read the name of the parameter whose value a rule returns; an invalid one is reported only once."""
        parameter = self.parameters.get(value.text)
        if parameter is None:
            if value.text not in self.invalid_parameters:
                advice = suggest(value.text, self.parameters)
                self.file.fault(value.location, f"{value.text!r} is neither a whole number nor a parameter", advice)
            return None
        if parameter.type.kind != "int":
            self.file.fault(
                value.location, f"the module returns whole numbers, but {value.text!r} is a {parameter.type.kind}"
            )
            return None
        for dated in parameter.values:
            since = f" from {dated.since}" if dated.since else ""
            self._check_bounds(value.location, dated.value, f"{value.text!r} is {dated.value}{since}")
        return value.text

    def _check_bounds(self, location: Location, number: int, message: str) -> None:
        low, high = self.bounds or INT64
        if self.strategy != "sum" and not low <= number <= high:
            self.file.fault(location, message, f"`result` allows {low} to {high}")
