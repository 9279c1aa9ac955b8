"""What people write in a condition out of habit, and its form in the rule language.

Office papers, spreadsheets and other languages write `且`, `AND`, `<>`, `１２元`, `50%` or `2026年1月1日`. A condition
that cannot be read is searched for them, so that the fault is where they are and names the right form.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from backend.i18n import Text

WRITTEN_OTHERWISE = "R032"
WITH_A_UNIT = "R034"


@dataclass(frozen=True)
class Habit:
    """What is written at the characters [start, end), and what to write instead."""

    start: int
    end: int
    message: Text
    help: Text
    code: str = WRITTEN_OTHERWISE


_STRING = re.compile(
    r"[bB]?[rR]?(\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')|//[^\n]*", re.DOTALL
)

_CHARACTERS = {
    "＝": "==", "≥": ">=", "≧": ">=", "≤": "<=", "≦": "<=", "≠": "!=", "×": "*", "÷": "/", "、": ",", "。": ".",
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "【": "[", "】": "]", "“": '"', "”": '"', "‘": '"', "’": '"',
    "「": '"', "」": '"', "『": '"', "』": '"', "∧": "&&", "∨": "||", "¬": "!", "∈": "in",
}  # fmt: skip
_INVISIBLE = {
    "\u3000": Text(zh="全角空格", en="a full-width space"),
    "\u00a0": Text(zh="不换行空格", en="a no-break space"),
    "\u200b": Text(zh="零宽空格", en="a zero-width space"),
    "\ufeff": Text(zh="字节顺序标记", en="a byte order mark"),
}
_OPERATORS = {"===": "==", "!==": "!=", "<>": "!=", "=>": ">=", "=<": "<=", "=!": "!=", "=": "==", "&": "&&", "|": "||"}
_WORDS = {
    "and": "&&", "or": "||", "not": "!", "xor": "!=", "is": "==", "equals": "==", "true": "true", "yes": "true",
    "false": "false", "no": "false", "in": "in", "大于或等于": ">=", "大于等于": ">=", "不小于": ">=", "不少于": ">=",
    "不低于": ">=", "小于或等于": "<=", "小于等于": "<=", "不大于": "<=", "不超过": "<=", "不高于": "<=",
    "不等于": "!=", "不是": "!=", "大于": ">", "超过": ">", "高于": ">", "多于": ">", "小于": "<", "少于": "<",
    "低于": "<", "未满": "<",
    "不满": "<", "等于": "==", "属于": "in", "并且": "&&", "而且": "&&", "同时": "&&", "以及": "&&", "或者": "||",
    "或是": "||", "且": "&&", "和": "&&", "与": "&&", "或": "||", "非": "!", "不": "!", "没有": "!", "真": "true",
    "假": "false", "是": "true", "否": "false",
}  # fmt: skip
_NOTHING = ("none", "null", "nil", "undefined", "无", "空")
_CHOICES = ("if", "then", "else", "elif", "如果", "若", "则", "否则")
_FUNCTIONS = {
    "len": "size", "length": "size", "count": "size", "any": "exists", "some": "exists", "every": "all",
    "includes": "contains", "regex": "matches", "date": "timestamp", "datetime": "timestamp", "str": "string",
    "float": "double", "number": "int",
}  # fmt: skip
_SCALES = {"": 1, "十": 10, "百": 100, "千": 1_000, "万": 10_000, "百万": 1_000_000, "千万": 10**7, "亿": 10**8}
_HOURS = {"天": 24, "日": 24, "d": 24, "day": 24, "days": 24, "周": 168, "星期": 168, "w": 168, "小时": 1, "h": 1}
_MONTHS = ("个月", "月", "months", "month")
FOR_MONTHS = Text(
    zh="月的长短不一，不是时长：请用以天计的参数，如值为 90d",
    en="months differ in length and are no duration: use a parameter in days, such as 90d",
)
_YEARS = ("年", "y", "year", "years", *_MONTHS)

_DATE = re.compile(r"(?<![\w.])(\d{4})\s*[-/.年－–—／．]\s*(\d{1,2})\s*[-/.月－–—／．]\s*(\d{1,2})(?![\d.])\s*[日号]?")
_GROUPED = re.compile(r"(?<![\w.])\d{1,3}(?:(?:[,，]\d{3})+|(?:_\d+)+)(?![\d])")
_PADDED = re.compile(r"(?<![\w.])\d{1,3}(?:,\d{3})*,0\d\d(?:,\d{3})*(?![\d.])")
_QUANTITY = re.compile(
    r"(?<![\w.])(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[％%‰](?!\s*[\w(])|(?:days?|years?|months?|[dhmsyw])\b|"
    r"(?P<scale>[十百千]?[万亿]|[十百千])?(?P<measure>[\u4e00-\u9fff]*))"
)
_MONEY = re.compile(
    r"(?<![\w.])\d[\d,，_]*(?:\.\d+)?\s*(?:[十百千]?[万亿]|[十百千])?\s*(?:元钱?|块钱?|(?:yuan|rmb|cny|fen)\b)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[“”‘’＂＇「『`]([^“”‘’＂＇」』`\n]*)[“”‘’＂＇」』`]")
_OPERATOR = re.compile(r"===|!==|<>|=>|=<|=!|(?<![&])&(?![&])|(?<![|])\|(?![|])|(?<![<>=!])=(?!=)")
_SPLIT_OPERATOR = re.compile(r"([<>!=])\s+(=)")
_ARROW = re.compile(r"\(\s*([a-z]\w*)\s*(=>|->)")
_SET = re.compile(r"\bin\s*(\([^()]*,[^()]*\))", re.IGNORECASE)
_WORD = re.compile(r"(?<![\w.])[A-Za-z]+(?![\w(])|(?<![\w.])(?:and|or|not|in)(?=\s*\()", re.IGNORECASE)
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_FULL_WIDTH = re.compile(r"[\uff01-\uff5e≥≧≤≦≠×÷、。–—−‐‑【】“”‘’「」『』∧∨¬∈]+")
_SPACE = re.compile(f"[{''.join(_INVISIBLE)}]")
_SEMICOLON = re.compile(r"[;；]")


def find_habit(text: str) -> Habit | None:
    """Return the first part of a condition that is written in another way than the rule language's, or None."""
    code = without_strings(text)
    found = [
        habit
        for pattern, explain in _PATTERNS
        for match in pattern.finditer(code)
        if (habit := explain(match)) is not None
    ]
    return min(found, key=lambda habit: (habit.start, -habit.end), default=None)


