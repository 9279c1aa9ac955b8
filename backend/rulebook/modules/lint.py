"""Conventions of rule files that do not affect verdicts: marked sources, two languages, and amounts in texts.

`chengma rules check`, `test` and `publish` require them. Servers do not, so that a release that was published before a
convention existed can still be loaded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import cast

from backend.i18n import Text
from backend.rulebook.language.tree import Constant, walk
from backend.rulebook.modules.module import Module, Parameter, Rule
from backend.rulebook.modules.module_document import module_document
from backend.rulebook.modules.periods import in_force
from backend.rulebook.modules.units import AMOUNT_SUFFIX, YUAN, fen_of, without_unit
from backend.rulebook.modules.yaml_document import (
    YamlEntry,
    YamlMapping,
    YamlScalar,
    YamlSequence,
    YamlValue,
    location_in,
)
from backend.rulebook.source import SourceFile

FEN_PER_YUAN = 100

_MARK = re.compile(r"\[[VSWA]\]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_NUMBER = r"(?P<number>\d[\d,]*(?:\.\d+)?)"
_SCALES = {"万": 10**4, "亿": 10**8, "million": 10**6, "billion": 10**9}
_SCALED = {
    "zh": _NUMBER + r"(?P<scale>[万亿])?",
    "en": _NUMBER + r"(?: (?P<scale>million|billion))?",
}
_NUMBERS = {language: re.compile(pattern) for language, pattern in _SCALED.items()}
_AMOUNTS = {"zh": re.compile(_SCALED["zh"] + "元"), "en": re.compile(_SCALED["en"] + " yuan")}
_OTHER = {"zh": ("en", Text(zh="英文", en="English")), "en": ("zh", Text(zh="中文", en="Chinese"))}


def lint(module: Module, file: SourceFile) -> None:
    """Add a fault for each source without a mark, text in the wrong language, or amount that the law does not have."""
    root = module_document(file)
    assert isinstance(root, YamlMapping), "the module was read from this file"
    linter = _Linter(file, module)
    for entry in _sources(root):
        linter.source(entry)
    for name, value in _amount_values(root, module):
        linter.unit(name, value)
    for entry in (root.entries["title"], *_article_texts(root)):
        linter.languages(entry)
    for rule, entry in _texts(root, module):
        linter.languages(entry)
        linter.amounts(entry, rule)


def _entries(value: YamlValue) -> dict[str, YamlEntry]:
    return value.entries if isinstance(value, YamlMapping) else {}


def _items(entry: YamlEntry | None) -> list[YamlValue]:
    if entry is not None and isinstance(entry.value, YamlMapping):
        return _items(entry.value.entries.get("values"))
    return entry.value.items if entry is not None and isinstance(entry.value, YamlSequence) else []


def _sources(root: YamlMapping) -> Iterator[YamlEntry]:
    """Yield the sources of the orders, the rules, the terms and the values of the parameters."""
    for order in _orders(root):
        yield order["source"]
    parameters = _entries(root.entries["parameters"].value).values() if "parameters" in root.entries else ()
    for entry in (root.entries.get("terms"), *parameters, root.entries["rules"]):
        for item in _items(entry):
            yield _entries(item)["source"]


def _amount_values(root: YamlMapping, module: Module) -> Iterator[tuple[str, YamlScalar]]:
    """Yield the values of the parameters that are amounts, with the name of the parameter."""
    for entry in _entries(root.entries["parameters"].value).values() if "parameters" in root.entries else ():
        for item in _items(entry) if module.parameters[entry.key].unit == YUAN else ():
            yield entry.key, cast("YamlScalar", _entries(item)["value"].value)


def _orders(root: YamlMapping) -> Iterator[dict[str, YamlEntry]]:
    """Yield the keys of each order whose articles the module names."""
    for order in _entries(root.entries["articles"].value).values() if "articles" in root.entries else ():
        yield _entries(order.value)


def _article_texts(root: YamlMapping) -> Iterator[YamlEntry]:
    """Yield the titles of the orders and their articles, and why articles are not encoded."""
    for order in _orders(root):
        yield order["title"]
        for article in _entries(order["articles"].value).values():
            yield from _entries(article.value).values()


def _texts(root: YamlMapping, module: Module) -> Iterator[tuple[Rule | None, YamlEntry]]:
    """Yield each `because` and `remedy`, with its rule, or None for those of `otherwise`."""
    rules = zip(module.rules, _items(root.entries["rules"]), strict=True)
    for rule, value in ((None, root.entries["otherwise"].value), *rules):
        for key in ("because", "remedy"):
            entry = _entries(value).get(key)
            if entry is not None:
                yield rule, entry


@dataclass(frozen=True)
class _Amount:
    """An amount in a text, at its characters [start, end)."""

    fen: int
    start: int
    end: int


@dataclass(frozen=True)
class _Linter:
    file: SourceFile
    module: Module

    def unit(self, name: str, value: YamlScalar) -> None:
        """Add a fault for an amount that does not say whether it is of yuan or of fen."""
        if fen_of(value.text) is None:
            self.file.fault(value.location, *without_unit(name, int(value.text)), "R084")

    def source(self, entry: YamlEntry) -> None:
        """Add a fault if a source has no mark, or `[A]` without the word "assumption" or the other way round."""
        scalar = cast("YamlScalar", entry.value)
        has_mark, has_word = "[A]" in scalar.text, "assumption" in scalar.text
        if not _MARK.search(scalar.text) and not has_word:
            message = Text(zh="来源没有标明可靠程度", en="the source has no mark of its reliability")
            advice = Text(
                zh="请标 [V]（已查公开来源）、[S]（城市说明）、[W]（依据较弱）或 [A]（假定）",
                en="add [V] (read in a public source), [S] (stated by the city), [W] (weak) or [A] (an assumption)",
            )
            self.file.fault(scalar.location, message, advice, "R073")
        elif has_mark != has_word:
            message = Text(
                zh="假定应有 `assumption` 一词和标记 [A]",
                en="an assumption needs the word `assumption` and the mark [A]",
            )
            advice = Text(zh="请加上 [A]", en="add [A]")
            if has_mark:
                advice = Text(zh="请加上 `assumption` 一词", en="add the word `assumption`")
            self.file.fault(scalar.location, message, advice, "R073")

    def languages(self, entry: YamlEntry) -> None:
        """Add a fault if a Chinese text has no Chinese characters, or an English text is not ASCII."""
        chinese, english = (cast("YamlScalar", _entries(entry.value)[key].value) for key in ("zh", "en"))
        if not _HAN.search(chinese.text):
            message = Text(zh="中文文本里没有汉字", en="the Chinese text has no Chinese characters")
            self.file.fault(chinese.location, message, Text(zh="请用中文书写", en="write it in Chinese"), "R074")
        found = _NON_ASCII.search(english.text)
        if found is not None:
            location = location_in(self.file, english, found.start(), found.end())
            message = Text(zh=f"英文文本里有“{found[0]}”", en=f"the English text contains {found[0]!r}")
            advice = Text(zh="英文文本只用英文字母和半角标点", en="write it in ASCII characters")
            self.file.fault(location, message, advice, "R074")

    def amounts(self, entry: YamlEntry, rule: Rule | None) -> None:
        """Add a fault for each amount in a text that differs from the law, or from the text in the other language."""
        texts = {key: cast("YamlScalar", _entries(entry.value)[key].value) for key in ("zh", "en")}
        explanations = _explanations(self.module, rule)
        numbers = {key: {one.fen for one in _find(_NUMBERS[key], text.text)} for key, text in texts.items()}
        for key, text in texts.items():
            other, language = _OTHER[key]
            for amount in _find(_AMOUNTS[key], text.text):
                yuan = _yuan(amount.fen)
                if not any(amount.fen in amounts and amounts <= numbers[key] for amounts in explanations):
                    message, advice = self._disagreement(amount.fen, rule)
                elif amount.fen not in numbers[other]:
                    message = Text(
                        zh=f"{language.zh}文本里没有 {yuan}", en=f"the {language.en} text does not contain {yuan}"
                    )
                    advice = Text(zh="两种文本应写相同的金额", en="use the same amounts in both")
                else:
                    continue
                self.file.fault(location_in(self.file, text, amount.start, amount.end), message, advice, "R075")

    def _disagreement(self, fen: int, rule: Rule | None) -> tuple[Text, Text]:
        """Return the message and the fix for an amount that no parameter has during the whole period of the rule."""
        yuan = _yuan(fen)
        for parameter in _amounts_of(self.module):
            dated = [value for value in parameter.values if _overlaps(value.since, value.until, rule)]
            if any(abs(value.value) == fen for value in dated):
                values = ", ".join(f"{_yuan(abs(each.value))} from {each.since or 'the beginning'}" for each in dated)
                zh = "、".join(f"{each.since or '最初'} 起为 {_yuan(abs(each.value))}" for each in dated)
                advice = Text(
                    zh=f"“{parameter.name}”自 {zh}：请全部写出，或按日期拆分规则",
                    en=f"{parameter.name!r} is {values}: write all of them, or split the rule by date",
                )
                message = Text(zh=f"{yuan} 只在部分时期内正确", en=f"{yuan} is right for only part of the period")
                return message, advice
        names = rule.names() if rule is not None else ()
        own = [each for each in _amounts_of(self.module) if each.name in names]
        known = [(each.name, _yuan(abs(value.value))) for each in own for value in each.values]
        advice = Text(
            zh=f"请更正，或增加名称以“{AMOUNT_SUFFIX}”结尾的参数",
            en=f"correct it, or add a parameter whose name ends in {AMOUNT_SUFFIX!r}",
        )
        if known:
            advice = Text(
                zh="、".join(f"“{name}”为 {amount}" for name, amount in known),
                en=", ".join(f"{name!r} is {amount}" for name, amount in known),
            )
        message = Text(
            zh=f"此文本有效期内，模块中没有等于 {yuan} 的参数",
            en=f"no parameter of the module is {yuan} while this text is in force",
        )
        return message, advice


def _find(pattern: re.Pattern[str], text: str) -> Iterator[_Amount]:
    for found in pattern.finditer(text):
        yuan = Decimal(found["number"].replace(",", "")) * _SCALES.get(found["scale"], 1)
        yield _Amount(int(yuan * FEN_PER_YUAN), found.start(), found.end())


def _yuan(fen: int) -> str:
    yuan, rest = divmod(fen, FEN_PER_YUAN)
    return f"{yuan:,}.{rest:02} yuan" if rest else f"{yuan:,} yuan"


def _amounts_of(module: Module) -> list[Parameter]:
    """Return the parameters that are amounts of money."""
    return [each for each in module.parameters.values() if each.unit == YUAN]


def _overlaps(since: date | None, until: date | None, rule: Rule | None) -> bool:
    begin, end = (rule.since, rule.until) if rule is not None else (None, None)
    return (since or date.min) < (end or date.max) and (begin or date.min) < (until or date.max)


def _explanations(module: Module, rule: Rule | None) -> list[frozenset[int]]:
    """Return the sets of amounts that a text of the rule may name, each completely or not at all.

    These are the values of a parameter during the period of the rule, the differences between two results, and the
    constants of the rule, of its module and of its terms.
    """
    parameters = _amounts_of(module)
    thens = {each.then for each in module.rules}
    first = (rule.since if rule is not None else None) or date.min
    starts = {first, *(value.since for each in parameters for value in each.values if value.since is not None)}
    days = [day for day in starts if rule is None or in_force(rule.since, rule.until, day)]
    values = [{day: value.value for day in days if (value := each.on(day)) is not None} for each in parameters]
    results = [found for each, found in zip(parameters, values, strict=True) if each.name in thens]
    differences = (
        {abs(one[day] - two[day]) for day in one.keys() & two.keys()} for one, two in combinations(results, 2)
    )
    amounts = ({abs(value) for value in found.values()} for found in values)
    constants = ({abs(value)} for value in _constants(module, rule))
    return [frozenset(found) for found in (*amounts, *differences, *constants)]


def _constants(module: Module, rule: Rule | None) -> Iterator[int]:
    """Yield the whole numbers of the module's result and terms, and of the rule."""
    values: list[object] = [*module.result, module.otherwise.then, *(each.then for each in module.rules)]
    if rule is not None:
        values += [node.value for node in walk(rule.condition) if isinstance(node, Constant)]
    for terms in module.terms:
        values += [getattr(terms.value, name) for name in terms.value.__struct_fields__ if name.endswith(AMOUNT_SUFFIX)]
    yield from (value for value in values if type(value) is int)
