"""Random and boundary facts for any module, generated from the types of its facts, so that every rule is tried."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import strategies as some
from msgspec import Struct

from backend.rulebook.language.types import MICROSECOND, Field, Type, fields_of
from backend.rulebook.modules.module import Module


def instants_near(at: datetime, spans: Iterable[timedelta]) -> some.SearchStrategy[datetime]:
    """Draw instants at, just before and just after each boundary, and others on any of the forty days before."""
    boundaries = sorted({timedelta(), *spans, *(one + other for one in spans for other in spans)})
    ticks = [timedelta(), MICROSECOND, -MICROSECOND, timedelta(seconds=1), timedelta(seconds=-1)]
    near = some.tuples(some.sampled_from(boundaries), some.sampled_from(ticks)).map(lambda pair: at - pair[0] + pair[1])
    return near | some.tuples(some.integers(-5, 40), some.integers(0, 1_439)).map(
        lambda pair: at - timedelta(days=pair[0], minutes=pair[1])
    )


def first_days(module: Module) -> list[date]:
    """Return the first day of each law of a module."""
    dated = [*module.rules, *(value for parameter in module.parameters.values() for value in parameter.values)]
    return sorted({day for item in dated for day in (item.since, item.until) if day is not None})


def random_facts(
    struct: type[Struct], instants: some.SearchStrategy[datetime], numbers: Iterable[int] = ()
) -> some.SearchStrategy[Any]:
    """Draw facts; each list is empty, or has up to three elements. Integers include `numbers` and their neighbours."""
    bounds = sorted({number + tick for number in numbers for tick in (-1, 0, 1)})
    fields = {name: _field(field, instants, bounds) for name, field in fields_of(struct).items()}
    return some.builds(struct, **fields)


def _field(field: Field, instants: some.SearchStrategy[datetime], bounds: list[int]) -> some.SearchStrategy[Any]:
    drawn = _value(field.type, instants, bounds)
    return some.none() | drawn if field.optional else drawn


def _value(kind: Type, instants: some.SearchStrategy[datetime], bounds: list[int]) -> some.SearchStrategy[Any]:
    if kind.struct is not None:
        return random_facts(kind.struct, instants, bounds)
    if kind.element is not None:
        return some.lists(_value(kind.element, instants, bounds), max_size=3).map(tuple)
    if kind.words is not None:
        return some.sampled_from(kind.words)
    if kind.kind == "int":
        return _numbers(kind, bounds)
    return {
        "bool": some.booleans(),
        "double": some.floats(-100, 100),
        "string": some.sampled_from(["IT", "CN", "浙"]),
        "timestamp": instants,
        "duration": some.integers(0, 30).map(lambda days: timedelta(days=days)),
    }[kind.kind]


def _numbers(kind: Type, bounds: list[int]) -> some.SearchStrategy[int]:
    """Draw small numbers, and those of `bounds` within the type's range."""
    low = max(kind.low, -100)
    small = some.integers(low, min(kind.high, max(low, 0) + 100))
    held = [number for number in bounds if kind.low <= number <= kind.high]
    return small | some.sampled_from(held) if held else small
