"""A change between two editions of a module, and how it reads in both languages."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook.language.temporal import duration_text
from backend.rulebook.modules.units import is_money, money_text

Effect = Literal["none", "wording", "result"]
GROUPED_FROM = 10_000
"""Whole numbers from here on are written with `_` between groups of three digits."""

EFFECTS: tuple[Effect, ...] = ("none", "wording", "result")
"""What a change can alter in a verdict, the least first: nothing, its rule and texts, its result."""

Kind = Literal[
    "title",
    "facts",
    "result",
    "strategy",
    "terms",
    "parameter",
    "parameter_added",
    "parameter_removed",
    "parameter_renamed",
    "rule_added",
    "rule_removed",
    "rule_renamed",
    "rule_order",
    "condition",
    "threshold",
    "then",
    "period",
    "because",
    "remedy",
    "source",
    "article_added",
    "article_removed",
    "article",
    "encoded",
    "rewritten",
    "text_rewritten",
    "otherwise",
    "case_added",
    "case_removed",
    "case_changed",
]

_WORDS: dict[Kind, Text] = {
    "title": Text(zh="标题", en="title"),
    "facts": Text(zh="所用事实", en="facts"),
    "result": Text(zh="可能的结果", en="possible results"),
    "strategy": Text(zh="取舍方式", en="strategy"),
    "terms": Text(zh="条款", en="terms"),
    "parameter": Text(zh="参数", en="parameter"),
    "parameter_added": Text(zh="新增参数", en="parameter added"),
    "parameter_removed": Text(zh="删除参数", en="parameter removed"),
    "parameter_renamed": Text(zh="参数改名（数值不变）", en="parameter renamed, same values"),
    "rule_added": Text(zh="新增规则", en="rule added"),
    "rule_removed": Text(zh="删除规则", en="rule removed"),
    "rule_renamed": Text(zh="规则改名（条件和结果不变）", en="rule renamed, same condition and result"),
    "rule_order": Text(zh="规则次序", en="order of rules"),
    "condition": Text(zh="条件", en="condition"),
    "threshold": Text(zh="界限", en="threshold"),
    "then": Text(zh="结果", en="result"),
    "period": Text(zh="施行期间", en="in force"),
    "because": Text(zh="理由文字", en="reason's wording"),
    "remedy": Text(zh="办理提示文字", en="remedy's wording"),
    "source": Text(zh="依据", en="source"),
    "article_added": Text(zh="新增条文", en="article added"),
    "article_removed": Text(zh="删除条文", en="article removed"),
    "article": Text(zh="条文", en="article"),
    "encoded": Text(zh="写入的条文", en="articles encoded"),
    "rewritten": Text(zh="条件改写（含义不变）", en="condition rewritten, same meaning"),
    "text_rewritten": Text(zh="文字改写（读法不变）", en="text rewritten, reads the same"),
    "otherwise": Text(zh="其他情形", en="otherwise"),
    "case_added": Text(zh="新增用例", en="case added"),
    "case_removed": Text(zh="删除用例", en="case removed"),
    "case_changed": Text(zh="用例改变", en="case changed"),
}


def strongest(effects: Iterable[Effect]) -> Effect:
    """Return the effect that alters most, "none" if there is none."""
    ranks = [EFFECTS.index(effect) for effect in effects]
    return EFFECTS[max(ranks, default=0)]


class Change(Struct, frozen=True):
    """One change of a module. `subject` is the rule, parameter or case that changed, `place` what of it.

    `before` and `after` are as authors write them, None if there was or is nothing. `effect` is what the change can
    alter in a verdict. `text` says it all in one line of each language.
    """

    kind: Kind
    subject: str
    effect: Effect
    place: str
    before: str | None
    after: str | None
    text: Text

    def weaker(self, effect: Effect) -> "Change":
        """Return the change with a weaker effect."""
        return replace(self, effect=effect)


def change(
    kind: Kind,
    subject: str,
    effect: Effect,
    before: object,
    after: object,
    *,
    place: str = "",
    since: date | None = None,
    money: bool = False,
) -> Change:
    """Return a change, with its line in both languages; of values by date, those from the day `since` on.

    Whole numbers are fen if they are `money`.
    """
    was, becomes = (None if one is None else written(one, money=money) for one in (before, after))
    day_zh, day_en = (f"，自{since}起", f" from {since}") if since not in (None, date.min) else ("", "")
    about = "" if subject == kind else f" {subject}"
    where_zh, where_en = (f"，{place}", f", {place}") if place else ("", "")
    words = _WORDS[kind]
    values_zh, values_en = _values(was, becomes, subject)
    zh = f"{words.zh}{about}{where_zh}{day_zh}{values_zh}"
    en = f"{words.en}{about}{where_en}{day_en}{values_en}"
    return Change(kind, subject, effect, place, was, becomes, Text(zh=zh, en=en))


def _values(was: str | None, becomes: str | None, subject: str) -> tuple[str, str]:
    """Return how a line says what was and what is, in Chinese and English."""
    match was, becomes:
        case None, None:
            return "", ""
        case None, str():
            return ("", "") if becomes == subject else (f"：新增 {becomes}", f": now {becomes}")
        case str(), None:
            return ("", "") if was == subject else (f"：不再有 {was}", f": no longer {was}")
        case _:
            return f"：{was} → {becomes}", f": {was} → {becomes}"


def written(value: Any, *, money: bool = False) -> str:  # noqa: ANN401  any value of a module
    """Return a value as authors write it; whole numbers are fen if they are `money`."""
    match value:
        case bool():
            return str(value).lower()
        case int() if money:
            return money_text(value)
        case int() if abs(value) >= GROUPED_FROM:
            return f"{value:_}"
        case timedelta():
            return duration_text(value)
        case Text():
            return value.zh if value.zh == value.en else f"{value.zh} / {value.en}"
        case list() | tuple():
            return f"[{', '.join(written(one, money=money) for one in cast('Sequence[object]', value))}]"
        case Struct():
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
            shown = (f"{name}: {written(one, money=is_money(name))}" for name, one in fields if one is not None)
            return f"{{{', '.join(shown)}}}"
        case _:
            return str(value)


def period(since: date | None, until: date | None) -> str:
    """Return a period as authors read it: `2020-02-11 – 2023-01-08`, with `…` for an open end."""
    return f"{since or '…'} – {until or '…'}"