def without_strings(text: str) -> str:
    """Return a condition with spaces in place of its strings and comments."""
    return _STRING.sub(lambda found: " " * len(found[0]), text)


def find_padded_number(text: str) -> Habit | None:
    """Return a number such as 120,000 in a list, which would be read as two: 120 and 0."""
    match = _PADDED.search(without_strings(text))
    return None if match is None else _grouped(match)


def find_date(text: str) -> Habit | None:
    """Return a date that is written without timestamp(), and would be read as a sum or a quotient."""
    match = _DATE.search(without_strings(text))
    return None if match is None else _date(match)


def form_of_word(word: str) -> Text | None:
    """Return what to write instead of a name that other languages know, such as `True`, `AND` or `today`."""
    lower = word.lower()
    if lower in ("today", "current_date", "sysdate"):
        return Text(zh="当前时刻写作 `now`", en="the present instant is `now`")
    if lower in _NOTHING:
        return Text(zh="请用 `has(...)` 判断有没有值", en="test with `has(...)` whether there is a value")
    if lower in _WORDS:
        return _write(_WORDS[lower])
    return None


def form_of_function(name: str) -> Text | None:
    """Return what to write instead of a function that other languages have, such as `len` or `NOT`."""
    lower = name.lower()
    if lower in ("now", "today", "current_timestamp"):
        return Text(zh="当前时刻写作 `now`，不加括号", en="the present instant is `now`, without parentheses")
    if lower in ("isnull", "is_null", "exist", "isset", "defined"):
        return Text(zh="有没有值写作 `has(facts.…)`", en="whether there is a value is `has(facts....)`")
    if lower in _FUNCTIONS:
        return _write(_FUNCTIONS[lower])
    return form_of_word(name)


