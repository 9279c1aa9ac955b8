"""Running the cases next to rule modules.

Every rule must fire in one case and not in another, and each midnight at which the law changes needs a case on both
sides. Which operands and thresholds the cases try is measured by `modules.goals`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import CASES, PERSONAS, Rulebook, Verdict, load_rulebook, module_name, read_file
from backend.rulebook.modules.case_reader import NEVER, NONE, Case, Expected, Persona, read_cases, read_personas
from backend.rulebook.modules.coverage import check_changes_covered, check_rules_covered
from backend.rulebook.modules.module import Module
from backend.rulebook.modules.units import is_money, money_text
from backend.rulebook.source import Fault, InvalidRulebook, Location, SourceFile, suggest


@dataclass(frozen=True)
class FailedCase:
    """A case whose verdict is not the expected one. `expected` and `actual` are the values of the key that differs."""

    module: str
    name: str
    key: str
    expected: str
    actual: str
    rule: str
    because: Text
    path: str
    location: Location


class FailedCases(InvalidRulebook):
    """Cases failed, or do not cover the rules; `failed` lists the failed cases."""

    def __init__(self, faults: Sequence[Fault], failed: Sequence[FailedCase]) -> None:
        super().__init__(faults)
        self.failed = tuple(failed)


@dataclass(frozen=True)
class TestedRules:
    """A rulebook whose rules are valid, and the cases of each of its modules, with the files that they are in."""

    rulebook: Rulebook
    files: Mapping[str, SourceFile]
    cases: Mapping[str, list[Case]]


class Personas:
    """The personas of each folder's `personas.yaml`; `files` are those files, with their faults."""

    def __init__(self, folder: Path, facts: Iterable[type[Struct]], files: Sequence[SourceFile] | None = None) -> None:
        structs = {struct.__name__: struct for struct in facts}
        self.folder = folder
        paths = sorted(folder.rglob(f"{PERSONAS}.y*ml")) if files is None else ()
        self.files = [*(files or ()), *map(read_file, paths)]
        self._found = {Path(file.path).parent: read_personas(file, structs) for file in self.files if not file.faults}

    def of(self, path: Path) -> dict[str, Persona]:
        """Return the personas that a file of cases may use: of its folder, and of those above it."""
        found: dict[str, Persona] = {}
        for parent in reversed(path.parents):
            if parent == self.folder or self.folder in parent.parents:
                found |= self._found.get(parent, {})
        return found


def run_cases(folder: Path, facts: Sequence[type[Struct]], time_zone: ZoneInfo) -> tuple[Rulebook, int]:
    """Load the rules below `folder`, as `strict`, and run their cases. Returns the rulebook and the number of cases.

    Raises InvalidRulebook if rules or cases have faults, and FailedCases if a case fails, or a rule or a change of the
    law is not covered.
    """
    tested = load_cases(folder, facts, time_zone)
    rulebook, files, cases = tested.rulebook, tested.files, tested.cases
    failed: list[FailedCase] = []
    faults: list[Fault] = []
    for module in rulebook.modules.values():
        rules = read_file(folder.joinpath(*module.name.split(".")).with_suffix(".yaml"))
        if module.name in files:
            failed += run_module(rulebook, module, cases[module.name], files[module.name], rules)
        else:
            report_missing_cases(rules)
        faults += rules.faults
    faults += [fault for file in files.values() for fault in file.faults]
    if faults:
        raise FailedCases(faults, failed)
    return rulebook, sum(map(len, cases.values()))


def load_cases(folder: Path, facts: Sequence[type[Struct]], time_zone: ZoneInfo) -> TestedRules:
    """Load the rules below `folder`, as `strict`, and read their cases. Raises InvalidRulebook for any fault."""
    rulebook = load_rulebook(folder, facts, time_zone, strict=True)
    shared = Personas(folder, [*facts, *(module.facts for module in rulebook.modules.values())])
    files = {module_name(folder, file): file for file in map(read_file, sorted(folder.rglob(f"*{CASES}.y*ml")))}
    cases: dict[str, list[Case]] = {}
    for name, file in files.items():
        module = rulebook.modules.get(name)
        if module is None:
            report_missing_module(file, name, rulebook.modules)
        elif not file.faults:
            cases[name] = read_cases(file, module, shared.of(Path(file.path)))
    faults = [fault for file in (*shared.files, *files.values()) for fault in file.faults]
    if faults:
        raise InvalidRulebook(faults)
    return TestedRules(rulebook, files, cases)


