"""Cases: the tests of rule modules, written by their authors in YAML.

`colour.cases.yaml` is next to `colour.yaml`. Every rule must fire in one case and not in another, and each midnight at
which the law changes needs a case on both sides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import CASES, Rulebook, Verdict, load_rulebook, module_name, read_file
from backend.rulebook.modules.coverage import check_changes_covered, check_rules_covered
from backend.rulebook.modules.field_reader import A_RESULT
from backend.rulebook.modules.module import OTHERWISE, Module
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import YamlEntry, YamlScalar, YamlSequence, YamlValue, read_document
from backend.rulebook.source import NO_HELP, InvalidRulebook, Location, SourceFile, suggest

NEVER = "never"

_CASE_KEYS = ("case", "at", "on", "given", "expect")
_EXPECTED_KEYS = ("result", "rule", "fired", "changes_at")


@dataclass(frozen=True)
class Expected:
    """The expected value of one field of a verdict, and its location."""

    value: Any
    location: Location


@dataclass(frozen=True)
class Case:
    """Facts, and the expected verdict on them: any of result, rule, fired and changes_at."""

    name: str
    location: Location
    at: datetime
    on: date | None
    facts: Struct
    expected: Mapping[str, Expected]


def run_cases(folder: Path, facts: Sequence[type[Struct]], time_zone: ZoneInfo) -> tuple[Rulebook, int]:
    """Load the rules below `folder`, as `strict`, and run their cases. Returns the rulebook and the number of cases.

    Raises InvalidRulebook if rules or cases have faults, a case fails, or a rule or a change of the law is not covered.
    """
    rulebook = load_rulebook(folder, facts, time_zone, strict=True)
    files = {module_name(folder, file): file for file in map(read_file, sorted(folder.rglob(f"*{CASES}.y*ml")))}
    cases: dict[str, list[Case]] = {}
    for name, file in files.items():
        module = rulebook.modules.get(name)
        if module is None:
            message = Text(zh=f"这些案例没有对应的模块“{name}”", en=f"there is no module {name!r} for these cases")
            file.fault(Location(1, 1), message, suggest(name, rulebook.modules), "R046")
        elif not file.faults:
            cases[name] = read_cases(file, module)
    faults = [fault for file in files.values() for fault in file.faults]
    if not faults:
        for module in rulebook.modules.values():
            rules = read_file(folder.joinpath(*module.name.split(".")).with_suffix(".yaml"))
            if module.name in files:
                _run_module(rulebook, module, cases[module.name], files[module.name], rules)
            else:
                name = f"{Path(rules.path).stem}{CASES}.yaml"
                message = Text(zh="这些规则没有案例", en="these rules have no cases")
                rules.fault(Location(1, 1), message, Text(zh=f"请编写 {name}", en=f"write {name}"), "R046")
            faults += rules.faults
        faults += [fault for file in files.values() for fault in file.faults]
    if faults:
        raise InvalidRulebook(faults)
    return rulebook, sum(map(len, cases.values()))


def read_cases(file: SourceFile, module: Module) -> list[Case]:
    """Read the cases of a module; faults are added to the file."""
    root = read_document(file)
    return [] if root is None or file.faults else _CaseReader(file, module).cases(root)


@dataclass
class _CaseReader(StructReader):
    module: Module

    def cases(self, root: YamlValue) -> list[Case]:
        entries = self.entries(root, ("module", "cases"), what=Text(zh="案例文件", en="a file of cases"))
        if entries is None:
            return []
        named = self.scalar(entries["module"])
        if named is not None and named.text != self.module.name:
            message = Text(
                zh=f"与这些案例同处的模块是“{self.module.name}”",
                en=f"these cases are next to the module {self.module.name!r}",
            )
            self.file.fault(named.location, message, NO_HELP, "R014")
        cases: dict[str, Case] = {}
        for item in self.items(entries["cases"], Text(zh="各个案例", en="the cases")):
            case = self._case(item)
            if case is not None and case.name in cases:
                line = cases[case.name].location.line
                message = Text(zh="两个案例同名", en="two cases have the same name")
                advice = Text(zh=f"第一个在第{line}行", en=f"the first one is in line {line}")
                self.file.fault(case.location, message, advice, "R023")
            elif case is not None:
                cases[case.name] = case
        return list(cases.values())

    def _case(self, item: YamlValue) -> Case | None:
        entries = self.entries(item, _CASE_KEYS, optional=("on",), what=Text(zh="案例", en="a case"))
        if entries is None:
            return None
        name, at = self.short_text(entries["case"]), self.instant(entries["at"].value)
        on = self.day(entries["on"]) if "on" in entries else None
        facts = self.struct(entries["given"].value, self.module.facts)
        expected = self._expected(entries["expect"])
        if name is None or at is None or facts is None:
            return None
        return Case(name, entries["case"].value.location, at, on, facts, expected)

    def _expected(self, entry: YamlEntry) -> dict[str, Expected]:
        if isinstance(entry.value, YamlScalar):
            return {"result": Expected(self._result(entry.value), entry.value.location)}
        entries = (
            self.entries(entry.value, _EXPECTED_KEYS, optional=_EXPECTED_KEYS, what=Text(zh="`expect`", en="`expect`"))
            or {}
        )
        if not entries:
            message = Text(zh="没有预期结果的案例不会失败", en="a case without an expectation cannot fail")
            self.file.fault(entry.value.location, message, NO_HELP, "R046")
        read = {"result": self._result, "rule": self._rule, "fired": self._fired, "changes_at": self._changes_at}
        return {
            entry.key: Expected(read[entry.key](entry.value), entry.value.location)
            for entry in entries.values()
            if entry.key in read
        }

    def _result(self, value: YamlValue) -> object:
        if self.module.numeric:
            return self.whole_number(value)
        if self.module.strategy == "collect":
            return tuple(self.word(item, A_RESULT, self._words()) for item in self._items(value))
        return self.word(value, A_RESULT, self._words())

    def _rule(self, value: YamlValue) -> str | None:
        return self.word(value, Text(zh="规则", en="a rule"), [OTHERWISE, *(rule.id for rule in self.module.rules)])

    def _fired(self, value: YamlValue) -> tuple[str | None, ...]:
        return tuple(map(self._rule, self._items(value)))

    def _changes_at(self, value: YamlValue) -> datetime | None:
        return None if isinstance(value, YamlScalar) and value.text == NEVER else self.instant(value)

    def _words(self) -> list[str]:
        return [word for word in self.module.result if isinstance(word, str)]

    def _items(self, value: YamlValue) -> list[YamlValue]:
        if isinstance(value, YamlSequence):
            return value.items
        message = Text(zh="此处应为列表，写作 [...]", en="expected a list, such as [...]")
        self.file.fault(value.location, message, NO_HELP, "R012")
        return []


def _run_module(rulebook: Rulebook, module: Module, cases: list[Case], file: SourceFile, rules: SourceFile) -> None:
    """Add the failed cases to the faults of `file`, and the rules without coverage to those of `rules`."""
    zone = rulebook.time_zone
    fired: set[str] = set()
    silent: set[str] = set()
    for case in cases:
        verdict = rulebook.evaluate(module.name, case.facts, case.at, on=case.on)
        for key, expected in case.expected.items():
            found = getattr(verdict, key)
            if found != expected.value:
                actual, wanted = _format(found, zone), _format(expected.value, zone)
                message = Text(
                    zh=f"{case.name}：{key} 为 {actual}，预期 {wanted}",
                    en=f"{case.name}: {key} is {actual}, expected {wanted}",
                )
                file.fault(expected.location, message, _describe(verdict, zone), "R045")
        fired.update(verdict.fired)
        in_force = {rule.id for rule in rulebook.in_force(module.name, case.at, on=case.on)}
        silent |= in_force.difference(verdict.fired)
    check_rules_covered(module, fired, silent, rules, file.path)
    instants = {case.at for case in cases if case.on is None}
    check_changes_covered(module, instants, zone, rules, file.path)


def _describe(verdict: Verdict, zone: ZoneInfo) -> Text:
    changes_at, result = _format(verdict.changes_at, zone), _format(verdict.result, zone)
    return Text(
        zh=f"成立的规则：{'、'.join(verdict.fired) or '无'}；由“{verdict.rule}”得 {result}，变更时刻：{changes_at}",
        en=f"{', '.join(verdict.fired) or 'no rule'} fired; {result} by {verdict.rule!r}, changes at {changes_at}",
    )


def _format(value: object, zone: ZoneInfo) -> str:
    match value:
        case None:
            return NEVER
        case datetime():
            return value.astimezone(zone).isoformat()
        case tuple():
            return f"[{', '.join(map(str, cast('tuple[object, ...]', value)))}]"
        case _:
            return str(value)
