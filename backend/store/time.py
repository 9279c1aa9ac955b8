"""Instants as the stores represent them: in UTC, to the millisecond."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


def to_ms(at: datetime) -> int:
    """Return an instant in milliseconds since 1970, as in indexed fields."""
    return int(at.timestamp() * 1_000)


def from_ms(at_ms: int) -> datetime:
    """Return the instant of milliseconds since 1970, in UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def to_the_millisecond(at: datetime) -> datetime:
    """Return an instant in UTC, truncated to the millisecond."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)


def instants(struct: Struct) -> Iterator[tuple[str, datetime]]:
    """Yield the fields of a Struct that hold an instant, with their values."""
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, datetime):
            yield name, value


def in_utc(struct: Any) -> Any:  # noqa: ANN401  any Struct, and the same kind is returned
    """Return a Struct with its instants in UTC, truncated to the millisecond."""
    return replace(struct, **{name: to_the_millisecond(at) for name, at in instants(struct)})
