"""Google's implementation of CEL, the external oracle of the rule language."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cel_expr_python import cel
from msgspec import Struct

CEL_TYPES = {bool: cel.Type.BOOL, int: cel.Type.INT, str: cel.Type.STRING, timedelta: cel.Type.DURATION}


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


def evaluate_with_cel(conditions: Sequence[str], figures: dict[str, Any], facts: Struct, at: datetime) -> list[bool]:
    """Return the value of each condition according to cel-expr-python."""
    types = {name: CEL_TYPES[type(figure)] for name, figure in figures.items()}
    environment = cel.NewEnv(variables={"now": cel.Type.TIMESTAMP, **types})
    listed = ", ".join(f"({condition})" for condition in conditions)
    program = environment.compile(f"[dyn({cel_literal(facts)})].map(facts, [{listed}])[0]")
    return program.eval(data={"now": at, **figures}).plain_value()
