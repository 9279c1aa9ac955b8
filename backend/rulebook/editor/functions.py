"""The functions, macros and variables of the rule language, with what they mean to authors."""

from msgspec import Struct

from backend.i18n import Text


class Function(Struct, frozen=True):
    """How a function is written, and what it means."""

    signature: str
    meaning: Text


def _function(signature: str, zh: str, en: str) -> Function:
    return Function(signature, Text(zh=zh, en=en))


def _part(name: str, zh: str, en: str) -> Function:
    zone = "；时区如 'Asia/Shanghai'，不写则按 UTC" if name[3:] in _CALENDAR else ""
    zone_en = "; a zone such as 'Asia/Shanghai', or UTC" if name[3:] in _CALENDAR else ""
    return _function(f"instant.{name}(zone)", zh + zone, en + zone_en)


_CALENDAR = ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes")

FUNCTIONS: dict[str, Function] = {
    "has": _function("has(facts.name)", "这项事实是否有记录", "Whether an optional fact is present"),
    "exists": _function("list.exists(x, condition)", "至少有一项符合条件", "Whether an element meets the condition"),
    "all": _function("list.all(x, condition)", "每一项都符合条件（空列表也算）", "Whether every element meets it"),
    "exists_one": _function("list.exists_one(x, condition)", "恰好有一项符合条件", "Whether exactly one element does"),
    "filter": _function("list.filter(x, condition)", "符合条件的各项", "The elements that meet the condition"),
    "map": _function("list.map(x, value)", "由每一项算出的值", "The value computed from each element"),
    "age": _function("age(facts.born_at, now)", "周岁，按日历计算，到生日当天满岁", "Full years by the calendar"),
    "size": _function("size(list)", "列表的项数，或文本的字数", "The elements of a list, or characters of a text"),
    "startsWith": _function("text.startsWith('x')", "文本是否以它开头", "Whether a text begins with another"),
    "endsWith": _function("text.endsWith('x')", "文本是否以它结尾", "Whether a text ends with another"),
    "contains": _function("text.contains('x')", "文本是否包含它", "Whether a text contains another"),
    "matches": _function("text.matches('x')", "文本是否符合正则表达式", "Whether a text matches a regular expression"),
    "duration": _function("duration('336h')", "时长，如 336h、30m、10s", "A duration such as 336h, 30m or 10s"),
    "timestamp": _function(
        "timestamp('2020-02-11T00:00:00+08:00')", "带时区的时刻", "An instant with its offset from UTC"
    ),
    "int": _function("int(value)", "化为整数", "The value as a whole number"),
    "double": _function("double(value)", "化为小数", "The value as a number"),
    "string": _function("string(value)", "化为文本", "The value as a text"),
    "bool": _function("bool(value)", "化为 true 或 false", "The value as true or false"),
    "dyn": _function("dyn(number)", "小数，供整数与小数比较", "A number, to compare a whole number with it"),
    "getFullYear": _part("getFullYear", "年份", "The year"),
    "getMonth": _part("getMonth", "月份，一月为 0", "The month; January is 0"),
    "getDate": _part("getDate", "日，从 1 开始", "The day of the month, from 1"),
    "getDayOfMonth": _part("getDayOfMonth", "日，从 0 开始", "The day of the month, from 0"),
    "getDayOfWeek": _part("getDayOfWeek", "星期几，星期日为 0", "The day of the week; Sunday is 0"),
    "getDayOfYear": _part("getDayOfYear", "一年中的第几天，从 0 开始", "The day of the year, from 0"),
    "getHours": _part("getHours", "小时", "The hours"),
    "getMinutes": _part("getMinutes", "分钟", "The minutes"),
    "getSeconds": _part("getSeconds", "秒", "The seconds"),
    "getMilliseconds": _part("getMilliseconds", "毫秒", "The milliseconds"),
}
"""By name; a test shows that every function of the language is listed."""

VARIABLES: dict[str, Text] = {
    "facts": Text(zh="此人的事实", en="The facts about the person"),
    "now": Text(zh="判定的时刻", en="The instant of the decision"),
}