def canonical_instant(year: int, month: int, day: int) -> str | None:
    """Return the midnight of a day as the rule language writes it, or None if there is no such day."""
    try:
        return f"{date(year, month, day).isoformat()}T00:00:00+08:00"
    except ValueError:
        return None


def half_width(text: str) -> str:
    """Return a text with the ASCII characters that look like its full-width ones."""
    return "".join(_CHARACTERS.get(each) or unicodedata.normalize("NFKC", each) for each in text)


def _write(form: str) -> Text:
    return Text(zh=f"请写 `{form}`", en=f"write `{form}`")


def _not_in_language(written: str) -> Text:
    return Text(zh=f"规则语言不这样写：`{written}`", en=f"the rule language does not write `{written}`")


def _habit(match: re.Match[str], help: Text, code: str = WRITTEN_OTHERWISE, group: int = 0) -> Habit:  # noqa: A002  the term that authors read
    return Habit(match.start(group), match.end(group), _not_in_language(match[group].strip()), help, code)


def _date(match: re.Match[str]) -> Habit | None:
    instant = canonical_instant(*(int(part) for part in match.groups()))
    no_such_day = Text(zh="没有这一天", en="there is no such day")
    advice = no_such_day if instant is None else _write(f'timestamp("{instant}")')
    return _habit(match, advice, WITH_A_UNIT)


def _grouped(match: re.Match[str]) -> Habit:
    digits = re.sub(r"\D", "", match[0])
    return _habit(match, _write(digits), WITH_A_UNIT)


def _money(match: re.Match[str]) -> Habit:
    """Explain an amount: a bare number would be of fen, so that 2000 is 20 yuan."""
    parts = re.fullmatch(r"([\d,，_]+(?:\.\d+)?)\s*([十百千]?[万亿]|[十百千])?\s*(.*)", match[0])
    assert parts is not None, "the pattern of amounts matched"
    amount = Decimal(re.sub(r"[,，_]", "", parts[1])) * _SCALES[parts[2] or ""]
    in_yuan = parts[3].lower() != "fen"
    form = f"{amount:,.0f}" if amount == int(amount) else f"{amount:,.2f}"
    value = f"{form.replace(',', '_')} {'yuan' if in_yuan else 'fen'}"
    advice = Text(
        zh=f"金额写成参数（名称以 _fen 结尾，`value: {value}`），条件中写参数名",
        en=f"make the amount a parameter, with a name that ends in _fen and `value: {value}`, and write its name here",
    )
    return _habit(match, advice, WITH_A_UNIT)


def _quantity(match: re.Match[str]) -> Habit | None:
    number, unit, scale, measure = Decimal(match["number"]), match["unit"], match["scale"] or "", match["measure"] or ""
    if not unit:
        return None
    if unit in "％%‰":
        advice = Text(zh=f"百分比写作数字：{number}", en=f"a percentage is a number: write {number}")
        return _habit(match, advice, WITH_A_UNIT)
    if measure in _WORDS or measure in _CHOICES:
        return None
    whole = number * _SCALES.get(scale, 1)
    name = measure or ("" if scale else unit)
    if name in _YEARS:
        advice = for_years(whole) if name not in _MONTHS else FOR_MONTHS
    elif name in _HOURS:
        hours = f"{(whole * _HOURS[name]).normalize():f}"
        days = f"{(whole * _HOURS[name] / 24).normalize():f}"
        own = f"{days}d" if (whole * _HOURS[name]) % 24 == 0 else f"{hours}h"
        advice = Text(
            zh=f'请用值为 {own} 的参数，或写 `duration("{hours}h")`',
            en=f'use a parameter with the value {own}, or write `duration("{hours}h")`',
        )
    elif name in ("分钟", "分", "m", "秒", "秒钟", "s"):
        advice = _write(f'duration("{number}{"m" if name in ("分钟", "分", "m") else "s"}")')
    elif name and (not measure or len(name) > 2):  # noqa: PLR2004  a measure word has one or two characters
        return None
    else:
        plain = f"{whole.normalize():f}"
        advice = Text(zh=f"只写数字：{plain}", en=f"write the number alone: {plain}")
    return _habit(match, advice, WITH_A_UNIT)


