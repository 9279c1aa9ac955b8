"""CEL's own conformance tests, as far as they lie inside the rule language.

The data is read from `../shared/conformance/cel`, beside the project's folder; where it is missing, nothing is judged.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from backend.rulebook.language.check import check
from backend.rulebook.language.explain import Failure, explain
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
    """A value of a test that the rule language cannot hold."""


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


def judge(case: dict[str, Any]) -> str:
    """Say "inside" for a standard answer, "outside" for a refusal at load, or what was answered instead."""
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


def test_every_conformance_case_gets_the_standard_answer_or_is_refused_at_load(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"the conformance data is not beside the project ({FOLDER.name})")
    cases = [case for file in sorted(FOLDER.glob("*.json")) for case in json.loads(file.read_text(encoding="utf-8"))]
    verdicts = {case["name"]: judge(case) for case in cases}
    inside = sum(verdict == "inside" for verdict in verdicts.values())
    outside = sum(verdict == "outside" for verdict in verdicts.values())
    with capsys.disabled():
        print(f"\nCEL conformance: {inside} of {len(cases)} cases inside the language, {outside} refused at load")  # noqa: T201  whoever asks wants the counts
    assert {name: verdict for name, verdict in verdicts.items() if verdict not in ("inside", "outside")} == {}
    assert inside >= 260
    assert inside + outside == len(cases)
