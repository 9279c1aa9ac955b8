"""Import of CEL policies: the first match decides, or the policy is refused at its place."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from backend.rulebook import SourceFile, make_rulebook
from backend.rulebook.exchange.cel_policy_reader import read_cel_policy
from backend.rulebook.source import Fault
from tests.rulebook.exchange.rules import ZONE

Json = Any

AT = datetime(2022, 3, 1, 12, tzinfo=UTC)
CONFIG = """\
name: fares
variables:
  - name: trip.minutes
    type_name: int
  - name: trip.kind
    type: {type_name: string}
  - name: trip.at
    type_name: google.protobuf.Timestamp
  - name: labels
    type_name: map
  - name: now
    type_name: timestamp
"""
POLICY = """\
name: late fares
rule:
  variables:
    - name: late
      expression: trip.minutes >= 20 || trip.kind == 'night'
    - name: kinds
      expression: "['day', 'week']"
  match:
    - condition: trip.kind in variables.kinds && variables.late
      rule:
        match:
          - condition: |
              trip.minutes >= 60 ||
              trip.kind == 'week'
            output: "'full'"
          - condition: now < trip.at + duration('1h')
            output: "'half'"
    - rule:
        match:
          - condition: trip.minutes > 90
            output: "'half'"
            explanation: "'Very late'"
    - output: "'nothing'"
"""
MATCH = "name: p\nrule:\n  match:\n    - condition: {condition}\n      output: {output}\n    - output: \"'b'\"\n"


def read(policy: str, config: str | None = CONFIG) -> tuple[Json, list[Fault]]:
    file = SourceFile("policy.yaml", policy, [])
    other = SourceFile("config.yaml", config, []) if config is not None else None
    return read_cel_policy(file, other, date(2022, 1, 1)), file.faults + (other.faults if other else [])


def decide(policy: str, given: dict[str, Json]) -> Json:
    made, faults = read(policy)
    assert made is not None, faults
    rulebook = make_rulebook({made.name: SourceFile("p.yaml", made.text(), [])}, [], ZONE, strict=True)
    facts = msgspec.convert(given, rulebook.modules[made.name].facts)
    return rulebook.evaluate(made.name, facts, AT).result


@pytest.mark.parametrize(
    ("minutes", "kind", "at", "result"),
    [
        (60, "day", "2022-03-01T00:00:00Z", "full"),
        (20, "week", "2022-03-01T00:00:00Z", "full"),
        (20, "day", "2022-03-01T11:30:00Z", "half"),
        (20, "day", "2022-03-01T11:00:00Z", "none"),
        (91, "night", "2022-03-01T00:00:00Z", "half"),
        (19, "day", "2022-03-01T11:30:00Z", "nothing"),
    ],
    ids=["very late", "a week", "bought just now", "no match within", "an unconditional rule", "none of them"],
)
def test_the_first_match_decides(minutes: int, kind: str, at: str, result: str) -> None:
    assert decide(POLICY, {"trip_minutes": minutes, "trip_kind": kind, "trip_at": at}) == result


def test_whole_numbers_are_results_as_well() -> None:
    policy = "name: p\nrule:\n  match:\n    - condition: trip.minutes > 9\n      output: 7\n    - output: '-2'\n"
    given = {"trip_kind": "day", "trip_at": "2022-03-01T00:00:00Z"}
    assert [decide(policy, {**given, "trip_minutes": minutes}) for minutes in (9, 10)] == [-2, 7]


def test_a_variable_of_a_nested_rule_hides_that_of_the_outer_one() -> None:
    policy = """\
name: hidden
rule:
  variables:
    - {name: i, expression: "1"}
    - {name: j, expression: "2"}
  match:
    - condition: trip.minutes == 1
      rule:
        variables:
          - {name: i, expression: "5"}
        match:
          - output: variables.i + variables.j
    - output: variables.i + variables.j
"""
    given = {"trip_kind": "day", "trip_at": "2022-03-01T00:00:00Z"}
    assert [decide(policy, {**given, "trip_minutes": minutes}) for minutes in (1, 2)] == [7, 3]


def test_without_a_last_match_the_result_may_be_none() -> None:
    policy = "name: p\nrule:\n  match:\n    - condition: trip.minutes > 9\n      output: \"'a'\"\n"
    assert decide(policy, {"trip_minutes": 1, "trip_kind": "day", "trip_at": "2022-03-01T00:00:00Z"}) == "none"


def test_a_name_bound_by_a_macro_is_no_variable() -> None:
    policy = MATCH.format(condition="\"['day', 'week'].exists(trip, trip == 'day')\"", output="\"'a'\"")
    _, faults = read(policy)
    assert not [fault for fault in faults if "trip" in fault.message.en]


REFUSALS = {
    "a map": ("labels.colour == 'red'", "\"'a'\"", "R124", "labels"),
    "an unknown name": ("tripp.minutes > 1", "\"'a'\"", "R035", "tripp"),
    "an unknown variable": ("variables.late", "\"'a'\"", "R035", "variables.late"),
    "a part of now": ("now.getHours() > 20", "\"'a'\"", "R042", "now"),
    "a number that may be too large": ("trip.minutes * 2 > 3", "\"'a'\"", "R041", "trip.minutes"),
    "a wrong type": ("trip.minutes > 'x'", "\"'a'\"", "R038", "trip.minutes"),
    "no condition": ("trip.minutes", "\"'a'\"", "R121", "trip.minutes"),
    "a map as output": ("trip.minutes > 1", "\"{'a': 1}\"", "R044", "{'a'"),
    "a sentence as output": ("trip.minutes > 1", "\"'Hi, J!'\"", "R121", '"'),
    "an input as output": ("trip.minutes > 1", "trip.minutes", "R121", "trip.minutes"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_expressed_is_refused_at_its_place(name: str) -> None:
    condition, output, code, shown = REFUSALS[name]
    made, faults = read(MATCH.format(condition=condition, output=output))
    assert made is None
    (fault,) = faults
    assert fault.code == code
    assert fault.excerpt[fault.location.column - 1 :].startswith(shown)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("name: p\nrule:\n  match:\n    - output: \"'a'\"\n    - output: \"'b'\"\n", "no later match can apply"),
        ("name: p\nrule:\n  match:\n    - condition: trip.minutes > 1\n      output: 3\n", "may have no output"),
        ("name: p\nspec: {}\n", "'spec' is not supported"),
        ("name: p\n", "`rule` is missing"),
    ],
    ids=["after the last", "a number or nothing", "another kind of policy", "nothing to decide"],
)
def test_a_policy_that_our_rules_cannot_be_is_refused(policy: str, message: str) -> None:
    made, faults = read(policy)
    assert made is None
    assert message in faults[0].message.en


def test_without_a_config_the_policy_is_refused() -> None:
    made, faults = read(POLICY, None)
    assert made is None
    assert "config.yaml" in faults[0].help.en