def for_years(number: Decimal) -> Text:
    """Return the fix for years that are written as a duration."""
    whole = f"{number.normalize():f}"
    return Text(
        zh=f"年的长短不一，不是时长：年龄写 `age(facts.born_at, now) >= {whole}`；期限用以天计的参数，如值为 365d",
        en=f"years differ in length and are no duration: write `age(facts.born_at, now) >= {whole}`, "
        "or a parameter in days, such as 365d",
    )


def _quoted(match: re.Match[str]) -> Habit:
    return _habit(match, _write(f'"{match[1]}"'))


def _operator(match: re.Match[str]) -> Habit:
    return _habit(match, _write(_OPERATORS[match[0]]))


def _split_operator(match: re.Match[str]) -> Habit:
    return _habit(match, _write(match[1] + match[2]))


def _arrow(match: re.Match[str]) -> Habit:
    return Habit(match.start(1), match.end(2), _not_in_language(match[0][1:].strip()), _write(f"{match[1]}, ..."))


def _set(match: re.Match[str]) -> Habit:
    advice = Text(zh="请用方括号写列表：`[..., ...]`", en="write a list in square brackets: `[..., ...]`")
    message = Text(zh="`in` 后面的列表用了圆括号", en="the list after `in` is in parentheses")
    return Habit(match.start(1), match.end(1), message, advice)


def _word(match: re.Match[str]) -> Habit | None:
    word, lower = match[0], match[0].lower()
    if lower in _CHOICES:
        advice = Text(zh="请写 `条件 ? 值 : 否则的值`", en="write `condition ? value : other`")
        return _habit(match, advice)
    form = form_of_word(word)
    return None if form is None or word in ("true", "false", "in") else _habit(match, form)


def _han(match: re.Match[str]) -> Habit:
    found = match[0]
    if found in _CHOICES:
        return _habit(match, Text(zh="请写 `条件 ? 值 : 否则的值`", en="write `condition ? value : other`"))
    form = form_of_word(found)
    if form is None and match.string[match.start() - 1 : match.start()] == ".":
        form = Text(zh="字段名用英文字母", en="the names of fields are in English letters")
    if form is None:
        begins = next((word for word in _WORDS if found.startswith(word)), None)
        if begins is not None:
            return Habit(match.start(), match.start() + len(begins), _not_in_language(begins), _write(_WORDS[begins]))
        form = Text(zh=f'文本须加引号：写 `"{found}"`', en=f'a text needs quotes: write `"{found}"`')
    return _habit(match, form)


def _full_width(match: re.Match[str]) -> Habit:
    form = half_width(match[0]).replace("====", "==").replace(">==", ">=").replace("<==", "<=").replace("!==", "!=")
    return _habit(match, _write(form))


def _space(match: re.Match[str]) -> Habit:
    name = _INVISIBLE[match[0]]
    message = Text(zh=f"条件中有{name.zh}", en=f"the condition contains {name.en}")
    return Habit(match.start(), match.end(), message, Text(zh="请改为普通空格", en="write an ordinary space"))


def _semicolon(match: re.Match[str]) -> Habit:
    return _habit(match, Text(zh="几个条件用 `&&` 或 `||` 连接", en="join conditions with `&&` or `||`"))


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Habit | None]], ...] = (
    (_QUOTED, _quoted),
    (_DATE, _date),
    (_MONEY, _money),
    (_GROUPED, _grouped),
    (_QUANTITY, _quantity),
    (_ARROW, _arrow),
    (_SET, _set),
    (_OPERATOR, _operator),
    (_SPLIT_OPERATOR, _split_operator),
    (_WORD, _word),
    (_HAN, _han),
    (_FULL_WIDTH, _full_width),
    (_SPACE, _space),
    (_SEMICOLON, _semicolon),
)
