"""The keys of rule modules and cases, by place, with what they mean; the readers decide which of them exist."""

from collections.abc import Iterator

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.editor.place import ITEM
from backend.rulebook.language.types import Type, fields_of, terms_of
from backend.rulebook.modules.keys import (
    ARTICLE_KEYS,
    BOUNDS_KEYS,
    CASE_KEYS,
    CASES_FILE_KEYS,
    EXPECTED_KEYS,
    FACT_KEYS,
    MODULE_KEYS,
    ORDER_KEYS,
    OTHERWISE_KEYS,
    PARAMETER_KEYS,
    RULE_KEYS,
    TEXT_KEYS,
    VALUE_KEYS,
)
from backend.rulebook.modules.module_document import SOURCES, TABLE

Keys = tuple[str, ...]
ANY = "*"
"""Stands for any one key."""

MODULE_PLACES: dict[Keys, Keys] = {
    (): (*MODULE_KEYS, SOURCES),
    ("title",): TEXT_KEYS,
    ("result",): BOUNDS_KEYS,
    ("articles", ANY): ORDER_KEYS,
    ("articles", ANY, "title"): TEXT_KEYS,
    ("articles", ANY, "articles", ANY): ARTICLE_KEYS,
    ("articles", ANY, "articles", ANY, "title"): TEXT_KEYS,
    ("articles", ANY, "articles", ANY, "not_encoded"): TEXT_KEYS,
    ("facts", ANY): FACT_KEYS,
    ("facts", ANY, "meaning"): TEXT_KEYS,
    ("parameters", ANY): PARAMETER_KEYS,
    ("parameters", ANY, "label"): TEXT_KEYS,
    ("parameters", ANY, "values", ITEM): VALUE_KEYS,
    ("parameters", ANY, ITEM): VALUE_KEYS,
    ("rules", ITEM): (*RULE_KEYS, TABLE),
    ("rules", ITEM, "because"): TEXT_KEYS,
    ("rules", ITEM, "remedy"): TEXT_KEYS,
    ("otherwise",): OTHERWISE_KEYS,
    ("otherwise", "because"): TEXT_KEYS,
    ("otherwise", "remedy"): TEXT_KEYS,
}
"""The keys of a rule module at each place; those of `terms` depend on the facts."""

CASES_PLACES: dict[Keys, Keys] = {
    (): CASES_FILE_KEYS,
    ("cases", ITEM): CASE_KEYS,
    ("cases", ITEM, "expect"): EXPECTED_KEYS,
}
"""The keys of a file of cases at each place; those of `given` depend on the facts."""

