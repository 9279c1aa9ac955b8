"""From a CertLogic expression to a condition of ours, with the same result on all data.

CertLogic computes with missing values and fails on some; a rule that fails is not passed. Our conditions cannot fail,
so each expression has three translations: whether it does not fail, whether it holds if it does not fail, and both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from backend.i18n import Text
from backend.rulebook.exchange.certificate import CLOCK, instant_of
from backend.rulebook.exchange.certlogic import (
    CALENDAR_UNITS,
    COMPARISONS,
    DATES,
    HOURS,
    Array,
    Expression,
    Literal,
    Operation,
    Var,
)
from backend.rulebook.exchange.certlogic_kinds import VALUE_SETS, Kind
from backend.rulebook.exchange.formula import (
    CONDITIONAL,
    FALSE,
    TRUE,
    Formula,
    choice,
    conjunction,
    disjunction,
    literal,
    negation,
    relation,
    total,
)
from backend.rulebook.exchange.refusal import CALENDAR, KIND, VALUE_SET, CannotExpress
from backend.rulebook.language.types import MAX_FACT_DURATION
from backend.rulebook.source import NO_HELP, Location

_MAX_HOURS = MAX_FACT_DURATION // timedelta(hours=1)
_BOOLEAN = ("===", "in", "!", *COMPARISONS, *DATES)


@dataclass(frozen=True)
class Conditions:
    """Translates expressions over the facts `names` of paths of known `kinds`, and the parameters of value sets.

    An empty value set has no parameter, and an empty name.
    """

    names: Mapping[str, str]
    kinds: Mapping[str, Kind]
    lists: Mapping[str, str]

    # ── the three translations of a condition ──

    def passes(self, part: Expression) -> Formula:
        """Return the condition under which an expression does not fail and is true. Raises CannotExpress."""
        if isinstance(part, Operation) and part.name == "and":
            return conjunction(map(self.passes, part.operands))
        if isinstance(part, Operation) and part.name == "if":
            guard, chosen, other = part.operands
            rest = choice(self.holds(guard), self.passes(chosen), self.passes(other))
            return conjunction((self.succeeds(guard), rest))
        return conjunction((self.succeeds(part), self.holds(part)))

    def holds(self, part: Expression) -> Formula:
        """Return the condition under which an expression is true, if it does not fail. Raises CannotExpress."""
        match part:
            case Literal():
                return literal(bool(part.value))
            case Var():
                return self._exists(part)
            case Operation():
                return self._operation(part)
            case Array():
                return literal(bool(part.items))

    def succeeds(self, part: Expression) -> Formula:
        """Return the condition under which an expression does not fail. Raises CannotExpress."""
        if isinstance(part, Array):
            return conjunction(map(self.succeeds, part.items))
        if not isinstance(part, Operation):
            return TRUE
        if part.name == "if":
            guard, chosen, other = part.operands
            rest = choice(self.holds(guard), self.succeeds(chosen), self.succeeds(other))
            return conjunction((self.succeeds(guard), rest))
        if part.name == "and":
            last = self.succeeds(part.operands[-1])
            for operand in reversed(part.operands[:-1]):
                last = conjunction((self.succeeds(operand), disjunction((negation(self.holds(operand)), last))))
            return last
        inner = [self.succeeds(operand) for operand in part.operands]
        if part.name in COMPARISONS or part.name in ("+", "plusTime", "dccDateOfBirth"):
            inner += [self._given(operand) for operand in part.operands]
        return conjunction(inner)

    def _operation(self, part: Operation) -> Formula:
        operands = part.operands
        if part.name == "if":
            return choice(*map(self.holds, operands))
        if part.name == "and":
            return conjunction(map(self.holds, operands))
        if part.name == "!":
            return negation(self.holds(operands[0]))
        if part.name in COMPARISONS or part.name in DATES:
            return self._comparison(part)
        if part.name == "===":
            return self._equality(operands[0], operands[1], part.location)
        if part.name == "in":
            return self._membership(operands[0], operands[1], part.location)
        if part.name == "+":
            return relation(self._number(part), "!=", literal(0))
        raise _inexpressible(part.location, part.name)

    # ── values ──

    def _exists(self, var: Var) -> Formula:
        """Return whether there is a value at a path that CertLogic holds to be true."""
        fact = self._fact(var)
        match self.kinds[var.path]:
            case "present":
                return fact
            case "bool":
                return conjunction((self._given(var), fact))
            case "instant":
                return self._given(var)
            case "number":
                return conjunction((self._given(var), relation(fact, "!=", literal(0))))
            case "text":
                return conjunction((self._given(var), relation(fact, "!=", literal(""))))

    def _fact(self, var: Var) -> Formula:
        if var.path not in self.names:
            message = Text(zh=f"此处不能读取 {var.path}", en=f"{var.path} cannot be read here")
            advice = (
                Text(zh="请用 plusTime 读取时刻", en="read the time with `plusTime`") if var.path == CLOCK else NO_HELP
            )
            raise CannotExpress(var.location, message, advice)
        return Formula(f"facts.{self.names[var.path]}")

    def _given(self, part: Expression) -> Formula:
        """Return the condition under which the values are given that an expression reads directly."""
        if isinstance(part, Var):
            given = part.path == CLOCK or self.kinds.get(part.path) == "present"
            return TRUE if given else Formula(f"has({self._fact(part).text})")
        if isinstance(part, Operation) and part.name in ("plusTime", "dccDateOfBirth", "+"):
            return conjunction(map(self._given, part.operands))
        return TRUE

    def _number(self, part: Expression) -> Formula:
        match part:
            case Literal() if type(part.value) is int:
                return literal(part.value)
            case Var() if self.kinds.get(part.path) == "number":
                return self._fact(part)
            case Operation(name="+"):
                return total(self._number(part.operands[0]), self._number(part.operands[1]))
            case Operation(name="if") if self.succeeds(part) == TRUE:
                guard, chosen, other = part.operands
                condition, first, second = self.holds(guard), self._number(chosen), self._number(other)
                return Formula(f"{condition.within(CONDITIONAL + 1)} ? {first.text} : {second.text}", CONDITIONAL)
            case _:
                message = Text(zh="此处应为整数", en="expected a whole number")
                raise CannotExpress(part.location, message, code=KIND)

    def _instant(self, part: Expression) -> Formula:
        if not isinstance(part, Operation) or part.name not in ("plusTime", "dccDateOfBirth"):
            message = Text(zh="此处应为 plusTime 的时刻", en="expected an instant of `plusTime`")
            raise CannotExpress(part.location, message, code=KIND)
        start = self._start(part.operands[0])
        if part.name == "dccDateOfBirth":
            return start
        amount, unit = part.operands[1:]
        if not isinstance(amount, Literal) or type(amount.value) is not int or not isinstance(unit, Literal):
            raise _inexpressible(part.location, "plusTime")
        if unit.value not in (*HOURS, *CALENDAR_UNITS):
            message = Text(zh=f"没有单位 {unit.value}", en=f"there is no unit {unit.value}")
            raise CannotExpress(unit.location, message, code=CALENDAR)
        if not amount.value:
            return start
        if unit.value in CALENDAR_UNITS:
            raise CannotExpress(part.location, _CALENDAR, _IN_DAYS, CALENDAR)
        hours = amount.value * HOURS[str(unit.value)]
        if abs(hours) > _MAX_HOURS:
            raise CannotExpress(amount.location, Text(zh="超过一个世纪", en="more than a century"))
        return Formula(f'{start.text} {"+" if hours > 0 else "-"} duration("{abs(hours)}h")', 4)

    def _start(self, part: Expression) -> Formula:
        if isinstance(part, Var):
            return Formula("now") if part.path == CLOCK else self._fact(part)
        if isinstance(part, Literal) and isinstance(part.value, str):
            try:
                instant = instant_of(part.value)
            except ValueError as error:
                message = Text(zh=f"不是日期：{part.value}", en=str(error))
                raise CannotExpress(part.location, message, code=KIND) from None
            return Formula(f'timestamp("{instant.isoformat().replace("+00:00", "Z")}")')
        raise _inexpressible(part.location, "plusTime")

    # ── comparisons ──

    def _comparison(self, part: Operation) -> Formula:
        read, operators = (self._instant, DATES) if part.name in DATES else (self._number, COMPARISONS)
        values = list(map(read, part.operands))
        pairs = pairwise(values)
        given = map(self._given, part.operands)
        return conjunction((*given, *(relation(one, operators[part.name], other) for one, other in pairs)))

    def _equality(self, left: Expression, right: Expression, location: Location) -> Formula:
        for constant, other in ((left, right), (right, left)):
            if isinstance(constant, Literal) and isinstance(constant.value, bool) and _is_boolean(other):
                return self.holds(other) if constant.value else negation(self.holds(other))
            if isinstance(constant, Literal) and isinstance(other, Var):
                fact = self._fact(other)
                if isinstance(constant.value, bool):
                    equal = fact if constant.value else negation(fact)
                else:
                    equal = relation(fact, "==", literal(constant.value))
                return conjunction((self._given(other), equal))
        if isinstance(left, Var) and isinstance(right, Var):
            given = [self._given(left), self._given(right)]
            equal = relation(self._fact(left), "==", self._fact(right))
            return disjunction((conjunction((*given, equal)), conjunction(map(negation, given))))
        if _is_boolean(left) and _is_boolean(right):
            return relation(self.holds(left), "==", self.holds(right))
        if self._is_number(left) and self._is_number(right):
            return relation(self._number(left), "==", self._number(right))
        raise _inexpressible(location, "===")

    def _is_number(self, part: Expression) -> bool:
        """Return whether a value is a number that is always given."""
        if isinstance(part, Operation) and part.name == "if":
            return all(map(self._is_number, part.operands[1:]))
        return (isinstance(part, Literal) and type(part.value) is int) or (
            isinstance(part, Operation) and part.name == "+"
        )

    def _membership(self, one: Expression, members: Expression, location: Location) -> Formula:
        if isinstance(members, Var) and members.path.startswith(VALUE_SETS):
            if members.path not in self.lists:
                name = members.path.removeprefix(VALUE_SETS)
                message = Text(zh=f"未提供值集 {name}", en=f"the value set {name} is not given")
                advice = Text(zh="请用 --value-sets 指定值集文件", en="name its file with --value-sets")
                raise CannotExpress(members.location, message, advice, VALUE_SET)
            listed = Formula(self.lists[members.path])
            if not listed.text:
                return FALSE
        elif isinstance(members, Array) and all(isinstance(item, Literal) for item in members.items):
            values = [literal(item.value).text for item in members.items if isinstance(item, Literal)]
            listed = Formula(f"[{', '.join(values)}]")
            if not values:
                return FALSE
        elif isinstance(members, Array):
            return disjunction(self._equality(one, item, location) for item in members.items)
        else:
            raise _inexpressible(location, "in")
        if isinstance(one, Var):
            return conjunction((self._given(one), relation(self._fact(one), "in", listed)))
        if isinstance(one, Literal) and isinstance(one.value, str):
            return relation(literal(one.value), "in", listed)
        raise _inexpressible(location, "in")


def _is_boolean(part: Expression) -> bool:
    """Return whether an expression gives true or false, and nothing else that CertLogic only holds to be so."""
    if isinstance(part, Literal):
        return isinstance(part.value, bool)
    if isinstance(part, Operation) and part.name in ("and", "if"):
        return all(map(_is_boolean, part.operands[part.name == "if" :]))
    return isinstance(part, Operation) and part.name in _BOOLEAN


def _inexpressible(location: Location, name: str) -> CannotExpress:
    return CannotExpress(
        location, Text(zh=f"规则语言无法表达此处的 {name}", en=f"the rule language cannot express this {name!r}")
    )


_CALENDAR = Text(
    zh="不能给时刻加减月或年：月末和2月29日没有唯一的对应日",
    en="months and years cannot be added to an instant: the ends of months and 29 February have no one counterpart",
)
_IN_DAYS = Text(zh="请以天书写，或用 age() 比较年龄", en="write it in days, or compare years with age()")
