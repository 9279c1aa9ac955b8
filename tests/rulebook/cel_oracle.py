"""Google's implementation of CEL, the external oracle of the rule language."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cel_expr_python import cel
from msgspec import Struct

CITY = ZoneInfo("Asia/Shanghai")
CEL_TYPES: dict[type[object], Any] = {
    bool: cel.Type.BOOL,
    int: cel.Type.INT,
    float: cel.Type.DOUBLE,
    str: cel.Type.STRING,
    datetime: cel.Type.TIMESTAMP,
    timedelta: cel.Type.DURATION,
}


def cel_literal(value: object) -> str:
    """Return facts as a CEL literal: a map without the absent fields."""
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return f'timestamp("{value.astimezone(UTC).isoformat()}")'
        case str():
            return f'"{value}"'
        case int() | float():
            return str(value)
        case timedelta():
            return f'duration("{value.total_seconds():f}s")'
        case tuple():
            return f"[{', '.join(map(cel_literal, value))}]"
        case Struct():
            held = ((name, getattr(value, name)) for name in value.__struct_fields__)
            return "{" + ", ".join(f'"{name}": {cel_literal(fact)}' for name, fact in held if fact is not None) + "}"
        case _:
            raise AssertionError(value)


def _age(since: datetime, at: datetime) -> int:
    """Count birthdays by hand, as an oracle for `age`: by the dates in the city, where 29 February moves to 1 March."""
    born, day = (instant.astimezone(CITY).date() for instant in (since, at))
    years = range(1, max(0, day.year - born.year) + 1)
    return sum((day.month, day.day) >= (born.month, born.day) or born.year + year < day.year for year in years)


AGE = cel.FunctionDecl("age", [cel.Overload("age", cel.Type.INT, [cel.Type.TIMESTAMP, cel.Type.TIMESTAMP], impl=_age)])


def evaluate_with_cel(conditions: Sequence[str], figures: dict[str, Any], facts: Struct, at: datetime) -> list[bool]:
    """Return the value of each condition according to cel-expr-python."""
    types = {name: CEL_TYPES[type(figure)] for name, figure in figures.items()}
    environment = cel.NewEnv(variables={"now": cel.Type.TIMESTAMP, **types}, functions=[AGE])
    listed = ", ".join(f"({condition})" for condition in conditions)
    program = environment.compile(f"[dyn({cel_literal(facts)})].map(facts, [{listed}])[0]")
    return program.eval(data={"now": at, **figures}).plain_value()