MEANINGS: dict[str, Text] = {
    "module": Text(zh="模块名：文件夹.文件名", en="The name of the module: folder.file"),
    "title": Text(zh="模块的标题", en="The title of the module"),
    "facts": Text(zh="规则读取的事实", en="The facts that the rules read"),
    "result": Text(
        zh="可能的结果，从轻到重；或数值的上下限",
        en="Its words, mildest first, or the bounds of its numbers",
    ),
    "strategy": Text(zh="几条规则同时生效时如何得出结果", en="How the result follows if several rules fire"),
    "articles": Text(zh="本模块写入的文件的各条", en="The articles of the orders that the module encodes"),
    "article": Text(zh="写入的条文，如 order_2020/1", en="The articles that this encodes, such as order_2020/1"),
    "not_encoded": Text(
        zh="该条（或其一部分）没有写成规则的理由",
        en="Why no rule encodes the article, or a part of it",
    ),
    "terms": Text(zh="服务所需的条款，按日期列出", en="The terms that the service needs, by date"),
    "parameters": Text(zh="参数：按日期生效的数值", en="Parameters: values with the days from which they are in force"),
    "rules": Text(zh="规则", en="The rules"),
    "otherwise": Text(zh="没有规则生效时的结果", en="The result if no rule fires"),
    "id": Text(zh="规则的标识", en="The id of the rule"),
    "from": Text(zh="生效首日", en="The first day in force"),
    "until": Text(zh="失效首日（当日起不再生效）", en="The first day no longer in force"),
    "when": Text(zh="条件：成立时规则生效", en="The condition: the rule fires when it is true"),
    "then": Text(zh="规则生效时的结果", en="The result when the rule fires"),
    "because": Text(zh="告知市民的理由", en="The reason that citizens read"),
    "remedy": Text(zh="市民可以怎么做", en="What a citizen can do"),
    "source": Text(zh="依据及其可靠程度：[V]、[S]、[W] 或 [A]", en="The source, marked [V], [S], [W] or [A]"),
    "value": Text(zh="数值", en="The value"),
    "sources": Text(
        zh="依据，按名称列出；各处 source 可引用其名", en="Sources by name, to which each `source` may refer"
    ),
    "table": Text(zh="表：每行一条规则，列以 <列名> 引用", en="A table: one rule for each row; <column> is its cell"),
    "label": Text(zh="参数的名称", en="What the parameter is called"),
    "unit": Text(zh="单位", en="The unit"),
    "values": Text(zh="数值，按日期列出", en="The values by date"),
    "type": Text(zh="事实的类型", en="The type of the fact"),
    "words": Text(zh="可能的词", en="The possible words"),
    "fields": Text(zh="记录的各项", en="The fields of a record"),
    "optional": Text(zh="是否可能没有", en="Whether it may be absent"),
    "meaning": Text(zh="含义", en="The meaning"),
    "zh": Text(zh="中文", en="In Chinese"),
    "en": Text(zh="英文", en="In English"),
    "at_least": Text(zh="最小值", en="The least number"),
    "at_most": Text(zh="最大值", en="The greatest number"),
    "personas": Text(zh="人物：案例可以引用的事实", en="Personas: facts that cases may start from"),
    "cases": Text(zh="案例", en="The cases"),
    "case": Text(zh="案例的名称", en="The name of the case"),
    "at": Text(zh="判定的时刻", en="The instant of the decision"),
    "on": Text(zh="按哪一天的规则判定", en="The day whose law applies"),
    "given": Text(zh="此人的事实", en="The facts about the person"),
    "expect": Text(zh="应有的结果", en="What is expected"),
    "rule": Text(zh="应当决定结果的规则", en="The rule that decides"),
    "fired": Text(zh="应当生效的全部规则", en="All rules that fire"),
    "changes_at": Text(zh="事实不变时结果变化的时刻，或 never", en="When the result changes by time alone, or never"),
}
"""What the keys mean; a test shows that each key of the readers is listed."""


class KeyAt(Struct, frozen=True):
    """A key that a place allows, and what it means there."""

    name: str
    meaning: Text


def keys_at(keys: Keys, facts: type[Struct] | None, *, cases: bool) -> Iterator[KeyAt]:
    """Yield the keys that the mapping at a place may have."""
    places = CASES_PLACES if cases else MODULE_PLACES
    for place, names in places.items():
        if _matches(keys, place):
            yield from (KeyAt(name, MEANINGS[name]) for name in names)
    struct = struct_at(keys, facts, cases=cases)
    if struct is not None:
        for name, field in fields_of(struct).items():
            yield KeyAt(name, field.meaning.text if field.meaning is not None else Text(zh=name, en=name))
    if keys == ("terms", ITEM) and not cases:
        yield from (KeyAt(name, MEANINGS[name]) for name in ("from", "until", "source"))


def struct_at(keys: Keys, facts: type[Struct] | None, *, cases: bool) -> type[Struct] | None:
    """Return the Struct whose fields are the keys at a place: in `given` of a case, or in `terms`."""
    top = _top(cases=cases)
    kind = type_at(keys, facts, cases=cases) if keys[: len(top)] == top else None
    return kind.struct if kind is not None else None


def type_at(keys: Keys, facts: type[Struct] | None, *, cases: bool) -> Type | None:
    """Return the type of the value at a place inside `given` of a case, or inside `terms`; or None."""
    top = _top(cases=cases)
    struct = facts if cases or facts is None else terms_of(facts)
    if struct is None or keys[: len(top)] != top:
        return None
    kind: Type | None = Type("facts", struct=struct)
    for key in keys[len(top) :]:
        if kind is None:
            return None
        if key == ITEM:
            kind = kind.element
        else:
            found = fields_of(kind.struct).get(key) if kind.struct is not None else None
            kind = found.type if found is not None else None
    return kind


def _top(*, cases: bool) -> Keys:
    """Return where the fields of a Struct are: of the facts in `given`, of the terms in `terms`."""
    return ("cases", ITEM, "given") if cases else ("terms", ITEM)


def _matches(keys: Keys, place: Keys) -> bool:
    return len(keys) == len(place) and all(wanted in (ANY, key) for key, wanted in zip(keys, place, strict=True))
