"""What the facts mean is written in both languages, next to each field."""

import re
from collections.abc import Iterator
from typing import get_args

import pytest
from msgspec import Struct

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook.editor.reference import unit_text
from backend.rulebook.language.types import Type, Unit, fields_of
from backend.rulebook.needs import facts_of

HAN = re.compile(r"[\u4e00-\u9fff]")


def structs_in(struct: type[Struct]) -> Iterator[type[Struct]]:
    """Yield a Struct of facts and those in its fields."""
    yield struct
    for field in fields_of(struct).values():
        inner: Type | None = field.type
        while inner is not None and inner.struct is None:
            inner = inner.element
        if inner is not None and inner.struct is not None:
            yield from structs_in(inner.struct)


STRUCTS = list(
    dict.fromkeys(found for facts in facts_of(rule_modules_of(discover_services())) for found in structs_in(facts))
)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_fact_has_a_meaning_in_both_languages(struct: type[Struct]) -> None:
    for name, field in fields_of(struct).items():
        assert field.meaning is not None, f"{struct.__name__}.{name}"
        assert HAN.search(field.meaning.zh), f"{struct.__name__}.{name}"
        assert field.meaning.en.isascii(), f"{struct.__name__}.{name}"


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_an_amount_of_money_has_the_unit_fen(struct: type[Struct]) -> None:
    for name, field in fields_of(struct).items():
        unit = field.meaning.unit if field.meaning is not None else None
        assert (unit == "fen") == name.endswith("_fen"), f"{struct.__name__}.{name}"


def test_every_unit_is_written_in_both_languages() -> None:
    assert all(unit_text(unit).zh and unit_text(unit).en for unit in get_args(Unit))
