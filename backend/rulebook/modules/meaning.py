"""Checks of meaning: what a valid module says that its author cannot have meant.

Each check reports only what is certain: that a comparison never holds for any facts, that a part of a condition
changes nothing, that a value is in force on no day on which a rule reads it. It is silent where it cannot know. Rules
that never fire or never decide are found by `modules.consistency`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations, pairwise
from typing import cast

from backend.i18n import Text
from backend.rulebook.language.satisfiability import satisfiable
from backend.rulebook.language.tree import (
    Apply,
    Constant,
    Field,
    Key,
    Logic,
    Node,
    children,
    key_of,
    walk,
)
from backend.rulebook.language.types import RANGED
from backend.rulebook.modules.conditions import Conditions
from backend.rulebook.modules.module import Module, Parameter, Rule
from backend.rulebook.modules.periods import DatedValue
from backend.rulebook.source import SourceFile

SHORT_GAP = timedelta(days=7)
"""A gap up to this long between two editions is a mistaken `until`; a longer one is a time without the rule."""

_COMPARES: Mapping[str, Callable[[tuple[int, int], tuple[int, int]], bool | None]] = {
    "_<_": lambda left, right: _below(left, right, strictly=True),
    "_<=_": lambda left, right: _below(left, right, strictly=False),
    "_>_": lambda left, right: _below(right, left, strictly=True),
    "_>=_": lambda left, right: _below(right, left, strictly=False),
    "_==_": lambda left, right: False if left[1] < right[0] or right[1] < left[0] else None,
    "_!=_": lambda left, right: True if left[1] < right[0] or right[1] < left[0] else None,
}

_PLACEHOLDER = re.compile(r"\{(\w+)[^{}]*\}")
_EDITION = re.compile(r"[-_](?:v?\d+|\d{4}(?:-\d\d)*|old|new|first|second|third|fourth)$")


def check_meaning(module: Module, file: SourceFile) -> None:
    """Add a fault for each part of a module that can have no effect, or not the one that it seems to have."""
    checks = _Meaning(module, file, Conditions(file))
    for rule in module.rules:
        checks.begins(rule)
        checks.comparisons(rule)
        checks.idle_operands(rule)
    checks.duplicates()
    checks.gaps_between_editions()
    checks.parameters()
    checks.results()


@dataclass(frozen=True)
class _Meaning:
    module: Module
    file: SourceFile
    conditions: Conditions

    def _fault(self, rule: Rule, part: Node, message: Text, advice: Text, code: str) -> None:
        self.file.fault(self.conditions.location(rule, part), message, advice, code)

    # ── rules ──

    def begins(self, rule: Rule) -> None:
        """Report a rule without its first day: it would apply to all of the past."""
        if rule.since is None:
            message = Text(zh=f"规则“{rule.id}”没有起始日期", en=f"{rule.id!r} has no first day")
            advice = Text(
                zh="请写明“from: 2020-02-11”，即规则生效的第一天",
                en="write `from: 2020-02-11`, the first day on which the rule is in force",
            )
            self.file.fault(rule.location, message, advice, "R055")

    def comparisons(self, rule: Rule) -> None:
        """Report each comparison of a fact that its bounds decide."""
        for node in walk(rule.condition):
            if not isinstance(node, Apply) or node.name not in _COMPARES:
                continue
            left, right = node.arguments
            if left.type.kind != right.type.kind or left.type.kind not in RANGED:
                continue
            if not any(isinstance(part, Field | Apply) for part in node.arguments):
                continue
            holds = _COMPARES[node.name]((left.type.low, left.type.high), (right.type.low, right.type.high))
            if holds is not None:
                self._fault(rule, node, *_decided(self._text(rule, node), node, holds=holds), "R056")

    def idle_operands(self, rule: Rule) -> None:
        """Report each operand of `&&` that always holds if the others do, and of `||` that never adds a case."""
        for chain in _chains(rule.condition):
            operands = _operands(chain, chain.operator)
            conjunction = chain.operator == "&&"
            for position, operand in reversed(list(enumerate(operands))):
                others = [(other, conjunction) for other in (*operands[:position], *operands[position + 1 :])]
                if isinstance(operand, Constant) or not satisfiable(*others):
                    continue
                if not satisfiable((operand, not conjunction), *others):
                    self._fault(rule, operand, *_idle(self._text(rule, operand), conjunction=conjunction), "R057")
                    break  # another operand may be idle only because of this one

    def duplicates(self) -> None:
        """Report each pair of rules in force together that have the same condition and the same result."""
        if self.module.strategy not in ("sum", "collect"):  # one of them is shadowed, or they overlap
            return
        keys = {rule.id: key_of(rule.condition) for rule in self.module.rules}
        for one, other in combinations(self.module.rules, 2):
            if one.then == other.then and _together(one, other) and keys[one.id] == keys[other.id]:
                line = one.location.line
                message = Text(
                    zh=f"规则“{other.id}”与第{line}行的“{one.id}”条件和结果都相同",
                    en=f"{other.id!r} has the condition and the result of {one.id!r} in line {line}",
                )
                advice = Text(zh="请删去一条，或更正条件", en="remove one of them, or correct its condition")
                self.file.fault(other.location, message, advice, "R058")

    def gaps_between_editions(self) -> None:
        """Report a few days without any edition of a rule: `until` is the first day without it."""
        for one in self.module.rules:
            end = one.until
            if end is None:
                continue
            editions = [rule for rule in self.module.rules if rule is not one and _same_rule(one, rule)]
            if any((rule.since or date.min) <= end < (rule.until or date.max) for rule in editions):
                continue
            for rule in editions:
                if rule.since is not None and end < rule.since <= end + SHORT_GAP:
                    last = rule.since - timedelta(days=1)
                    days = f"{end}" if end == last else f"{end} 至 {last}"
                    message = Text(
                        zh=f"{days}既不适用“{one.id}”，也不适用“{rule.id}”",
                        en=f"neither {one.id!r} nor {rule.id!r} is in force from {end} to {last}",
                    )
                    advice = Text(
                        zh=f"“until”是不再适用的第一天：请写“until: {rule.since}”",
                        en=f"`until` is the first day without the rule: write `until: {rule.since}`",
                    )
                    self.file.fault(one.location, message, advice, "R059")

    # ── parameters and results ──

    def parameters(self) -> None:
        """Report parameters that nothing reads, values that are never in force, and values that change nothing."""
        quoted = set(self._quoted())
        names = {rule.id: rule.names() for rule in self.module.rules}
        for parameter in self.module.parameters.values():
            readers = [rule for rule in self.module.rules if parameter.name in names[rule.id]]
            location = parameter.values[0].location
            if not readers and parameter.name not in quoted:
                message = Text(zh=f"参数“{parameter.name}”没有被使用", en=f"nothing reads {parameter.name!r}")
                advice = Text(zh="请删去该参数，或在规则中使用它", en="remove the parameter, or use it in a rule")
                self.file.fault(location, message, advice, "R060")
            elif parameter.name not in quoted:
                self._idle_values(parameter, readers)
            self._repeated_values(parameter)

    def _idle_values(self, parameter: Parameter, readers: list[Rule]) -> None:
        for value in parameter.values:
            if not any(_overlap(value, rule) for rule in readers):
                since = value.since or "beginning"
                message = Text(
                    zh=f"“{parameter.name}”自{since}起的值从未使用：这段时间没有使用它的规则",
                    en=f"the value of {parameter.name!r} from {since} is never used: no rule reads it in this time",
                )
                advice = Text(zh="请核对日期", en="check the dates of the value and of the rules")
                self.file.fault(value.location, message, advice, "R061")

    def _repeated_values(self, parameter: Parameter) -> None:
        for before, value in pairwise(parameter.values):
            if before.until == value.since and before.value == value.value and before.source == value.source:
                message = Text(
                    zh=f"“{parameter.name}”自{value.since}起的值和依据都与之前相同",
                    en=f"the value of {parameter.name!r} from {value.since}, and its source, are those before it",
                )
                advice = Text(
                    zh="请删去该行，或更正数值、日期或依据",
                    en="remove it, or correct the value, the date or the source",
                )
                self.file.fault(value.location, message, advice, "R062")

    def _quoted(self) -> Iterator[str]:
        """Yield the names in braces in the module's texts."""
        sentences = [self.module.otherwise, *self.module.rules]
        for each in sentences:
            for text in (each.because, each.remedy):
                if text is not None:
                    yield from _PLACEHOLDER.findall(text.zh + text.en)

    def results(self) -> None:
        """Report each word of `result` that no rule gives."""
        if self.module.numeric:
            return
        given = {self.module.otherwise.then, *(rule.then for rule in self.module.rules)}
        for word in cast("tuple[str, ...]", self.module.result):
            location = self.conditions.result_word(word)
            if word not in given and location is not None:
                message = Text(zh=f"没有规则得出“{word}”", en=f"no rule has the result {word!r}")
                advice = Text(zh="请删去该结果，或补上规则", en="remove it from `result`, or add the rule")
                self.file.fault(location, message, advice, "R063")

    def _text(self, rule: Rule, node: Node) -> str:
        return " ".join(rule.text[node.start : node.end].split())


