"""Values of the rule language as people read them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text, yuan
from backend.rulebook.language.explainer import Failure
from backend.rulebook.language.temporal import duration_text
from backend.rulebook.modules.units import is_money, money_text


def display(value: object, zone: ZoneInfo, *, money: bool = False) -> str:
    """Return a value as authors write it, with instants in a time zone; whole numbers are fen if they are `money`."""
    match value:
        case None:
            return "absent"
        case bool():
            return str(value).lower()
        case int() if money:
            return money_text(value)
        case str():
            return value
        case datetime():
            return value.astimezone(zone).isoformat(timespec="auto")
        case timedelta():
            return duration_text(value)
        case list() | tuple():
            return f"[{', '.join(display(item, zone, money=money) for item in cast('Sequence[object]', value))}]"
        case Struct():
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
            shown = (
                f"{name}: {display(item, zone, money=is_money(name))}" for name, item in fields if item is not None
            )
            return f"{{{', '.join(shown)}}}"
        case Failure():
            return f"fails: {value.reason}"
        case _:
            return str(value)


def amount(name: str, number: int) -> Text:
    """Return a number of a field as a citizen reads it; the amounts of fields that end in `_fen` are in yuan."""
    if name.endswith("_fen"):
        return Text(zh=f"{yuan(number)}元", en=f"{yuan(number)} yuan")
    return Text(zh=f"{number:,}", en=f"{number:,}")


def minute(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant to the minute, rounded up, so that nobody comes too early."""
    rest = at - at.replace(second=0, microsecond=0)
    whole = at if not rest else at - rest + timedelta(minutes=1)
    return whole.astimezone(zone).strftime("%Y-%m-%d %H:%M")
