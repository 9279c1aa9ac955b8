"""`rules/schema.json`, which editors without our language server use."""

from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from backend.cli.rules.schema import schema_text
from backend.rulebook.editor.schema import schema
from tests.conftest import ROOT

FILES = sorted(path for path in (ROOT / "rules").rglob("*.yaml") if "cases" in path.name or path.stem != "personas")
FRAME = (ROOT / "rules/health_code/frame.yaml").read_text("utf-8")
FRAME_CASES = (ROOT / "rules/health_code/frame.cases.yaml").read_text("utf-8")


def faults(text: str) -> list[str]:
    """Return what the schema refuses; dates are texts to editors."""
    document = _as_read(YAML(typ="safe").load(text))  # pyright: ignore[reportUnknownMemberType]
    return [error.message for error in Draft7Validator(schema()).iter_errors(document)]  # pyright: ignore[reportUnknownMemberType]


def _as_read(value: Any) -> Any:  # noqa: ANN401  any YAML
    match value:
        case dict():
            return {str(key): _as_read(item) for key, item in cast("dict[object, Any]", value).items()}
        case list():
            return [_as_read(item) for item in cast("list[Any]", value)]
        case datetime():
            return f"{value.isoformat()}Z"
        case date():
            return value.isoformat()
        case _:
            return value


def test_it_is_current() -> None:
    assert (ROOT / "rules/schema.json").read_text("utf-8") == schema_text(), (
        "run `python -m backend rules schema > rules/schema.json`"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "rules")))
def test_it_accepts_every_file_of_the_city(path: Path) -> None:
    assert faults(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("strategy: first", "strategy: frist"),
        ("strategy: first", "strategies: first"),
        ("    then: gold", "    than: gold"),
        ("otherwise:", "others:"),
        ("  - id: fully-vaccinated\n", "  - name: fully-vaccinated\n"),
        ("      en: You are fully vaccinated\n", ""),
        ("    from: 2021-05-01", "    from: 2021/5/1"),
        ("result: [none, gold]", "result: {at_least: 0}"),
        ("value: 2, source", "values: 2, source"),
    ],
    ids=["strategy", "key", "rule key", "otherwise", "no id", "no English", "date", "bounds", "value"],
)
def test_it_refuses_a_mistake_in_a_module(old: str, new: str) -> None:
    assert old in FRAME
    assert faults(FRAME.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    given:", "    facts:"),
        ("expect: none", "expect: {resutl: none}"),
        ("at: 2022-01-10T12", "at: 2022-01-10 "),
    ],
    ids=["key", "expected", "instant"],
)
def test_it_refuses_a_mistake_in_a_case(old: str, new: str) -> None:
    assert old in FRAME_CASES
    assert faults(FRAME_CASES.replace(old, new, 1))
