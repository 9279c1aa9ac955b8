"""Mutants of rule modules: each is the text of a module with one mistake that an author could make.

A mutant is *refused* if `chengma rules check` reports a fault in the rule, the parameter or the other key in which the
mistake is, or a fault elsewhere that names it, or the misspelt word. It is *failed* if a case fails, or if a rule or a
change of the law is no longer covered. It is *equivalent* if the law of each day is the same, or if it is listed in
equivalent_mutants.yaml. Any other mutant survives.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from backend.rulebook.language import syntax
from backend.rulebook.language.syntax import InvalidExpression, Syntax
from backend.rulebook.modules.case_reader import Case
from backend.rulebook.modules.cases import failures
from backend.rulebook.modules.coverage import check_changes_covered, check_rules_covered
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.periods import in_force, value_on
from backend.rulebook.modules.yaml_document import (
    YamlMapping,
    YamlScalar,
    YamlSequence,
    YamlValue,
    location_in,
    read_document,
)
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from backend.rulebook.source import Fault, Location

Kind = Literal["misspelt", "colon", "unit", "halved", "date", "operator", "negated", "operand", "swapped", "dropped"]
KINDS: tuple[Kind, ...] = (
    "misspelt", "colon", "unit", "halved", "date", "operator", "negated", "operand", "swapped", "dropped"
)  # fmt: skip

Outcome = Literal["refused", "failed", "equivalent", "elsewhere", "survived"]
"""`elsewhere`: refused, but neither where the mistake is nor by its name."""

SENTENCES = ("title", "because", "remedy", "source", "label", "sources", "articles")
"""Keys of prose, which no check can prove wrong: an article that no rule names could have any number."""

_SPAN = re.compile(r"(\d+)([dhm])(?!\w)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"-?\d[\d_]*(?:\.\d+)?(?: (?:yuan|fen))?|\d+[dhm]")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_NAME = re.compile(r"[\w-]+")
_QUOTED = re.compile(r"'[^']*'|`[^`]*`")
_WORD = re.compile(r"[A-Za-z_][\w.-]*")
_OPERATORS = {"_<_": "<=", "_<=_": "<", "_>_": ">=", "_>=_": ">", "_==_": "!=", "_!=_": "=="}
_SIGNS = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "_==_": "==", "_!=_": "!="}
_RESERVED = ("true", "false", "in", "now", "facts")


@dataclass(frozen=True)
class Mutant:
    """A module's text with the characters [start, end) replaced.

    `line` is the line of the mistake, `owner` the rule, parameter or key that it is in, from line `first` to `last`.
    """

    module: str
    kind: Kind
    start: int
    end: int
    new: str
    line: int
    was: str
    owner: str
    first: int
    last: int

    def text(self, original: str) -> str:
        """Return the mutated text."""
        return original[: self.start] + self.new + original[self.end :]

    def is_named_by(self, fault: Fault) -> bool:
        """Return whether a fault shows its author where the mistake is."""
        if self.kind == "dropped":
            return True  # nothing is left to point at
        quoted = "\n".join(_QUOTED.findall(f"{fault.message.en}\n{fault.help.en}"))
        names = {self.owner, self.new, *_IDENTIFIER.findall(self.was)}
        return self.first <= fault.location.line <= self.last or not names.isdisjoint(_NAME.findall(quoted))

    def __str__(self) -> str:
        """Return where the mistake is, and what was replaced by what."""
        return (
            f"{self.module}:{self.line}: {self.kind}: {' '.join(self.was.split())!r} -> {' '.join(self.new.split())!r}"
        )


class Equivalent(Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that decides the same as its module, and why."""

    module: str
    kind: Kind
    owner: str
    was: str
    new: str
    reason: str


def equivalents() -> list[Equivalent]:
    """Return the listed mutants that decide the same as their module."""
    return msgspec.yaml.decode(
        Path(__file__).with_name("equivalent_mutants.yaml").read_text("utf-8"), type=list[Equivalent]
    )


