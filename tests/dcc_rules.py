"""The public business rules of the European digital certificates, through our import: a table by country.

    python -m tests.dcc_rules FOLDER

FOLDER is a copy of https://github.com/eu-digital-green-certificates/dgc-business-rules-testdata. Each test of the
public set is run on the imported module; none is left out.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.exchange.certificate import CLOCK, facts_from, instant_of, value_at
from backend.rulebook.exchange.certlogic_reader import ACCEPTED, OUT_OF_FORCE, read_certlogic
from backend.rulebook.source import Fault, InvalidRulebook

ZONE = ZoneInfo("Asia/Shanghai")


@dataclass
class Country:
    """How the rules and tests of a country fared."""

    rules: int = 0
    imported: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    refusals: list[str] = field(default_factory=list[str])


def imported(path: Path, value_sets: Mapping[str, Sequence[str]]) -> tuple[Rulebook, str] | list[Fault]:
    """Return the rulebook of one rule, after the checks of authors, and the name of its module; or the faults."""
    file = SourceFile(str(path), path.read_text(encoding="utf-8"), [])
    made = read_certlogic(file, value_sets)
    if made is None:
        return file.faults
    module = SourceFile(f"{made.name}.yaml", made.text(), [])
    try:
        return make_rulebook({made.name: module}, [], ZONE, strict=True), made.name
    except InvalidRulebook as error:
        return list(error.faults)


def outcome(rulebook: Rulebook, name: str, test: Mapping[str, Any], begins: str) -> str:
    """Return "passed" if the module decides as a test of the public set expects, or what it does instead.

    A test of a rule that reads no time names none; it is run at the instant at which the rule `begins`.
    """
    data = {"payload": test.get("payload"), "external": test["external"]}
    try:
        facts = facts_from(rulebook.modules[name].facts, data)
        at = instant_of(value_at(data, CLOCK) or begins)
    except ValueError as error:
        return f"failed: {error}"
    result = rulebook.evaluate(name, facts, at).result
    if result == OUT_OF_FORCE:
        return "failed: the rule is not in force"
    return "passed" if (result == ACCEPTED) is test["expected"] else f"failed: {result}"


def countries(folder: Path) -> Iterator[tuple[str, Country]]:
    """Yield each country of the public set with its outcomes."""
    found: dict[str, Country] = {}
    for path in sorted([*folder.glob("*/*/rule.json"), *folder.glob("*/*/[A-Z]R-*-*.json")]):
        country = found.setdefault(path.parent.parent.name, Country())
        country.rules += 1
        _try(path, country, folder)
    yield from sorted(found.items())


def _try(path: Path, country: Country, folder: Path) -> None:
    """Run the tests of one rule; one without tests is imported with no value sets."""
    known: dict[str, tuple[Rulebook, str] | list[Fault]] = {}
    for test_path in sorted(path.parent.glob("tests/*.json")) or [None]:
        test: dict[str, Any] = msgspec.json.decode(test_path.read_bytes()) if test_path else {}
        value_sets: dict[str, list[str]] = test.get("external", {}).get("valueSets") or {}
        key = repr(value_sets)
        if key not in known:
            known[key] = imported(path, value_sets)
        found = known[key]
        if isinstance(found, tuple):
            if test_path:
                result = outcome(*found, test, str(msgspec.json.decode(path.read_bytes())["ValidFrom"]))
                country.outcomes[result.partition(":")[0]] += 1
                if result != "passed":
                    country.refusals.append(f"{test_path.relative_to(folder)}: {result}")
        elif test_path:
            country.outcomes["refused"] += 1
    country.imported += all(isinstance(each, tuple) for each in known.values())
    for each in known.values():
        if not isinstance(each, tuple):
            fault = each[0]
            place = f"{path.relative_to(folder)}:{fault.location.line}:{fault.location.column}"
            country.refusals.append(f"{place}: {fault.code} {fault.message.en}")


def main(folder: Path) -> None:
    """Print the table, then the place of each refusal."""
    columns = ("passed", "refused", "failed")
    print("| country | rules | imported | tests | passed | refused | failed |\n| --- |" + " --- |" * 6)  # noqa: T201
    sums, refusals = Country(), list[str]()
    for name, country in countries(folder):
        _print_row(name, country, columns)
        sums.rules, sums.imported = sums.rules + country.rules, sums.imported + country.imported
        sums.outcomes += country.outcomes
        refusals += country.refusals
    _print_row("all", sums, columns)
    print("\n".join(["", *refusals]))  # noqa: T201


def _print_row(name: str, country: Country, columns: Sequence[str]) -> None:
    cells = [name, country.rules, country.imported, sum(country.outcomes.values())]
    cells += [country.outcomes[column] for column in columns]
    print("| " + " | ".join(map(str, cells)) + " |")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
