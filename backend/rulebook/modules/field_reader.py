"""Reads the basic parts of authors' files: words, texts, dates and literals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from backend.i18n import Text
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import parse_instant
from backend.rulebook.language.types import INSTANT_RANGE, INT64, MAX_FACT_DURATION, join, type_of_value
from backend.rulebook.modules.keys import TEXT_KEYS
from backend.rulebook.modules.layout import cut_by_comma, wide_colon
from backend.rulebook.modules.units import AMOUNT_SUFFIX, fen_of
from backend.rulebook.modules.written_values import form_of_day, form_of_instant, form_of_value, is_impossible_day
from backend.rulebook.modules.yaml_document import YamlEntry, YamlMapping, YamlScalar, YamlSequence, YamlValue
from backend.rulebook.source import Location, SourceFile, nearest_key, suggest, suggest_key

MAX_TEXT_CHARACTERS = 500
_A_NUMBER = Text(zh="请写不带引号和单位的数字，如 14", en="write a number without quotes and unit, such as 14")
A_RESULT = Text(zh="结果", en="a result")

_WORD = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_A_WORD = Text(zh="请用英文字母，如 close-contact", en="write it in lower-case English letters, such as close-contact")
_TRUTHS = ("yes", "no", "on", "off")
_COMMENT = re.compile(r"\s(#)(?!\s*silence\b)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT.*")
_SPAN = re.compile(r"(-?)(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,8})(?:\.(\d{1,6}))?s)?")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,30}\.[0-9]{1,30}")


@dataclass
class FieldReader:
    """Reads parts of one file. If a part is invalid, it adds a fault to the file and returns None."""

    file: SourceFile

    def entries(
        self, value: YamlValue, known: Sequence[str], *, optional: Sequence[str] = (), what: Text
    ) -> Mapping[str, YamlEntry] | None:
        """Read a mapping with the `known` keys, of which the `optional` ones may be missing, and no others.

        A misspelt key is a fault, and is read as the key that the fault suggests: what refers to it is right.
        """
        if not isinstance(value, YamlMapping):
            message = Text(
                zh=f"此处应为{what.zh}，包含的键有：{'、'.join(known)}",
                en=f"expected {what.en} with the keys {', '.join(known)}",
            )
            self.file.fault(value.location, message, _form_of(known), "R012")
            return None
        found: dict[str, YamlEntry] = {}
        for entry in value.entries.values():
            if entry.key in known:
                found[entry.key] = entry
            elif not self.has_layout_flaw(entry):
                message = Text(zh=f"{what.zh}没有“{entry.key}”这个键", en=f"unknown key {entry.key!r} in {what.en}")
                self.file.fault(entry.location, message, suggest_key(entry.key, known), "R010")
                meant = nearest_key(entry.key, known)
                if meant is not None and meant not in value.entries:
                    found.setdefault(meant, YamlEntry(meant, entry.location, entry.value))
        missing = [key for key in known if key not in found and key not in optional]
        for key in missing:
            message = Text(zh=f"{what.zh}缺少键“{key}”", en=f"{what.en} needs the key {key!r}")
            advice = Text(zh=f"请补上 `{key}: ...`", en=f"add `{key}: ...`")
            self.file.fault(value.location, message, advice, "R011")
        return None if missing else found

    def has_layout_flaw(self, entry: YamlEntry) -> bool:
        """Add a fault if this is no key of `{ }` but has a full-width colon, or is what a comma cuts off a value."""
        if not isinstance(entry.value, YamlScalar) or not entry.value.plain or entry.value.text:
            return False
        place = entry.location.line, entry.location.column
        flaw = wide_colon(self.file.text, *place) or cut_by_comma(self.file.text, *place)
        if flaw is not None:
            flaw.report(self.file)
        return flaw is not None

    def scalar(self, entry: YamlEntry | None) -> YamlScalar | None:
        """Read a single value."""
        if entry is None:
            return None
        if not isinstance(entry.value, YamlScalar):
            message = Text(zh=f"“{entry.key}”应为单个值", en=f"{entry.key!r} is a single value")
            self.file.fault(entry.value.location, message, Text(zh="请只写一个值", en="write one value"), "R012")
            return None
        return entry.value

    def items(self, entry: YamlEntry, what: Text) -> list[YamlValue]:
        """Read a list that is not empty."""
        if not isinstance(entry.value, YamlSequence) or not entry.value.items:
            message = Text(zh=f"“{entry.key}”应为列表：{what.zh}", en=f"{entry.key!r} is a list: {what.en}")
            self.file.fault(
                entry.value.location,
                message,
                Text(
                    zh="请用 [..., ...] 或以 `- ` 开头的各行书写", en="write [..., ...], or lines that begin with `- `"
                ),
                "R012",
            )
            return []
        return entry.value.items

    def word(self, value: YamlValue, what: Text, known: Sequence[str] | None = None) -> str | None:
        """Read a word such as `close-contact`; with `known`, it must be one of those."""
        if not isinstance(value, YamlScalar) or not _WORD.fullmatch(value.text):
            message = Text(
                zh=f"{what.zh}应为由小写字母、数字、- 和 _ 组成的词",
                en=f"{what.en} is a word of lower-case letters, digits, - and _",
            )
            self.file.fault(value.location, message, _A_WORD, "R013")
            return None
        if known is not None and value.text not in known:
            message = Text(
                zh=f"“{value.text}”不是本模块的{what.zh}", en=f"{value.text!r} is not {what.en} of this module"
            )
            self.file.fault(value.location, message, suggest(value.text, known), "R024")
            return None
        return value.text

    def short_text(self, entry: YamlEntry) -> str | None:
        """Read a text of 1 to 500 characters."""
        found = self.scalar(entry)
        if found is None:
            return None
        text = found.text.strip()
        if not 1 <= len(text) <= MAX_TEXT_CHARACTERS:
            message = Text(
                zh=f"“{entry.key}”应为1至{MAX_TEXT_CHARACTERS}个字符的文本",
                en=f"{entry.key!r} needs a text of 1 to {MAX_TEXT_CHARACTERS} characters",
            )
            advice = Text(zh="请填写或缩短文本", en="write a text, or shorten it")
            self.file.fault(found.location, message, advice, "R017")
            return None
        self._check_comment(found)
        return text

    def _check_comment(self, value: YamlScalar) -> None:
        """Add a fault if a comment cuts a sentence without quotes, such as `go to #3`, which would lose its end."""
        if not value.plain:
            return
        line = self.file.text.split("\n")[value.ends_at_line - 1]
        start = value.location.column - 1 if value.ends_at_line == value.location.line else 0
        comment = _COMMENT.search(line, start)
        written = line[start : comment.start()].strip() if comment is not None else ""
        if comment is not None and written and value.text.endswith(written):
            self.file.fault(
                Location(value.ends_at_line, comment.start(1) + 1),
                Text(zh="句子在 # 处被截断，其后成了注释", en="a comment cuts this sentence at the #"),
                Text(zh="请给整句加上英文引号", en="put the whole sentence in quotes"),
                "R008",
            )

    def text(self, entry: YamlEntry | None) -> Text | None:
        """Read a text in Chinese and English."""
        if entry is None:
            return None
        entries = self.entries(entry.value, TEXT_KEYS, what=Text(zh=f"“{entry.key}”", en=f"`{entry.key}`"))
        if entries is None:
            return None
        chinese, english = self.short_text(entries["zh"]), self.short_text(entries["en"])
        return None if chinese is None or english is None else Text(zh=chinese, en=english)

    def period(self, entries: Mapping[str, YamlEntry]) -> tuple[date | None, date | None]:
        """Read the optional days `from` and `until`."""
        since = self.day(entries["from"]) if "from" in entries else None
        until = self.day(entries["until"]) if "until" in entries else None
        if since is not None and until is not None and until <= since:
            self.file.fault(
                entries["until"].value.location,
                Text(zh="`until` 不晚于 `from`", en="`until` is not after `from`"),
                Text(zh="`until` 是不再适用的第一天", en="`until` is the first day without it"),
                "R018",
            )
        return since, until

    def day(self, entry: YamlEntry) -> date | None:
        """Read a day of the calendar."""
        found = self.scalar(entry)
        if found is None:
            return None
        try:
            day = date.fromisoformat(found.text) if _DATE.fullmatch(found.text) else None
        except ValueError:
            day = None
        if day is None or not INSTANT_RANGE[0].date() < day < INSTANT_RANGE[1].date():
            message = Text(
                zh=f"“{found.text}”不是日期，日期应写作 2020-02-11",
                en=f"{found.text!r} is not a date such as 2020-02-11",
            )
            form = form_of_day(found.text)
            advice = Text(zh="请写年-月-日，各为数字", en="write year-month-day in digits")
            if form is not None:
                advice = Text(zh=f"请写 {form}", en=f"write {form}")
            elif is_impossible_day(found.text):
                advice = Text(zh="日历上没有这一天", en="the calendar has no such day")
            self.file.fault(found.location, message, advice, "R018")
            return None
        return day

    def instant(self, value: YamlValue) -> datetime | None:
        """Read an instant with its offset from UTC, such as 2020-02-11T00:00:00+08:00."""
        try:
            return parse_instant(value.text if isinstance(value, YamlScalar) else "")
        except EvaluationError as error:
            form = form_of_instant(value.text) if isinstance(value, YamlScalar) else None
            form = form or "2020-02-11T00:00:00+08:00"
            advice = Text(zh=f"请写 {form}", en=f"write {form}")
            if isinstance(value, YamlScalar) and form == value.text:  # its form is right, its year is not
                advice = Text(zh="请更正年份", en="correct the year")
            self.file.fault(value.location, error.message, advice, "R018")
            return None

    def whole_number(self, value: YamlValue, *, money: bool = False) -> int | None:
        """Read a whole number of 64 bits, or an amount of `money` in fen."""
        number = self.literal(value, money=money)
        if number is not None and type(number) is not int:
            self.file.fault(value.location, Text(zh="此处应为整数", en="expected a whole number"), _A_NUMBER, "R019")
            return None
        return number

    def literal(self, value: YamlValue, *, money: bool = False) -> Any:  # noqa: ANN401  any value of the rule language
        """Read a value of the rule language: true, 14, 2.5, 14d, 1h30m, 2020-02-11T00:00:00+08:00, "text", [a list].

        An amount of `money`, such as 1_200_000 yuan, is read as fen; elsewhere it is a fault.
        """
        if isinstance(value, YamlSequence):
            return self._list(value, money=money)
        if not isinstance(value, YamlScalar):
            message = Text(
                zh="值可以是数字、文本、时长、时刻，或由它们组成的列表",
                en="a value is a number, a text, a duration, an instant or a list of them",
            )
            self.file.fault(
                value.location,
                message,
                Text(zh="请写一个值，或 [..., ...]", en="write one value, or [..., ...]"),
                "R012",
            )
            return None
        if not value.plain:
            return value.text
        fen = fen_of(value.text)
        if fen is None:
            return self._plain(value)
        if not money or not INT64[0] <= fen <= INT64[1]:
            message = Text(zh=f"此处不是金额：{value.text!r}", en=f"{value.text!r} is money, and this is not an amount")
            advice = Text(
                zh=f"金额的名称以 {AMOUNT_SUFFIX} 结尾，或参数写明 unit: yuan",
                en=f"the name of an amount ends in {AMOUNT_SUFFIX}, or the parameter has `unit: yuan`",
            )
            self.file.fault(value.location, message, advice, "R086")
            return None
        return fen

    def _list(self, value: YamlSequence, *, money: bool) -> tuple[Any, ...] | None:
        found: list[Any] = []
        for item in value.items:
            literal = self.literal(item, money=money)
            if literal is None:
                return None
            if found and join(type_of_value(found[0]), type_of_value(literal)) is None:
                message = Text(zh="列表中的值应为同一类型", en="the values of a list must be of one type")
                self.file.fault(
                    item.location, message, Text(zh="请只写同一类型的值", en="write values of one type only"), "R020"
                )
                return None
            found.append(literal)
        return tuple(found)

    def _plain(self, value: YamlScalar) -> Any:  # noqa: ANN401  see literal()
        text = value.text
        if text in ("true", "false"):
            return text == "true"
        if _INTEGER.fullmatch(text) and INT64[0] <= int(text) <= INT64[1]:
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        span = _SPAN.fullmatch(text)
        if span:
            sign, *whole, fraction = span.groups(default="")
            days, hours, minutes, seconds = (int(part or 0) for part in whole)
            microseconds = int(fraction.ljust(6, "0"))
            duration = timedelta(days, seconds, microseconds, minutes=minutes, hours=hours)
            if duration <= MAX_FACT_DURATION:
                return -duration if sign else duration
        if _INSTANT.fullmatch(text):
            return self.instant(value)
        if _WORD.fullmatch(text) and text not in _TRUTHS:
            return text
        message = Text(zh=f"“{text}”不是规则语言中的值", en=f"{text!r} is not a value of the rule language")
        advice = Text(
            zh="时长写作 14d、12h、1h30m 或 90s；不是词的文本须加引号",
            en="a duration is written 14d, 12h, 1h30m or 90s; a text that is not a word needs quotes",
        )
        self.file.fault(value.location, message, form_of_value(text) or advice, "R019")
        return None


def _form_of(keys: Sequence[str]) -> Text:
    form = "{" + ", ".join(f"{key}: ..." for key in keys) + "}"
    return Text(zh=f"请写 `{form}`", en=f"write `{form}`")
