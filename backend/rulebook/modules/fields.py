"""The small parts of which authors' files consist: words, texts, dates and literals, each refused with its place."""

import re
from collections.abc import Mapping as Table
from collections.abc import Sequence as Series
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from backend.i18n import Text
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import parse_instant
from backend.rulebook.language.types import INSTANTS, INT64, MAX_FACT_DURATION, join, type_of_value
from backend.rulebook.modules.document import Entry, Mapping, Scalar, Sequence, Value
from backend.rulebook.source import SourceFile, suggest

MAX_TEXT_CHARACTERS = 500

_WORD = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT.*")
_SPAN = re.compile(r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
_INTEGER = re.compile(r"-?\d{1,19}")
_DECIMAL = re.compile(r"-?\d{1,15}\.\d{1,15}")


@dataclass
class FieldReader:
    """Reads parts of one file; what is wrong is noted in it, and None given back."""

    file: SourceFile

    def keys(
        self, value: Value, known: Series[str], *, optional: Series[str] = (), what: str
    ) -> Table[str, Entry] | None:
        """Read a mapping that has all of the `known` keys but perhaps the `optional` ones, and no others."""
        if not isinstance(value, Mapping):
            self.file.fault(value.place, f"expected {what} with the keys {', '.join(known)}")
            return None
        for entry in value.entries.values():
            if entry.key not in known:
                self.file.fault(entry.place, f"unknown key {entry.key!r} in {what}", suggest(entry.key, known))
        missing = [key for key in known if key not in value.entries and key not in optional]
        for key in missing:
            self.file.fault(value.place, f"{what} needs the key {key!r}")
        return None if missing else value.entries

    def scalar(self, entry: Entry | None) -> Scalar | None:
        """Read a single value."""
        if entry is None:
            return None
        if not isinstance(entry.value, Scalar):
            self.file.fault(entry.value.place, f"{entry.key!r} is a single value")
            return None
        return entry.value

    def series(self, entry: Entry, what: str) -> list[Value]:
        """Read a list that holds something."""
        if not isinstance(entry.value, Sequence) or not entry.value.items:
            self.file.fault(entry.value.place, f"{entry.key!r} is a list: {what}")
            return []
        return entry.value.items

    def word(self, value: Value, what: str, known: Series[str] | None = None) -> str | None:
        """Read a word such as `close-contact`, perhaps one of those that are known."""
        if not isinstance(value, Scalar) or not _WORD.fullmatch(value.text):
            self.file.fault(value.place, f"{what} is a word of lower-case letters, digits, - and _")
            return None
        if known is not None and value.text not in known:
            self.file.fault(value.place, f"{value.text!r} is not {what} of this module", suggest(value.text, known))
            return None
        return value.text

    def line(self, entry: Entry) -> str | None:
        """Read a text that says something."""
        found = self.scalar(entry)
        if found is None:
            return None
        text = found.text.strip()
        if not 1 <= len(text) <= MAX_TEXT_CHARACTERS:
            self.file.fault(found.place, f"{entry.key!r} needs a text of 1 to {MAX_TEXT_CHARACTERS} characters")
            return None
        return text

    def text(self, entry: Entry | None) -> Text | None:
        """Read a text in Chinese and English."""
        if entry is None:
            return None
        keys = self.keys(entry.value, ("zh", "en"), what=f"`{entry.key}`")
        if keys is None:
            return None
        chinese, english = self.line(keys["zh"]), self.line(keys["en"])
        return None if chinese is None or english is None else Text(zh=chinese, en=english)

    def force(self, keys: Table[str, Entry]) -> tuple[date | None, date | None]:
        """Read the days `from` and `until`, of which either may be left out."""
        since = self.day(keys["from"]) if "from" in keys else None
        until = self.day(keys["until"]) if "until" in keys else None
        if since is not None and until is not None and until <= since:
            self.file.fault(keys["until"].value.place, "ends before it begins", "`until` is the first day without it")
        return since, until

    def day(self, entry: Entry) -> date | None:
        """Read a day of the calendar."""
        found = self.scalar(entry)
        if found is None:
            return None
        try:
            day = date.fromisoformat(found.text) if _DATE.fullmatch(found.text) else None
        except ValueError:
            day = None
        if day is None or not INSTANTS[0].date() < day < INSTANTS[1].date():
            self.file.fault(found.place, f"{found.text!r} is no day such as 2020-02-11")
            return None
        return day

    def instant(self, value: Value) -> datetime | None:
        """Read an instant with its offset from UTC, such as 2020-02-11T00:00:00+08:00."""
        try:
            return parse_instant(value.text if isinstance(value, Scalar) else "")
        except EvaluationError as error:
            self.file.fault(value.place, str(error))
            return None

    def whole_number(self, value: Value) -> int | None:
        """Read a whole number of 64 bits."""
        number = self.literal(value)
        if number is not None and type(number) is not int:
            self.file.fault(value.place, "expected a whole number")
            return None
        return number

    def literal(self, value: Value) -> Any:  # noqa: ANN401  whatever the rule language holds
        """Read a value of the rule language: true, 14, 2.5, 14d, 1h30m, 2020-02-11T00:00:00+08:00, "text", [a list]."""
        if isinstance(value, Sequence):
            return self._list(value)
        if not isinstance(value, Scalar):
            self.file.fault(value.place, "a value is a number, a text, a duration, an instant or a list of them")
            return None
        if not value.plain:
            return value.text
        return self._plain(value)

    def _list(self, value: Sequence) -> tuple[Any, ...] | None:
        found: list[Any] = []
        for item in value.items:
            literal = self.literal(item)
            if literal is None:
                return None
            if found and join(type_of_value(found[0]), type_of_value(literal)) is None:
                self.file.fault(item.place, "the values of a list are of one type")
                return None
            found.append(literal)
        return tuple(found)

    def _plain(self, value: Scalar) -> Any:  # noqa: ANN401  see literal()
        text = value.text
        if text in ("true", "false"):
            return text == "true"
        if _INTEGER.fullmatch(text) and INT64[0] <= int(text) <= INT64[1]:
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        span = _SPAN.fullmatch(text)
        if span:
            days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
            duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            if duration <= MAX_FACT_DURATION:
                return duration
        if _INSTANT.fullmatch(text):
            return self.instant(value)
        if _WORD.fullmatch(text):
            return text
        advice = "a duration is written 14d, 12h, 1h30m or 90s; a text that is no word stands in quotes"
        self.file.fault(value.place, f"{text!r} is no value of the rule language", advice)
        return None
