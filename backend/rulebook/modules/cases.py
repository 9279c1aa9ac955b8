"""Cases beside rules: what a module must say of whom and when, written by those who answer for the rules.

`colour.cases.yaml` stands beside `colour.yaml`. Every rule must fire in some case and be silent in another.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Series
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.rulebook import CASES, Rulebook, Verdict, load_rulebook, module_name, read_file
from backend.rulebook.modules.document import Entry, Scalar, Sequence, Value, read_document
from backend.rulebook.modules.given import GivenReader
from backend.rulebook.modules.module import OTHERWISE, Module
from backend.rulebook.source import InvalidRulebook, Place, SourceFile

NEVER = "never"

_CASE_KEYS = ("case", "at", "on", "given", "expect")
_EXPECTED_KEYS = ("result", "rule", "fired", "changes_at")


@dataclass(frozen=True)
class Expected:
    """One thing that a verdict must hold, and where that is written."""

    value: Any
    place: Place


@dataclass(frozen=True)
class Case:
    """What is given, and what the verdict must then hold: some of result, rule, fired and changes_at."""

    name: str
    place: Place
    at: datetime
    on: date | None
    given: Struct
    expected: Mapping[str, Expected]


def try_cases(folder: Path, facts: Series[type[Struct]], time_zone: ZoneInfo) -> tuple[Rulebook, int]:
    """Load the rules below `folder`, try the cases beside them, and give the rulebook with the count of its cases.

    Raises InvalidRulebook if rules or cases cannot be read, a case does not hold, or a rule is not tried.
    """
    rulebook = load_rulebook(folder, facts, time_zone)
    files = {module_name(folder, file): file for file in map(read_file, sorted(folder.rglob(f"*{CASES}.y*ml")))}
    cases: dict[str, list[Case]] = {}
    for name, file in files.items():
        module = rulebook.modules.get(name)
        if module is None:
            file.fault(Place(1, 1), f"there is no module {name!r} beside these cases")
        elif not file.faults:
            cases[name] = read_cases(file, module)
    faults = [fault for file in files.values() for fault in file.faults]
    if not faults:
        for module in rulebook.modules.values():
            rules = read_file(folder.joinpath(*module.name.split(".")).with_suffix(".yaml"))
            if module.name in files:
                _try(rulebook, module, cases[module.name], files[module.name], rules)
            else:
                name = f"{Path(rules.path).stem}{CASES}.yaml"
                rules.fault(Place(1, 1), "no cases stand beside these rules", f"write {name}")
            faults += rules.faults
        faults += [fault for file in files.values() for fault in file.faults]
    if faults:
        raise InvalidRulebook(faults)
    return rulebook, sum(map(len, cases.values()))


def read_cases(file: SourceFile, module: Module) -> list[Case]:
    """Read the cases of a module from their file; what is wrong is noted in it."""
    root = read_document(file)
    return [] if root is None or file.faults else _CaseReader(file, module).cases(root)


@dataclass
class _CaseReader(GivenReader):
    module: Module

    def cases(self, root: Value) -> list[Case]:
        keys = self.keys(root, ("module", "cases"), what="a file of cases")
        if keys is None:
            return []
        named = self.scalar(keys["module"])
        if named is not None and named.text != self.module.name:
            self.file.fault(named.place, f"these cases stand beside the module {self.module.name!r}")
        cases: dict[str, Case] = {}
        for item in self.series(keys["cases"], "the cases"):
            case = self._case(item)
            if case is not None and case.name in cases:
                line = cases[case.name].place.line
                self.file.fault(case.place, "two cases have the same name", f"the first one stands in line {line}")
            elif case is not None:
                cases[case.name] = case
        return list(cases.values())

    def _case(self, item: Value) -> Case | None:
        keys = self.keys(item, _CASE_KEYS, optional=("on",), what="a case")
        if keys is None:
            return None
        name, at = self.line(keys["case"]), self.instant(keys["at"].value)
        on = self.day(keys["on"]) if "on" in keys else None
        given = self.struct(keys["given"].value, self.module.facts)
        expected = self._expected(keys["expect"])
        if name is None or at is None or given is None:
            return None
        return Case(name, keys["case"].value.place, at, on, given, expected)

    def _expected(self, entry: Entry) -> dict[str, Expected]:
        if isinstance(entry.value, Scalar):
            return {"result": Expected(self._result(entry.value), entry.value.place)}
        keys = self.keys(entry.value, _EXPECTED_KEYS, optional=_EXPECTED_KEYS, what="what is expected") or {}
        if not keys:
            self.file.fault(entry.value.place, "a case that expects nothing cannot fail")
        read = {"result": self._result, "rule": self._rule, "fired": self._fired, "changes_at": self._changes_at}
        return {
            entry.key: Expected(read[entry.key](entry.value), entry.value.place)
            for entry in keys.values()
            if entry.key in read
        }

    def _result(self, value: Value) -> object:
        if self.module.numeric:
            return self.whole_number(value)
        if self.module.strategy == "collect":
            return tuple(self.word(item, "a result", self._words()) for item in self._items(value))
        return self.word(value, "a result", self._words())

    def _rule(self, value: Value) -> str | None:
        return self.word(value, "a rule", [OTHERWISE, *(rule.id for rule in self.module.rules)])

    def _fired(self, value: Value) -> tuple[str | None, ...]:
        return tuple(map(self._rule, self._items(value)))

    def _changes_at(self, value: Value) -> datetime | None:
        return None if isinstance(value, Scalar) and value.text == NEVER else self.instant(value)

    def _words(self) -> list[str]:
        return [word for word in self.module.result if isinstance(word, str)]

    def _items(self, value: Value) -> list[Value]:
        if isinstance(value, Sequence):
            return value.items
        self.file.fault(value.place, "expected a list, such as [...]")
        return []


def _try(rulebook: Rulebook, module: Module, cases: list[Case], file: SourceFile, rules: SourceFile) -> None:
    """Note in `file` the cases that do not hold, and in `rules` the rules that no case tries."""
    zone = rulebook.time_zone
    fired: set[str] = set()
    silent: set[str] = set()
    for case in cases:
        verdict = rulebook.evaluate(module.name, case.given, case.at, on=case.on)
        for key, expected in case.expected.items():
            found = getattr(verdict, key)
            if found != expected.value:
                message = f"{case.name}: {key} is {_told(found, zone)}, expected was {_told(expected.value, zone)}"
                file.fault(expected.place, message, _reason(verdict, zone))
        fired.update(verdict.fired)
        in_force = {rule.id for rule in rulebook.in_force(module.name, case.at, on=case.on)}
        silent |= in_force.difference(verdict.fired)
    for rule in module.rules:
        if rule.id not in fired:
            rules.fault(rule.place, f"{rule.id!r} fires in no case", f"add one to {file.path}")
        elif rule.id not in silent:
            rules.fault(rule.place, f"{rule.id!r} is silent in no case of its time", f"add one to {file.path}")


def _reason(verdict: Verdict, zone: ZoneInfo) -> str:
    fired = ", ".join(verdict.fired) or "no rule"
    changes_at = _told(verdict.changes_at, zone)
    return f"{fired} fired; {_told(verdict.result, zone)} by {verdict.rule!r}, changes at {changes_at}"


def _told(value: object, zone: ZoneInfo) -> str:
    match value:
        case None:
            return NEVER
        case datetime():
            return value.astimezone(zone).isoformat()
        case tuple():
            return f"[{', '.join(map(str, cast('tuple[object, ...]', value)))}]"
        case _:
            return str(value)
