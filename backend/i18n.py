"""Texts for citizens, in Chinese and English.

Every sentence that a citizen may read exists in both languages, so that no screen falls back to a language its reader
does not know.
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

_QUALITY = re.compile(r"^\s*([A-Za-z*]{1,8})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*$")


class Text(Struct, frozen=True, gc=False):
    """One sentence in Chinese (`zh`) and English (`en`)."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """Return the sentence in `language`, "zh" or "en"."""
        return self.zh if language == "zh" else self.en

    def __add__(self, other: "Text") -> "Text":
        return Text(zh=self.zh + other.zh, en=self.en + other.en)

    def format(self, **values: object) -> "Text":
        """Return the sentence with values in place of `{names}`; of a Text, each language takes its own."""
        zh, en = (
            {name: one.in_language(language) if isinstance(one, Text) else one for name, one in values.items()}
            for language in ("zh", "en")
        )
        return Text(zh=self.zh.format(**zh), en=self.en.format(**en))


def preferred_language(accept_language: str) -> str:
    """Return "zh" or "en" for an Accept-Language header; Chinese if the header names neither (RFC 9110, 12.5.4)."""
    best, best_quality = "zh", 0.0
    for part in accept_language[:200].split(","):
        match = _QUALITY.match(part)
        if not match or match[1].lower() not in ("zh", "en"):
            continue
        quality = float(match[2]) if match[2] else 1.0
        if quality > best_quality:
            best, best_quality = match[1].lower(), quality
    return best


def yuan(fen: int) -> str:
    """Return an amount of fen in yuan for texts, such as "200,000" or "1,234.50": whole yuan have no decimals."""
    sign = "-" if fen < 0 else ""
    whole, rest = divmod(abs(fen), 100)
    return f"{sign}{whole:,}" if rest == 0 else f"{sign}{whole:,}.{rest:02}"


def decimal_yuan(fen: int) -> str:
    """Return an amount of fen in yuan for files and tables, such as "200000.00": always two decimals, no commas."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02}"


def date_text(at: datetime, zone: ZoneInfo, *, with_year: bool = False) -> Text:
    """Return the local date and time of an instant, such as 12月5日20:00; the time is left out at midnight."""
    local = at.astimezone(zone)
    time = f"{local:%H:%M}" if (local.hour, local.minute) != (0, 0) else ""
    at_time = f" at {time}" if time else ""
    year_zh, year_en = (f"{local.year}年", f" {local.year}") if with_year else ("", "")
    return Text(zh=f"{year_zh}{local.month}月{local.day}日{time}", en=f"{local.day} {local:%B}{year_en}{at_time}")