def has_same_law(one: Module, other: Module) -> bool:
    """Return whether two editions of a module with the same conditions have the same law and terms on each day."""
    if [(rule.id, rule.text, rule.then) for rule in one.rules] != [
        (rule.id, rule.text, rule.then) for rule in other.rules
    ]:
        return False
    if (one.result, one.strategy, one.otherwise.then) != (other.result, other.strategy, other.otherwise.then):
        return False
    return all(law(one, day) == law(other, day) for day in {date.min, *change_days(one), *change_days(other)})


@dataclass(frozen=True)
class Bench:
    """What mutants are tried on: the city's rulebook, its files, its cases and what its services need."""

    rulebook: Rulebook
    files: Mapping[str, SourceFile]
    cases: Mapping[str, Sequence[Case]]
    needed: Sequence[RuleModule]
    equivalents: Sequence[Equivalent] = ()

    def judge(self, mutant: Mutant) -> Outcome:
        """Return what becomes of a mutant."""
        name, base = mutant.module, self.rulebook
        files = {key: SourceFile(file.path, file.text, []) for key, file in self.files.items()}
        files[name].text = mutant.text(files[name].text)
        try:
            rulebook = make_rulebook(files, facts_of(self.needed), base.time_zone, base, strict=True)
            check_needs(rulebook, self.needed)
        except InvalidRulebook as error:
            return "refused" if any(map(mutant.is_named_by, error.faults)) else "elsewhere"
        if self._fails(rulebook, name):
            return "failed"
        is_equivalent = has_same_law(base.modules[name], rulebook.modules[name]) or self._is_listed(mutant)
        return "equivalent" if is_equivalent else "survived"

    def _is_listed(self, mutant: Mutant) -> bool:
        return any(
            (each.module, each.kind, each.owner, each.was, each.new)
            == (mutant.module, mutant.kind, mutant.owner, mutant.was, mutant.new)
            for each in self.equivalents
        )

    def _fails(self, rulebook: Rulebook, name: str) -> bool:
        fired: set[str] = set()
        silent: set[str] = set()
        module, cases = rulebook.modules[name], self.cases[name]
        for case in cases:
            verdict, differing = failures(rulebook, name, case)
            if differing:
                return True
            fired.update(verdict.fired)
            silent |= {rule.id for rule in rulebook.in_force(name, case.at, on=case.on)}.difference(verdict.fired)
        uncovered = SourceFile("", "", [])
        check_rules_covered(module, fired, silent, uncovered, "")
        instants = {case.at for case in cases if case.on is None}
        check_changes_covered(module, instants, rulebook.time_zone, uncovered, "")
        return bool(uncovered.faults)


def mutants_of(name: str, file: SourceFile) -> list[Mutant]:
    """Return all mutants of a module, in the order of its text."""
    root = read_document(SourceFile(file.path, file.text, []))
    assert isinstance(root, YamlMapping)
    return sorted(_Mutator(name, file).mutants(root), key=lambda mutant: (mutant.start, mutant.kind, mutant.new))


