"""What rules may read and call, as authors look it up: each fact and function with its meaning in both languages."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.temporal import duration_text
from backend.rulebook.language.types import INT64, Field, Type, Unit, fields_of
from backend.rulebook.modules.labels import labelled_words
from backend.rulebook.modules.module import Parameter
from backend.rulebook.modules.units import UNITS, is_money, money_text

_KINDS = {
    "bool": Text(zh="是否（true 或 false）", en="true or false"),
    "int": Text(zh="整数", en="whole number"),
    "double": Text(zh="小数", en="number"),
    "string": Text(zh="文本", en="text"),
    "timestamp": Text(zh="时刻", en="instant"),
    "duration": Text(zh="时长", en="duration"),
    "facts": Text(zh="记录", en="record"),
    "nothing": Text(zh="空", en="nothing"),
}
_OWN_UNITS = {
    "fen": Text(zh="分（100 分为 1 元）", en="fen (100 fen are 1 yuan)"),
    "places": Text(zh="个学位", en="places"),
}
_NONE = Text(zh="（没有说明）", en="(no meaning is given)")


class Fact(Struct, frozen=True):
    """A fact that rules may read: how a condition writes it, what it means, and what it may be.

    `words` are its possible values, `labels` what people read for them, if they have labels; `low` and `high` are its
    bounds, `max_length` the most elements of a list. An element of a list is written with `[]`, as in
    `facts.contacts[].level`.
    """

    path: str
    meaning: Text
    type: Text
    optional: bool
    unit: Unit | None = None
    words: tuple[str, ...] = ()
    labels: tuple[Text, ...] = ()
    low: int | None = None
    high: int | None = None
    max_length: int | None = None

    def limits(self) -> Text:
        """Return its words, bounds, length and unit, as authors read them; empty if it has none."""
        zh, en = list[str](), list[str]()
        if self.words:
            words = labelled_words(self.words, self.labels)
            zh.append(words.zh)
            en.append(words.en)
        if self.low is not None or self.high is not None:
            low = f"{self.low:,}" if self.low is not None else ""
            high = f"{self.high:,}" if self.high is not None else ""
            zh.append(f"{low} 至 {high}".strip())
            en.append(f"{low} to {high}".strip())
        if self.max_length is not None:
            zh.append(f"至多 {self.max_length} 项")
            en.append(f"at most {self.max_length}")
        if self.unit is not None:
            zh.append(unit_text(self.unit).zh)
            en.append(unit_text(self.unit).en)
        if self.optional:
            zh.append("可能没有")
            en.append("may be absent")
        return Text(zh="；".join(zh), en="; ".join(en))


def list_facts(struct: type[Struct], prefix: str = "facts") -> Iterator[Fact]:
    """Yield the facts of a Struct in their order, each list and record followed by the facts inside it."""
    for name, field in fields_of(struct).items():
        path = f"{prefix}.{name}"
        yield describe(path, field)
        inner = field.type
        while inner.element is not None:
            inner, path = inner.element, path + "[]"
        if inner.struct is not None:
            yield from list_facts(inner.struct, path)


def describe(path: str, field: Field) -> Fact:
    """Return what authors should know about one field."""
    kind = field.type
    bounded = kind.kind == "int" and (kind.low, kind.high) != INT64
    return Fact(
        path,
        field.meaning.text if field.meaning is not None else _NONE,
        type_text(kind),
        field.optional,
        field.meaning.unit if field.meaning is not None else None,
        words_of(kind),
        field.meaning.labels if field.meaning is not None else (),
        kind.low if bounded and kind.low != INT64[0] else None,
        kind.high if bounded and kind.high != INT64[1] else None,
        field.max_length,
    )


def words_of(kind: Type) -> tuple[str, ...]:
    """Return the words that a value of this type, or an element of it, may be."""
    return words_of(kind.element) if kind.element is not None else kind.words or ()


def type_text(kind: Type) -> Text:
    """Return the name of a type as authors read it."""
    if kind.element is not None:
        element = type_text(kind.element)
        return Text(zh=f"列表，每项为{element.zh}", en=f"list of {element.en}")
    if kind.words:
        return Text(zh="词", en="word")
    return _KINDS[kind.kind]


def unit_text(unit: str) -> Text:
    """Return the name of a unit, of a fact or of a parameter."""
    if unit in _OWN_UNITS:
        return _OWN_UNITS[unit]
    return Text(zh=UNITS[unit].zh, en=UNITS[unit].several or UNITS[unit].zh)


def parameter_values(parameter: Parameter) -> Iterator[str]:
    """Yield the values of a parameter with their days, such as `2020-01-01 … 2021-12-31: 14d  [V] the order`."""
    money = is_money(parameter.name, parameter.unit)
    for dated in parameter.values:
        since = dated.since.isoformat() if dated.since is not None else ""
        until = dated.until.isoformat() if dated.until is not None else ""
        period = f"{since} – {until}".strip() if since or until else "–"
        yield f"{period}: {value_text(dated.value, money=money)}  {dated.source}"


def parameter_text(parameter: Parameter) -> Text:
    """Return the label of a parameter, its unit, and its values by date, in Markdown."""
    values = "\n".join(f"- {value}" for value in parameter_values(parameter))
    label = parameter.label or Text(zh="", en="")
    unit = unit_text(parameter.unit) if parameter.unit is not None else Text(zh="", en="")
    zh, en = (f"{label.zh}（{unit.zh}）" if unit.zh else label.zh), (f"{label.en} ({unit.en})" if unit.en else label.en)
    return Text(zh=f"{zh}\n\n{values}".lstrip(), en=f"{en}\n\n{values}".lstrip())


def value_text(value: object, *, money: bool = False) -> str:
    """Return a value as a rule module writes it; whole numbers are fen if they are `money`."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if money:
            return money_text(value)
        case timedelta():
            return duration_text(value)
        case datetime():
            return value.isoformat()
        case tuple() | list():
            return f"[{', '.join(value_text(one, money=money) for one in cast('Sequence[object]', value))}]"
        case _:
            return str(value)
