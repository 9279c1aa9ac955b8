"""The encoder: from a typed expression over symbolic facts to a term of the solver.

Rules are total, so nothing here can overflow, divide by zero or read a missing fact: the checker has excluded it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from backend.i18n import Text
from backend.rulebook.language.calendar import AgeOperation
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Has,
    Items,
    Logic,
    Macro,
    Node,
    Variable,
)
from backend.rulebook.language.types import NUMERIC, Type
from backend.rulebook.modules.module import Rule
from backend.rulebook.prover.calendar import HOUR, Calendar
from backend.rulebook.prover.smt import (
    Term,
    as_real,
    choose,
    conj,
    count,
    disj,
    is_constant,
    neg,
    quotient,
    truncated_quotient,
)
from backend.rulebook.prover.symbols import FactSpace, SymbolicList, SymbolicStruct, Value, Words, constant

Environment = Mapping[str, Value]
_MAX_EXACT = 2**53
_MAX_TABLE = 400


class Unencodable(Exception):
    """An expression that the prover cannot express; `reason` says which."""

    def __init__(self, reason: Text) -> None:
        super().__init__(reason.en)
        self.reason = reason


@dataclass
class Encoder:
    """Encodes expressions over the facts of one space. `parameters` are the values of one law."""

    space: FactSpace
    parameters: Mapping[str, Any]

    @property
    def words(self) -> Words:
        """Return the numbers of texts."""
        return self.space.words

    def condition(self, rule: Rule, names: Environment) -> Term:
        """Return whether a rule fires. Raises Unencodable."""
        return self.encode(rule.condition, names)

    def encode(self, node: Node, names: Environment) -> Value:
        """Return the value of an expression. Raises Unencodable."""
        match node:
            case Constant():
                return constant(node.value, self.words)
            case Variable():
                return names[node.name] if node.name in names else constant(self.parameters[node.name], self.words)
            case Field():
                return self._struct(node.operand, names).read(node.name).value
            case Has():
                return self._struct(node.operand, names).read(node.name).present
            case Items():
                return SymbolicList([(True, self.encode(element, names)) for element in node.elements])
            case Logic():
                left = self.encode(node.left, names)
                if left is (node.operator == "||"):
                    return left
                return (conj if node.operator == "&&" else disj)([left, self.encode(node.right, names)])
            case Conditional():
                return self._conditional(node, names)
            case Macro():
                return self._macro(node, names)
            case Apply():
                return self._apply(node, names)

    def _struct(self, node: Node, names: Environment) -> SymbolicStruct:
        value = self.encode(node, names)
        assert isinstance(value, SymbolicStruct), "the checker allows fields of Structs only"
        return value

    def _list(self, node: Node, names: Environment) -> SymbolicList:
        value = self.encode(node, names)
        assert isinstance(value, SymbolicList), "the checker allows macros on lists only"
        return value

    def _conditional(self, node: Conditional, names: Environment) -> Value:
        condition = self.encode(node.condition, names)
        if isinstance(condition, bool):
            return self.encode(node.chosen if condition else node.other, names)
        chosen, other = self.encode(node.chosen, names), self.encode(node.other, names)
        if isinstance(chosen, SymbolicList) and isinstance(other, SymbolicList):
            kept = [(conj([condition, there]), item) for there, item in chosen.elements]
            return SymbolicList([*kept, *((conj([neg(condition), there]), item) for there, item in other.elements)])
        if isinstance(chosen, SymbolicStruct) or isinstance(other, SymbolicStruct):
            raise Unencodable(Text(zh="条件表达式的两支是一组事实", en="a choice between two groups of facts"))
        if node.type.kind == "double":
            chosen, other = as_real(chosen), as_real(other)
        return choose(condition, chosen, other)

    # ── lists ──

    def _macro(self, node: Macro, names: Environment) -> Value:
        source = self._list(node.source, names)
        tested = [
            (there, item, {**names, node.variable: item}) for there, item in source.elements if there is not False
        ]
        holds = [True if node.test is None else self.encode(node.test, inner) for _, _, inner in tested]
        kept = [conj([there, test]) for (there, _, _), test in zip(tested, holds, strict=True)]
        match node.name:
            case "exists":
                return disj(kept)
            case "all":
                return conj(disj([neg(there), test]) for (there, _, _), test in zip(tested, holds, strict=True))
            case "exists_one":
                return count(kept) == 1
            case "filter":
                return SymbolicList([(keep, item) for keep, (_, item, _) in zip(kept, tested, strict=True)])
            case "map":
                value = node.value
                assert value is not None
                return SymbolicList(
                    [(keep, self.encode(value, inner)) for keep, (_, _, inner) in zip(kept, tested, strict=True)]
                )

    def _size(self, operand: Value, kind: Type, node: Apply) -> Term:
        if isinstance(operand, SymbolicList):
            return operand.length if operand.length is not None else count(there for there, _ in operand.elements)
        return self._table(node, (operand,), (kind,))

    # ── operations ──

    def _apply(self, node: Apply, names: Environment) -> Value:
        values = tuple(self.encode(argument, names) for argument in node.arguments)
        kinds = tuple(argument.type for argument in node.arguments)
        match node.name:
            case "!_":
                return neg(values[0])
            case "_in_":
                return self._in(values[0], values[1], kinds)
            case "size":
                return self._size(values[0], kinds[0], node)
            case "_==_":
                return self._equal(values[0], values[1], *kinds)
            case "_!=_":
                return neg(self._equal(values[0], values[1], *kinds))
            case "_<_" | "_<=_" | "_>_" | "_>=_" if kinds[0].kind not in ("string", "bool"):
                left, right = self._comparable(values[0], values[1], *kinds)
                return _ordered(node.name, left, right)
            case "_+_" | "_-_" | "_*_" | "_/_" | "_%_" | "-_":
                return self._arithmetic(node, values, kinds)
            case "int" | "double" | "dyn" | "bool" | "timestamp" | "duration":
                return self._conversion(node, values[0], kinds[0])
            case "age":
                assert isinstance(node.operation, AgeOperation)
                return full_years(self.space.calendar, values[0], values[1], node.operation.zone.key)
            case name if name.startswith("get"):
                return self._part(node, values, kinds)
            case _:
                return self._table(node, values, kinds)

    def _arithmetic(self, node: Apply, values: tuple[Value, ...], kinds: tuple[Type, ...]) -> Value:
        if node.type.kind == "list":
            left, right = values
            return SymbolicList([*left.elements, *right.elements])
        if node.type.kind == "double":
            raise Unencodable(Text(zh="小数的运算", en="arithmetic with decimal numbers"))
        if node.type.kind == "string":
            return self._table(node, values, kinds)
        match node.name:
            case "-_":
                return -values[0]
            case "_+_":
                return values[0] + values[1]
            case "_-_":
                return values[0] - values[1]
            case "_*_":
                return values[0] * values[1]
            case _:
                return _divide(node, values[0], values[1])

    def _in(self, element: Value, container: SymbolicList, kinds: tuple[Type, ...]) -> Term:
        inner = kinds[1].element
        assert inner is not None
        return disj(conj([there, self._equal(element, item, kinds[0], inner)]) for there, item in container.elements)

    def _equal(self, left: Value, right: Value, one: Type, other: Type) -> Term:
        if isinstance(left, SymbolicList) and isinstance(right, SymbolicList):
            raise Unencodable(Text(zh="两个列表是否相同", en="whether two lists are equal"))
        left, right = self._comparable(left, right, one, other)
        return left == right

    def _comparable(self, left: Term, right: Term, one: Type, other: Type) -> tuple[Term, Term]:
        """Return two numbers to compare; a decimal and a whole one are compared as CEL does, if that is exact."""
        if "double" not in (one.kind, other.kind):
            return left, right
        for kind in (one, other):
            if kind.kind in NUMERIC and kind.kind == "int" and max(abs(kind.low), abs(kind.high)) > _MAX_EXACT:
                raise Unencodable(
                    Text(zh="大整数与小数的比较", en="a comparison of a decimal number with a large whole one")
                )
        return as_real(left), as_real(right)

    def _conversion(self, node: Apply, value: Term, kind: Type) -> Term:
        if node.name == "int" and kind.kind == "timestamp":
            return quotient(value, HOUR // 3_600)
        if node.name in ("double", "dyn") and kind.kind == "int" and node.type.kind == "double":
            return self._comparable(value, value, kind, node.type)[0]
        if kind.kind == node.type.kind:
            return value
        return self._table(node, (value,), (kind,))

    def _part(self, node: Apply, values: tuple[Value, ...], kinds: tuple[Type, ...]) -> Term:
        if kinds[0].kind == "duration":
            units = {"getHours": HOUR, "getMinutes": HOUR // 60, "getSeconds": HOUR // 3_600}
            if node.name in units:
                return truncated_quotient(values[0], units[node.name])
            milliseconds = truncated_quotient(values[0], HOUR // 3_600_000)
            return milliseconds - 1_000 * truncated_quotient(milliseconds, 1_000)
        zone = "UTC" if len(values) == 1 else self.words.text(values[1]) if is_constant(values[1]) else None
        if zone is None:
            raise Unencodable(Text(zh="由事实决定的时区", en="a time zone that depends on the facts"))
        return part_of_instant(self.space.calendar, node.name, values[0], zone)

    def _table(self, node: Apply, values: tuple[Value, ...], kinds: tuple[Type, ...]) -> Term:
        """Return an operation on values of small closed sets, such as words, by trying all of them."""
        choices: list[list[tuple[Term, object]]] = []
        for value, kind in zip(values, kinds, strict=True):
            choices.append(self._choices(node, value, kind))
        rows = list(product(*choices))
        if len(rows) > _MAX_TABLE or node.type.kind == "list":
            raise _unknown_operation(node)
        result: Term | None = None
        for row in rows:
            found = constant(node.operation.evaluate(*(value for _, value in row)), self.words)
            result = found if result is None else choose(conj(condition for condition, _ in row), found, result)
        return result

    def _choices(self, node: Apply, value: Value, kind: Type) -> list[tuple[Term, object]]:
        if kind.kind == "bool":
            return [(value, True), (neg(value), False)] if not isinstance(value, bool) else [(True, value)]
        if kind.kind == "string" and is_constant(value) and value >= 0:
            return [(True, self.words.text(value))]
        if kind.kind == "string" and kind.words is not None:
            return [(value == self.words.number(word), word) for word in kind.words]
        if kind.kind == "int" and isinstance(value, int):
            return [(True, value)]
        raise _unknown_operation(node)


def _unknown_operation(node: Apply) -> Unencodable:
    name = node.name.strip("_")
    return Unencodable(Text(zh=f"对任意文字或数的“{name}”", en=f"`{name}` of any text or number"))


def _ordered(name: str, left: Term, right: Term) -> Term:
    match name:
        case "_<_":
            return left < right
        case "_<=_":
            return left <= right
        case "_>_":
            return left > right
        case _:
            return left >= right


def _divide(node: Apply, left: Term, right: Term) -> Term:
    if is_constant(left) and is_constant(right):
        return node.operation.evaluate(left, right)
    found = truncated_quotient(left, right)
    return found if node.name == "_/_" else left - right * found


def full_years(calendar: Calendar, since: Term, at: Term, zone: str) -> Term:
    """Return the full years between two instants: the birthday of 29 February is 1 March in other years."""
    one, other = calendar.civil(since, zone), calendar.civil(at, zone)
    early = disj([other.month < one.month, conj([other.month == one.month, other.day_of_month < one.day_of_month])])
    years = other.year - one.year - choose(early, 1, 0)
    return choose(years > 0, years, 0)


def part_of_instant(calendar: Calendar, name: str, instant: Term, zone: str) -> Term:
    """Return a part of an instant, by the name of its method."""
    civil = calendar.civil(instant, zone)
    match name:
        case "getFullYear":
            return civil.year
        case "getMonth":
            return civil.month
        case "getDate":
            return civil.day_of_month + 1
        case "getDayOfMonth":
            return civil.day_of_month
        case "getDayOfYear":
            return civil.day_of_year
        case "getDayOfWeek":
            weeks = civil.days + 4  # 1970 began on a Thursday
            return weeks - 7 * quotient(weeks, 7)
        case "getHours":
            return quotient(civil.since_midnight, HOUR)
        case "getMinutes":
            return quotient(civil.since_midnight, HOUR // 60) - 60 * quotient(civil.since_midnight, HOUR)
        case "getSeconds":
            seconds, minutes = HOUR // 3_600, HOUR // 60
            return quotient(civil.since_midnight, seconds) - 60 * quotient(civil.since_midnight, minutes)
        case _:
            thousandth, seconds = HOUR // 3_600_000, HOUR // 3_600
            return quotient(civil.since_midnight, thousandth) - 1_000 * quotient(civil.since_midnight, seconds)
