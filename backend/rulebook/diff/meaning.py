"""What conditions mean, whatever their layout: the comparison of two editions rests on it.

Two conditions mean the same if they differ only in layout, in the names of parameters and list elements, in the order
of the operands of `&&`, `||`, `==` and `!=`, or in the direction of a comparison (`a < b`, `b > a`). This is a
sufficient test: conditions that differ may still decide the same, which only a proof can tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Has,
    Items,
    Key,
    Logic,
    Macro,
    Node,
    Variable,
    children,
    rename,
)
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.modules.periods import in_force

_MIRRORED = {"_>_": "_<_", "_>=_": "_<=_"}
_SYMMETRIC = ("_==_", "_!=_")
_COMPARISONS = ("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_")
_NONE: Mapping[str, Any] = MappingProxyType({})


class Difference(Struct, frozen=True):
    """One place at which two conditions differ: what was there `before` and is there `after`; None if nothing.

    `subject` is what a threshold bounds, such as `facts.age`, if only the threshold differs.
    """

    before: str | None
    after: str | None
    subject: str = ""


def meaning_of(node: Node, values: Mapping[str, Any] = _NONE, bound: Mapping[str, str] = _NONE) -> Key:
    """Return a key that is the same for conditions that mean the same.

    `values` replace parameters by what they are worth, `bound` renames variables.
    """
    match node:
        case Constant():
            return _constant(node.value)
        case Variable() if node.name in values and node.name not in bound:
            return _constant(values[node.name])
        case Variable():
            return ("variable", bound.get(node.name, node.name))
        case Field() | Has():
            return (type(node).__name__, node.name, meaning_of(node.operand, values, bound))
        case Macro():
            depth = sum(name.startswith("@") for name in bound.values())
            within = {**bound, node.variable: f"@{depth}"}
            parts = [part and meaning_of(part, values, within) for part in (node.test, node.value)]
            return ("macro", node.name, meaning_of(node.source, values, bound), *parts)
        case Logic():
            operands = {meaning_of(one, values, bound) for one in _operands(node, node.operator)}
            return (node.operator, *sorted(operands, key=repr))
        case Apply():
            arguments = [meaning_of(one, values, bound) for one in node.arguments]
            if node.name in _SYMMETRIC:
                arguments.sort(key=repr)
            if node.name in _MIRRORED:
                arguments.reverse()
            return ("apply", _MIRRORED.get(node.name, node.name), *arguments)
        case Items():
            return ("items", *(meaning_of(one, values, bound) for one in node.elements))
        case Conditional():
            return ("if", *(meaning_of(one, values, bound) for one in children(node)))


def law_on(module: Module, day: date) -> dict[str, tuple[Key, object]]:
    """Return what each rule in force on a day means, and its result, by id, with the parameters' values of that day."""
    values = {name: dated.value for name, one in module.parameters.items() if (dated := one.on(day)) is not None}
    return {
        rule.id: (meaning_of(rule.condition, values), values.get(str(rule.then), rule.then))
        for rule in module.rules
        if in_force(rule.since, rule.until, day)
    }


def change_days(modules: Sequence[Module]) -> list[date]:
    """Return the days on which the law of any of the modules changes, and the first day of all."""
    dated = [
        one
        for module in modules
        for one in (
            *module.rules,
            *module.terms,
            *(value for parameter in module.parameters.values() for value in parameter.values),
        )
    ]
    return sorted({date.min, *(day for one in dated for day in (one.since, one.until) if day is not None)})


def condition_differences(old: Rule, new: Rule, renamed: Mapping[str, str]) -> list[Difference]:
    """Return where the conditions of two rules differ; `renamed` are the new names of the old rule's parameters."""
    return list(_Comparison(old.text, new.text, renamed).between(old.condition, new.condition))


