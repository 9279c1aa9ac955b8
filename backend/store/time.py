"""Instants as every store keeps them: in UTC, to the millisecond."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace


def instants(said: Struct) -> Iterator[tuple[str, datetime]]:
    """Give the instants that a Struct names, by field."""
    for field in fields(said):
        value = getattr(said, field.name)
        if isinstance(value, datetime):
            yield field.name, value


def in_utc(said: Any) -> Any:  # noqa: ANN401  any Struct, and the same kind comes back
    """Give a Struct with its instants in UTC, to the millisecond, as every store keeps them."""
    return replace(said, **{name: to_the_millisecond(at) for name, at in instants(said)})


def to_the_millisecond(at: datetime) -> datetime:
    """Give an instant in UTC as every store keeps it."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
