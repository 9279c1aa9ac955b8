"""CEL's semantics: cases of the project, which always run, and CEL's own conformance tests.

The data of the latter is read from `../shared/conformance/cel`, next to the project's folder, and is not part of the
project. Without it, that one test is skipped. Cases outside the rule language must be rejected at load.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from cel_expr_python import cel

from backend.rulebook.language.checker import check
from backend.rulebook.language.explainer import Failure, explain
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.temporal import parse_duration, parse_timestamp
from backend.rulebook.language.types import (
    ANY_DURATION,
    ANY_TIMESTAMP,
    BOOL,
    DOUBLE,
    INT,
    NOTHING,
    STRING,
    Type,
    join,
    list_of,
)

FOLDER = Path(__file__).parents[3] / "shared" / "conformance" / "cel"
TYPES = {
    "bool": BOOL,
    "int": INT,
    "double": DOUBLE,
    "string": STRING,
    "timestamp": ANY_TIMESTAMP,
    "duration": ANY_DURATION,
}


class OutsideTheLanguageError(Exception):
    """A value of a test that the rule language does not support."""


def typed(tagged: dict[str, Any]) -> tuple[Type, Any]:
    """Read a tagged value of the test data, such as {"int": "5"}."""
    ((tag, value),) = tagged.items()
    match tag:
        case "int":
            value = int(value)
        case "double":
            value = float(value)
        case "timestamp" | "duration":
            try:
                value = parse_timestamp(value) if tag == "timestamp" else parse_duration(value)
            except EvaluationError as error:
                raise OutsideTheLanguageError from error
        case "list":
            element, values = NOTHING, []
            for item in value:
                item_type, item_value = typed(item)
                joined = join(element, item_type)
                if joined is None:
                    raise OutsideTheLanguageError
                element, values = joined, [*values, item_value]
            return list_of(element), values
        case "bool" | "string":
            pass
        case _:
            raise OutsideTheLanguageError
    return TYPES[tag], value


def same(ours: object, theirs: object) -> bool:
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours):
        return math.isnan(theirs)
    return type(ours) is type(theirs) and ours == theirs


def outcome_of(case: dict[str, Any]) -> str:
    """Return "inside" for the standard's answer, "outside" for a rejection at load, or the wrong answer."""
    try:
        bindings = {name: typed(value) for name, value in case["bindings"].items()}
        tree = check(case["expr"], {name: kind for name, (kind, _) in bindings.items()}, total=False)
        expected = typed(case["value"])[1] if "value" in case else None
    except (InvalidExpression, OutsideTheLanguageError):
        return "outside"
    answer = explain(case["expr"], tree, {name: value for name, (_, value) in bindings.items()}).value
    if isinstance(answer, Failure):
        return "inside" if "error" in case else f"failed: {answer.reason}"
    return "inside" if same(answer, expected) else f"answered {answer!r}"


ERROR: dict[str, Any] = {"error": ""}
CASES: list[tuple[str, dict[str, Any]]] = [
    # integers: 64 bits, division towards zero
    ("7 / 2", {"value": {"int": "3"}}),
    ("-7 / 2", {"value": {"int": "-3"}}),
    ("-7 % 2", {"value": {"int": "-1"}}),
    ("7 % -2", {"value": {"int": "1"}}),
    ("1 / 0", ERROR),
    ("1 % 0", ERROR),
    ("9223372036854775807 + 1", ERROR),
    ("-9223372036854775808 - 1", ERROR),
    ("9223372036854775807 * 2", ERROR),
    ("-(-9223372036854775807 - 1)", ERROR),
    # doubles: IEEE 754
    ("1.0 / 0.0 > 1e308", {"value": {"bool": True}}),
    ("-1.0 / 0.0 < -1e308", {"value": {"bool": True}}),
    ("0.0 / 0.0 == 0.0 / 0.0", {"value": {"bool": False}}),
    # either side decides, even if the other fails
    ("true || 1 / 0 == 1", {"value": {"bool": True}}),
    ("1 / 0 == 1 || true", {"value": {"bool": True}}),
    ("1 / 0 == 1 && false", {"value": {"bool": False}}),
    ("1 / 0 == 1 || false", ERROR),
    ("1 / 0 == 1 && true", ERROR),
    ("false ? 1 / 0 : 2", {"value": {"int": "2"}}),
    # macros
    ("[1, 2, 3].exists(n, n > 2)", {"value": {"bool": True}}),
    ("[1, 0].exists(n, 1 / n == 1)", {"value": {"bool": True}}),
    ("[0, 2].exists(n, 1 / n == 1)", ERROR),
    ("[0, 2].all(n, 2 / n == 2)", {"value": {"bool": False}}),
    ("[1, 2, 2].exists_one(n, n == 2)", {"value": {"bool": False}}),
    ("[1, 2, 3].filter(n, n % 2 == 1)", {"value": {"list": [{"int": "1"}, {"int": "3"}]}}),
    ("[1, 2, 3].map(n, n > 1, n * n)", {"value": {"list": [{"int": "4"}, {"int": "9"}]}}),
    ("[1, 2][2]", ERROR),
    # strings and conversions
    ("size('码') + size('ab')", {"value": {"int": "3"}}),
    ("'abc'.matches('^b')", {"value": {"bool": False}}),
    ("int('12') + int(3.9)", {"value": {"int": "15"}}),
    ("int(-3.9)", {"value": {"int": "-3"}}),
    ("int('1.5')", ERROR),
    ("int(1e30)", ERROR),
    ("string(1.5) + string(true)", {"value": {"string": "1.5true"}}),
    # instants and durations
    ("timestamp('2020-02-29T00:00:00Z').getDayOfYear()", {"value": {"int": "59"}}),
    ("timestamp('2020-02-29T20:00:00Z').getDate('Asia/Shanghai')", {"value": {"int": "1"}}),
    ("timestamp('2020-03-01T00:00:00Z') - timestamp('2020-02-28T00:00:00Z')", {"value": {"duration": "172800s"}}),
    ("duration('-90m').getHours()", {"value": {"int": "-1"}}),
    ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", ERROR),
]
"""Expressions with the answer that CEL's language definition requires."""


@pytest.mark.parametrize(("expression", "answer"), CASES, ids=[expression for expression, _ in CASES])
def test_an_expression_has_the_value_that_the_language_definition_requires(
    expression: str, answer: dict[str, Any]
) -> None:
    assert outcome_of({"expr": expression, "bindings": {}, **answer}) == "inside"
    found = cel.NewEnv().compile(expression).eval()
    assert (found.type() == cel.Type.ERROR) == ("error" in answer)
    assert "error" in answer or same(found.plain_value(), typed(answer["value"])[1])


def test_every_conformance_case_gets_the_standard_answer_or_is_refused_at_load(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"there is no conformance data in {FOLDER}")
    cases = [case for file in sorted(FOLDER.glob("*.json")) for case in json.loads(file.read_text(encoding="utf-8"))]
    verdicts = {case["name"]: outcome_of(case) for case in cases}
    inside = sum(verdict == "inside" for verdict in verdicts.values())
    outside = sum(verdict == "outside" for verdict in verdicts.values())
    with capsys.disabled():
        print(f"\nCEL conformance: {inside} of {len(cases)} cases inside the language, {outside} refused at load")  # noqa: T201  the counts are wanted
    assert {name: verdict for name, verdict in verdicts.items() if verdict not in ("inside", "outside")} == {}
    assert inside >= 260
    assert inside + outside == len(cases)