class _Comparison(Struct, frozen=True):
    old_text: str
    new_text: str
    renamed: Mapping[str, str]

    def between(self, old: Node, new: Node) -> Iterator[Difference]:
        if self._same(old, new):
            return
        match old, new:
            case (Logic(operator=operator), _) | (_, Logic(operator=operator)) if self._overlap(old, new, operator):
                yield from self._between_operands(old, new, operator)
            case Apply(name="!_"), Apply(name="!_"):
                yield from self.between(old.arguments[0], new.arguments[0])
            case Apply(), Apply() if old.name == new.name and old.name in _COMPARISONS:
                yield self._between_comparisons(old, new)
            case Macro(), Macro() if old.name == new.name and self._same(old.source, new.source):
                yield from self._between_macros(old, new)
            case _:
                yield Difference(self._old(old), self._new(new))

    def _overlap(self, old: Node, new: Node, operator: str) -> bool:
        """Return whether both are chains of an operator, or one is an operand of the other."""
        if isinstance(old, Logic) and isinstance(new, Logic) and old.operator == new.operator:
            return True
        return any(self._same(one, other) for one in _operands(old, operator) for other in _operands(new, operator))

    def _between_operands(self, old: Node, new: Node, operator: str) -> Iterator[Difference]:
        """Pair the operands that differ: first those of the same shape, then those that remain, in their order."""
        olds, news = _operands(old, operator), _operands(new, operator)
        left = [one for one in olds if not any(self._same(one, other) for other in news)]
        right = [one for one in news if not any(self._same(other, one) for other in olds)]
        pairs: list[tuple[Node, Node]] = []
        for one in list(left):
            other = next((other for other in right if _shape(other) == _shape(one)), None)
            if other is not None:
                pairs.append((one, other))
                left.remove(one)
                right.remove(other)
        if len(left) == len(right):
            pairs += zip(left, right, strict=True)
            left, right = [], []
        for one, other in pairs:
            yield from self.between(one, other)
        yield from (Difference(f"{operator} {self._old(one)}", None) for one in left)
        yield from (Difference(None, f"{operator} {self._new(one)}") for one in right)

    def _between_comparisons(self, old: Apply, new: Apply) -> Difference:
        for side, other in ((0, 1), (1, 0)):
            if self._same(old.arguments[side], new.arguments[side]):
                bounds = old.arguments[other], new.arguments[other]
                if all(isinstance(one, Constant | Variable) for one in bounds):
                    return Difference(self._old(bounds[0]), self._new(bounds[1]), self._new(new.arguments[side]))
        return Difference(self._old(old), self._new(new))

    def _between_macros(self, old: Macro, new: Macro) -> Iterator[Difference]:
        for before, after in ((old.test, new.test), (old.value, new.value)):
            if before is None or after is None:
                if before is not after:
                    yield Difference(self._old(old), self._new(new))
                continue
            if before.type.kind != "bool" and not self._same(before, rename(after, new.variable, old.variable)):
                yield Difference(self._old(before), self._new(after))
            else:
                yield from self.between(before, rename(after, new.variable, old.variable))

    def _same(self, old: Node, new: Node) -> bool:
        return meaning_of(old, bound=self.renamed) == meaning_of(new)

    def _old(self, node: Node) -> str:
        return " ".join(self.old_text[node.start : node.end].split())

    def _new(self, node: Node) -> str:
        return " ".join(self.new_text[node.start : node.end].split())


def _operands(node: Node, operator: str) -> list[Node]:
    """Return the operands of a chain of an operator, such as `a && b && c`; another expression is the only one."""
    if not isinstance(node, Logic) or node.operator != operator:
        return [node]
    return [*_operands(node.left, operator), *_operands(node.right, operator)]


def _shape(node: Node) -> Key:
    """Return what a condition is like without its constants."""
    match node:
        case Constant():
            return ("constant",)
        case Variable() | Field() | Has():
            return (type(node).__name__, node.name, *map(_shape, children(node)))
        case Macro():
            return ("macro", node.name, _shape(node.source))
        case _:
            name = node.name if isinstance(node, Apply) else ""
            return (type(node).__name__, _MIRRORED.get(name, name), *map(_shape, children(node)))


def _constant(value: Any) -> Key:  # noqa: ANN401  the value of any constant
    if isinstance(value, list | tuple):
        return ("items", *map(_constant, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  items of any type
    return ("constant", type(value).__name__, value)