# ── comparisons ──


def _below(left: tuple[int, int], right: tuple[int, int], *, strictly: bool) -> bool | None:
    """Return whether a value of `left` is always or never below one of `right`; None if it depends."""
    if left[1] < right[0] or (not strictly and left[1] <= right[0]):
        return True
    if left[0] > right[1] or (strictly and left[0] >= right[1]):
        return False
    return None


def _decided(text: str, node: Apply, *, holds: bool) -> tuple[Text, Text]:
    word = Text(zh="总为真", en="always true") if holds else Text(zh="总为假", en="never true")
    message = Text(zh=f"“{text}”{word.zh}", en=f"`{text}` is {word.en}")
    ranges = [
        (part.type.low, part.type.high)
        for part in node.arguments
        if part.type.kind == "int" and not isinstance(part, Constant)
    ]
    if not ranges:
        return message, Text(zh="请更正界限", en="correct the bound")
    low, high = ranges[0]
    return message, Text(
        zh=f"该值在{low}至{high}之间；请更正界限，或删去这一部分",
        en=f"the value is from {low} to {high}: correct the bound, or remove this part",
    )


# ── operands ──


def _chains(node: Node) -> Iterator[Logic]:
    """Yield the topmost nodes of each chain of `&&`, and of `||`."""
    if isinstance(node, Logic):
        yield node
        for operand in _operands(node, node.operator):
            yield from _chains(operand)
    else:
        for child in children(node):
            yield from _chains(child)


