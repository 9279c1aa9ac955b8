"""Dates as citizens read them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from backend.i18n import Text


def date_text(at: datetime, zone: ZoneInfo, *, with_year: bool = False) -> Text:
    """Return the local date and time of an instant, such as 12月5日20:00; the time is left out at midnight."""
    local = at.astimezone(zone)
    time = f"{local:%H:%M}" if (local.hour, local.minute) != (0, 0) else ""
    at_time = f" at {time}" if time else ""
    year_zh, year_en = (f"{local.year}年", f" {local.year}") if with_year else ("", "")
    return Text(zh=f"{year_zh}{local.month}月{local.day}日{time}", en=f"{local.day} {local:%B}{year_en}{at_time}")