@dataclass
class _Mutator:
    name: str
    file: SourceFile

    def mutants(self, root: YamlMapping) -> Iterator[Mutant]:
        self.starts = [0]
        for line in self.file.text.split("\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.owners = sorted(_owners(root))
        yield from self._mapping(root, ())
        yield from self._colons()
        yield from self._rules(root)

    def _replace(self, kind: Kind, start: int, end: int, new: str) -> Mutant:
        line = self.file.text.count("\n", 0, start) + 1
        position = bisect_right([begin for begin, _ in self.owners], line) - 1
        first, owner = self.owners[position] if position >= 0 else (1, "")
        last = self.owners[position + 1][0] - 1 if position + 1 < len(self.owners) else len(self.starts)
        return Mutant(self.name, kind, start, end, new, line, self.file.text[start:end], owner, first, last)

    def _offset(self, location: Location) -> int:
        return self.starts[location.line - 1] + location.column - 1

    def _in_scalar(self, scalar: YamlScalar, start: int, end: int) -> tuple[int, int]:
        """Return the characters of the file that are the characters [start, end) of a scalar."""
        first, last = (self._offset(location_in(self.file, scalar, at, at + 1)) for at in (start, end - 1))
        return first, last + 1

    # ── values ──

    def _mapping(self, value: YamlMapping, path: tuple[str, ...]) -> Iterator[Mutant]:
        for entry in value.entries.values():
            yield from self._misspell(self._offset(entry.location), entry.key)
            if entry.key not in SENTENCES:
                yield from self._value(entry.value, (*path, entry.key))
            elif isinstance(entry.value, YamlMapping):
                for inner in entry.value.entries.values():
                    yield from self._misspell(self._offset(inner.location), inner.key)

    def _value(self, value: YamlValue, path: tuple[str, ...]) -> Iterator[Mutant]:
        match value:
            case YamlMapping():
                yield from self._mapping(value, path)
            case YamlSequence():
                for item in value.items:
                    yield from self._value(item, path)
            case YamlScalar():
                yield from self._condition(value) if path[-1] == "when" else self._scalar(value, path)

    def _scalar(self, scalar: YamlScalar, path: tuple[str, ...]) -> Iterator[Mutant]:
        if not scalar.text or "\n" in scalar.text or scalar.style in ("|", ">"):
            return
        begin, end = self._in_scalar(scalar, 0, len(scalar.text))
        text = self.file.text[begin:end]
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            yield self._replace("date", begin, end, str(day + timedelta(days=1)))
            yield self._replace("date", begin, end, str(day - timedelta(days=1)))
        elif _WORD.fullmatch(text) and text not in ("true", "false"):
            yield from self._misspell(begin, text)
        elif _NUMBER.fullmatch(text):
            yield from self._number(begin, text, is_money="fen" in path[-1] or any("fen" in part for part in path))

    def _number(self, begin: int, text: str, *, is_money: bool) -> Iterator[Mutant]:
        end = begin + len(text)
        span = _SPAN.fullmatch(text)
        if span:
            number, unit = int(span[1]), span[2]
            yield self._replace("unit", begin, end, f"{number}{ {'d': 'h', 'h': 'd', 'm': 'h'}[unit] }")
            yield self._replace("halved", begin, end, f"{number // 2}{unit}" if number > 1 else "12h")
            return
        digits = text.split(" ", maxsplit=1)[0]
        rest = text[len(digits) :]
        if "." in digits:
            return
        number = int(digits)
        half = -(-number // 2) if number < 0 else number // 2
        if number:
            yield self._replace("halved", begin, end, f"{half}{rest}")
        if number and (is_money or rest):
            yield self._replace("unit", begin, end, f"{number * 100}{rest}")
            if number % 100 == 0:
                yield self._replace("unit", begin, end, f"{number // 100}{rest}")

    def _misspell(self, begin: int, word: str) -> Iterator[Mutant]:
        """Leave out the middle letter of a word; double the letter of a short one."""
        middle = len(word) // 2
        if not word[middle].isalpha():
            middle -= 1
        wrong = word[:middle] + word[middle + 1 :] if len(word) > 2 else word + word[-1]
        yield self._replace("misspelt", begin, begin + len(word), wrong)

    # ── conditions ──

    def _condition(self, scalar: YamlScalar) -> Iterator[Mutant]:
        for found in _IDENTIFIER.finditer(scalar.text):
            if found[0] not in _RESERVED and not scalar.text[: found.start()].endswith(tuple("0123456789")):
                yield from self._misspell(self._in_scalar(scalar, found.start(), found.end())[0], found[0])
        try:
            tree = syntax.parse(scalar.text)
        except InvalidExpression:
            return  # a template of a table
        for node in _walk(tree):
            if isinstance(node, syntax.Literal) and node.kind == "int":
                begin, _ = self._in_scalar(scalar, node.start, node.end)
                yield from self._number(begin, scalar.text[node.start : node.end], is_money=False)
            elif isinstance(node, syntax.Call):
                yield from self._call(scalar, node)

    def _call(self, scalar: YamlScalar, node: syntax.Call) -> Iterator[Mutant]:
        if node.function in _OPERATORS:
            left, right = node.arguments
            sign = _SIGNS[node.function]
            at = scalar.text.index(sign, left.end, right.start)
            yield self._replace("operator", *self._in_scalar(scalar, at, at + len(sign)), _OPERATORS[node.function])
        elif node.function in ("_&&_", "_||_"):
            sign, other, neutral = ("&&", "||", "true") if node.function == "_&&_" else ("||", "&&", "false")
            left, right = node.arguments
            at = scalar.text.index(sign, left.end, right.start)
            yield self._replace("operator", *self._in_scalar(scalar, at, at + 2), other)
            for operand in node.arguments:
                begin, end = self._in_scalar(scalar, operand.start, operand.end)
                yield self._replace("operand", begin, end, neutral)
                if not (isinstance(operand, syntax.Call) and operand.function in ("_&&_", "_||_", "!_")):
                    yield self._replace("negated", begin, end, f"!({self.file.text[begin:end]})")
        elif node.function == "!_":
            begin, end = self._in_scalar(scalar, node.start, node.end)
            yield self._replace("negated", begin, end, self.file.text[begin:end].lstrip("!"))

    # ── structure ──

    def _colons(self) -> Iterator[Mutant]:
        """Drop each colon after a key, in lines and in braces; not those within quotes."""
        for found in re.finditer(r"(?m)^\s*(?:- )?[\w-]+(:)(?=\s|$)|[{,] ?[\w-]+(:)(?= )", self.file.text):
            start = found.start(1) if found[1] else found.start(2)
            line = self.file.text[self.file.text.rfind("\n", 0, start) + 1 : start]
            if line.count('"') % 2 == 0 and not line.lstrip().startswith("#"):
                yield self._replace("colon", start, start + 1, "")

    def _rules(self, root: YamlMapping) -> Iterator[Mutant]:
        """Drop each rule, and give each the `then` of the next."""
        listed = root.entries["rules"].value
        assert isinstance(listed, YamlSequence)
        items = [item for item in listed.items if isinstance(item, YamlMapping)]
        after = min(
            (
                entry.location.line
                for entry in root.entries.values()
                if entry.location.line > root.entries["rules"].location.line
            ),
            default=len(self.starts),
        )
        begins = [self.starts[item.location.line - 1] for item in items]
        for item, following, begin, end in zip(
            items, [*items[1:], *items[:1]], begins, [*begins[1:], self.starts[after - 1]], strict=True
        ):
            if len(items) > 1:
                yield self._replace("dropped", begin, end, "")
            one, other = (each.entries["then"].value if "then" in each.entries else None for each in (item, following))
            if isinstance(one, YamlScalar) and isinstance(other, YamlScalar) and one.text != other.text:
                yield self._replace("swapped", *self._in_scalar(one, 0, len(one.text)), other.text)


def change_days(module: Module) -> set[date]:
    """Return the days on which a rule, a value or terms begin or end."""
    values = (value for parameter in module.parameters.values() for value in parameter.values)
    dated = [*module.rules, *module.terms, *values]
    return {day for item in dated for day in (item.since, item.until) if day is not None}


def law(module: Module, day: date) -> tuple[object, ...]:
    """Return what decides on a day: the rules in force, the values that they read, and the terms."""
    rules = [rule for rule in module.rules if in_force(rule.since, rule.until, day)]
    read = {name for rule in rules for name in rule.names()} & module.parameters.keys()
    found = {str(name): module.parameters[str(name)].on(day) for name in read}
    values = {name: value and value.value for name, value in found.items()}
    terms = value_on(module.terms, day)
    return [rule.id for rule in rules], values, terms and terms.value


def _owners(root: YamlMapping) -> Iterator[tuple[int, str]]:
    """Yield the first line of each key, parameter and rule, with its name."""
    for entry in root.entries.values():
        yield entry.location.line, entry.key
    parameters = root.entries["parameters"].value if "parameters" in root.entries else None
    if isinstance(parameters, YamlMapping):
        yield from ((entry.location.line, entry.key) for entry in parameters.entries.values())
    rules = root.entries["rules"].value
    for item in rules.items if isinstance(rules, YamlSequence) else ():
        identifier = item.entries["id"].value if isinstance(item, YamlMapping) and "id" in item.entries else None
        if isinstance(identifier, YamlScalar):
            yield item.location.line, identifier.text


def _walk(node: Syntax) -> Iterator[Syntax]:
    yield node
    match node:
        case syntax.Select():
            yield from _walk(node.operand)
        case syntax.Call():
            for argument in node.arguments:
                yield from _walk(argument)
        case syntax.ListOf():
            for element in node.elements:
                yield from _walk(element)
        case _:
            pass