def report_missing_cases(rules: SourceFile) -> None:
    """Add a fault to the file of a rule module that has no cases."""
    name = f"{Path(rules.path).stem}{CASES}.yaml"
    message = Text(zh="这些规则没有案例", en="these rules have no cases")
    rules.fault(Location(1, 1), message, Text(zh=f"请编写 {name}", en=f"write {name}"), "R046")


def report_missing_module(cases: SourceFile, name: str, known: Iterable[str]) -> None:
    """Add a fault to a file of cases whose module is not among those that are `known`."""
    message = Text(zh=f"这些案例没有对应的模块“{name}”", en=f"there is no module {name!r} for these cases")
    cases.fault(Location(1, 1), message, suggest(name, known), "R046")


def failures(rulebook: Rulebook, module: str, case: Case) -> tuple[Verdict, list[tuple[str, Expected, object]]]:
    """Return the verdict on a case, and each key that differs with its expected and its actual value."""
    verdict = rulebook.evaluate(module, case.facts, case.at, on=case.on)
    found: list[tuple[str, Expected, object]] = []
    for key, expected in case.expected.items():
        if key == "because":
            actual: object = verdict.because
            differs = expected.value not in verdict.because.zh and expected.value not in verdict.because.en
        else:
            actual = _terms(rulebook, module, case, expected) if key == "terms" else getattr(verdict, key)
            differs = actual != expected.value
        if differs:
            found.append((key, expected, actual))
    return verdict, found


def _terms(rulebook: Rulebook, module: str, case: Case, expected: Expected) -> dict[str, object] | None:
    """Return the expected fields of the terms in force; all fields if none were expected."""
    terms = rulebook.terms(module, case.at, on=case.on)
    if terms is None:
        return None
    return {name: getattr(terms, name) for name in expected.value or terms.__struct_fields__}


def run_module(
    rulebook: Rulebook, module: Module, cases: list[Case], file: SourceFile, rules: SourceFile
) -> list[FailedCase]:
    """Return the failed cases, as faults of `file` too, and add the rules without coverage to the faults of `rules`."""
    zone = rulebook.time_zone
    fired: set[str] = set()
    silent: set[str] = set()
    failed: list[FailedCase] = []
    for case in cases:
        verdict, differing = failures(rulebook, module.name, case)
        for key, expected, actual in differing:
            money = key == "result" and module.in_yuan
            values = _format(expected.value, zone, key, money=money), _format(actual, zone, key, money=money)
            message = Text(
                zh=f"{case.name}：{key} 为 {values[1]}，预期 {values[0]}",
                en=f"{case.name}: {key} is {values[1]}, expected {values[0]}",
            )
            file.fault(expected.location, message, _describe(verdict, zone, money=module.in_yuan), "R045")
            failed.append(
                FailedCase(
                    module.name, case.name, key, *values, verdict.rule, verdict.because, file.path, expected.location
                )
            )
        fired.update(verdict.fired)
        in_force = {rule.id for rule in rulebook.in_force(module.name, case.at, on=case.on)}
        silent |= in_force.difference(verdict.fired)
    check_rules_covered(module, fired, silent, rules, file.path)
    instants = {case.at for case in cases if case.on is None}
    check_changes_covered(module, instants, zone, rules, file.path)
    return failed


def _describe(verdict: Verdict, zone: ZoneInfo, *, money: bool) -> Text:
    changes_at = _format(verdict.changes_at, zone, "changes_at")
    result = _format(verdict.result, zone, "result", money=money)
    return Text(
        zh=f"成立的规则：{'、'.join(verdict.fired) or '无'}；由“{verdict.rule}”得 {result}，变更时刻：{changes_at}",
        en=f"{', '.join(verdict.fired) or 'no rule'} fired; {result} by {verdict.rule!r}, changes at {changes_at}",
    )


def _format(value: object, zone: ZoneInfo, key: str, *, money: bool = False) -> str:
    """Return a value as authors write it; a whole number is fen if it is `money`."""
    match value:
        case int() if money:
            return money_text(value)
        case None:
            return NEVER if key == "changes_at" else NONE
        case datetime():
            return value.astimezone(zone).isoformat()
        case tuple():
            return f"[{', '.join(map(str, cast('tuple[object, ...]', value)))}]"
        case dict():
            fields = cast("dict[str, object]", value).items()
            return ", ".join(f"{name}: {_format(each, zone, key, money=is_money(name))}" for name, each in fields)
        case Text():
            return f"{value.zh} / {value.en}"
        case _:
            return str(value)