def _operands(node: Node, operator: str) -> list[Node]:
    if isinstance(node, Logic) and node.operator == operator:
        return [*_operands(node.left, operator), *_operands(node.right, operator)]
    return [node]


def _idle(text: str, *, conjunction: bool) -> tuple[Text, Text]:
    if conjunction:
        message = Text(
            zh=f"“{text}”不起作用：其余条件成立时它必定成立",
            en=f"`{text}` changes nothing: it always holds if the other conditions do",
        )
    else:
        message = Text(
            zh=f"“{text}”不起作用：其余条件不成立时它也不成立",
            en=f"`{text}` changes nothing: it never holds if the other conditions do not",
        )
    return message, Text(zh="请删去或更正这一部分", en="remove this part, or correct it")


# ── periods ──


def _overlap(one: DatedValue | Rule, other: DatedValue | Rule) -> bool:
    return (one.since or date.min) < (other.until or date.max) and (other.since or date.min) < (one.until or date.max)


def _together(one: Rule, other: Rule) -> bool:
    return _overlap(one, other)


def _same_rule(one: Rule, other: Rule) -> bool:
    """Return whether two rules are editions of one: the same result, and the same condition or the same name."""
    if one.then != other.then:
        return False
    return _shape(one.condition) == _shape(other.condition) or _EDITION.sub("", one.id) == _EDITION.sub("", other.id)


def _shape(node: Node) -> Key:
    """Return the key of a condition without its constants."""
    if isinstance(node, Constant):
        return ("constant", node.type.kind)
    if isinstance(node, Apply | Logic):
        name = node.name if isinstance(node, Apply) else node.operator
        return ("apply", name, *map(_shape, children(node)))
    return key_of(node)
