"""The type checker: from a syntax tree to a typed tree that cannot fail at run time.

It knows the facts' Struct, so that a misspelt field, a word outside an enum or an unguarded optional fact is an error
at load, not when a citizen is at a gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn, cast
from zoneinfo import ZoneInfo

from backend.i18n import Text
from backend.rulebook.language import hints, syntax
from backend.rulebook.language.boundary import terms_of_comparison
from backend.rulebook.language.calendar import AGE, ANNIVERSARIES
from backend.rulebook.language.guards import Path, field_path, present_fields
from backend.rulebook.language.habits import find_padded_number, form_of_function
from backend.rulebook.language.operation import EvaluationError, Operation, PrecisionError
from backend.rulebook.language.operations import find_operation, function_names
from backend.rulebook.language.syntax import InvalidExpression, Syntax
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Has,
    Items,
    Logic,
    Macro,
    MacroName,
    Node,
    Variable,
)
from backend.rulebook.language.types import (
    BOOL,
    INT64,
    NOTHING,
    TIMESTAMP,
    Type,
    fields_of,
    join,
    list_of,
    type_of_value,
)
from backend.rulebook.language.written_constants import form_of_constant
from backend.rulebook.source import NO_HELP, suggest

MACROS = ("all", "exists", "exists_one", "filter", "map")
MAX_MACRO_DEPTH = 4
_METHODS_ONLY = ("startsWith", "endsWith", "contains")
_EITHER_FORM = ("size", "matches")
_COMPARISONS = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
_CHANGING_AGE = Text(
    zh="年龄随 `now` 变化：请单独与整数比较",
    en="`now` makes this age change: compare it, alone, with a whole number",
)
_AGE_ADVICE = Text(
    zh="请写 `age(facts.born_at, now) >= 70`，这样才能算出变更时刻",
    en="write `age(facts.born_at, now) >= 70`, so that the instant of change is known",
)


UTC_ZONE = ZoneInfo("UTC")


def check(text: str, names: Mapping[str, Type], *, total: bool = True, zone: ZoneInfo = UTC_ZONE) -> Node:
    """Parse and type-check an expression over `names`, with the years of `age` in `zone`. Raises InvalidExpression.

    Rules are checked with `total`: what could fail at run time is rejected, and constants are folded. Without it, the
    whole profile is accepted, including run-time failures, as CEL's conformance tests require.
    """
    split = find_padded_number(text) if total else None
    if split is not None:
        raise InvalidExpression(split.message, split.start, split.end, split.help, split.code)
    return _Checker(dict(names), total=total, zone=zone).check(syntax.parse(text), frozenset())


@dataclass
class _Checker:
    names: dict[str, Type]
    total: bool
    zone: ZoneInfo
    macros: list[str] = field(default_factory=list)

    def check(self, node: Syntax, present: frozenset[Path]) -> Node:
        """Return the typed node; the optional facts in `present` are known to exist."""
        match node:
            case syntax.Literal():
                return self._literal(node)
            case syntax.Name():
                return self._name(node)
            case syntax.Select():
                return self._select(node, present)
            case syntax.ListOf():
                return self._list(node, present)
            case syntax.Call():
                return self._call(node, present)

    def _literal(self, node: syntax.Literal) -> Node:
        if node.kind == "int" and not INT64[0] <= cast("int", node.value) <= INT64[1]:
            message = Text(zh="数字超出64位整数", en="the number does not fit into a 64-bit integer")
            _reject(node, message, hints.SMALLER, "R041")
        return Constant(node.start, node.end, type_of_value(node.value), node.value)

    def _name(self, node: syntax.Name) -> Node:
        found = self.names.get(node.name)
        if found is None:
            message = Text(zh=f"未知的名称“{node.name}”", en=f"unknown name {node.name!r}")
            _reject(node, message, hints.for_name(node.name, self.names), "R035")
        now_coefficient = 1 if node.name == "now" and found == TIMESTAMP else 0
        return Variable(node.start, node.end, found, node.name, now_coefficient)

    def _field(self, node: syntax.Select, present: frozenset[Path]) -> tuple[Node, Type, bool]:
        operand = self.check(node.operand, present)
        if operand.type.struct is None:
            message = Text(
                zh=f"{operand.type.text.zh}没有字段，因此没有“{node.field}”",
                en=f"{operand.type} has no fields, so it has no {node.field!r}",
            )
            _reject(node, message, hints.for_field(operand.type, node.field), "R036", at=len(node.field))
        fields = fields_of(operand.type.struct)
        if node.field not in fields:
            name = operand.type.struct.__name__
            message = Text(zh=f"{name} 没有“{node.field}”这个字段", en=f"unknown field {node.field!r} of {name}")
            _reject(node, message, suggest(node.field, fields), "R036", at=len(node.field))
        return operand, fields[node.field].type, fields[node.field].optional

    def _select(self, node: syntax.Select, present: frozenset[Path]) -> Node:
        operand, found, optional = self._field(node, present)
        typed = Field(node.start, node.end, found, operand, node.field)
        path = field_path(typed)
        if optional and (path is None or path not in present):
            name = ".".join(path or (node.field,))
            advice = Text(zh=f"请在前面写 `has({name}) && ...`", en=f"write `has({name}) && ...` before it")
            message = Text(zh=f"{name} 可能没有值", en=f"{name} may be absent")
            _reject(node, message, advice, "R039", at=len(node.field))
        return typed

    def _has(self, node: syntax.Call, present: frozenset[Path]) -> Node:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], syntax.Select):
            message = Text(
                zh="has() 的括号里应为一个字段，如 has(facts.name)", en="has() takes one field, as in has(facts.name)"
            )
            _reject(node, message, hints.EXAMPLE_OF_HAS, "R037")
        selected = node.arguments[0]
        operand, _, optional = self._field(selected, present)
        if not optional:
            _reject(
                selected,
                Text(zh=f"“{selected.field}”总是有值", en=f"{selected.field!r} is always present"),
                Text(zh="判断列表是否为空，写 `size(...) > 0`", en="for a list, write `size(...) > 0`"),
                "R039",
                at=len(selected.field),
            )
        return Has(node.start, node.end, BOOL, operand, selected.field)

    def _list(self, node: syntax.ListOf, present: frozenset[Path]) -> Node:
        elements = tuple(self.check(element, present) for element in node.elements)
        joined = NOTHING
        for element in elements:
            self._reject_now(element)
            wider = join(joined, element.type)
            if wider is None:
                message = Text(
                    zh=f"列表中混有{joined.text.zh}和{element.type.text.zh}",
                    en=f"the list mixes {joined} and {element.type}",
                )
                _reject(element, message, hints.ONE_TYPE, "R020")
            joined = wider
        if self.total and elements and all(isinstance(element, Constant) for element in elements):
            values = tuple(cast("Constant", element).value for element in elements)
            return Constant(node.start, node.end, list_of(joined), values)
        return Items(node.start, node.end, list_of(joined), elements)

    def _call(self, node: syntax.Call, present: frozenset[Path]) -> Node:
        match node.function:
            case "_&&_" | "_||_":
                return self._logic(node, present)
            case "_?_:_":
                return self._conditional(node, present)
            case "has" if not node.receiver:
                return self._has(node, present)
            case name if name in MACROS and node.receiver:
                return self._macro(node, present)
            case _:
                return self._apply(node, present)

    def _logic(self, node: syntax.Call, present: frozenset[Path]) -> Node:
        is_and = node.function == "_&&_"
        left = self._truth(node.arguments[0], present)
        right = self._truth(node.arguments[1], present | present_fields(left, truth=is_and))
        return Logic(node.start, node.end, BOOL, "&&" if is_and else "||", left, right)

    def _truth(self, node: Syntax, present: frozenset[Path]) -> Node:
        typed = self.check(node, present)
        if typed.type.kind != "bool":
            message = Text(zh=f"此处应为条件，而不是{typed.type.text.zh}", en=f"expected a condition, got {typed.type}")
            _reject(node, message, hints.for_truth(typed.type), "R043")
        return typed

    def _conditional(self, node: syntax.Call, present: frozenset[Path]) -> Node:
        condition = self._truth(node.arguments[0], present)
        chosen = self.check(node.arguments[1], present | present_fields(condition, truth=True))
        other = self.check(node.arguments[2], present | present_fields(condition, truth=False))
        self._reject_now(chosen)
        self._reject_now(other)
        joined = join(chosen.type, other.type)
        if joined is None:
            message = Text(
                zh=f"两个分支的类型不同：{chosen.type.text.zh}和{other.type.text.zh}",
                en=f"the two branches differ in type: {chosen.type} and {other.type}",
            )
            _reject(node, message, hints.ONE_TYPE, "R038")
        return Conditional(node.start, node.end, joined, condition, chosen, other)

    def _macro(self, node: syntax.Call, present: frozenset[Path]) -> Node:
        source = self.check(node.arguments[0], present)
        lengths = (3, 4) if node.function == "map" else (3,)
        variable = node.arguments[1] if len(node.arguments) in lengths else None
        if not isinstance(variable, syntax.Name):
            example = f"{node.function}(x, x.at < now)"
            message = Text(
                zh=f"{node.function}() 需要一个名称和一个条件，如 {example}",
                en=f"{node.function}() needs a name and a condition, as in {example}",
            )
            _reject(node, message, hints.EXAMPLE_OF_MACRO, "R037")
        if source.type.kind != "list" or source.type.element is None:
            message = Text(
                zh=f"{node.function}() 用于列表，而不是{source.type.text.zh}",
                en=f"{node.function}() needs a list, got {source.type}",
            )
            _reject(node.arguments[0], message, hints.EXAMPLE_OF_MACRO, "R038")
        if variable.name in self.names:
            message = Text(zh=f"“{variable.name}”在此处已有定义", en=f"{variable.name!r} is already defined here")
            _reject(variable, message, Text(zh="请换一个名称", en="choose another name"), "R035")
        if len(self.macros) == MAX_MACRO_DEPTH:
            message = Text(
                zh=f"宏嵌套超过{MAX_MACRO_DEPTH}层", en=f"macros nested deeper than {MAX_MACRO_DEPTH} levels"
            )
            _reject(node, message, Text(zh="请拆分规则", en="split the rule"), "R004")
        self.names[variable.name] = source.type.element
        self.macros.append(variable.name)
        try:
            return self._macro_body(node, variable.name, source, present)
        finally:
            del self.names[variable.name]
            self.macros.pop()

    def _macro_body(self, node: syntax.Call, variable: str, source: Node, present: frozenset[Path]) -> Node:
        last = node.arguments[-1]
        test, value, result = None, None, BOOL
        if node.function != "map" or len(node.arguments) == 4:  # noqa: PLR2004  list, name, test, value
            test = self._truth(node.arguments[2], present)
        if node.function == "map":
            value = self.check(last, present | (present_fields(test, truth=True) if test else frozenset[Path]()))
            self._reject_now(value)
            result = list_of(value.type)
        elif node.function == "filter":
            result = source.type
        name = cast("MacroName", node.function)
        return Macro(node.start, node.end, result, name, variable, source, test, value)

    def _apply(self, node: syntax.Call, present: frozenset[Path]) -> Node:
        self._check_call_style(node)
        arguments = tuple(self.check(argument, present) for argument in node.arguments)
        kinds = tuple(argument.type for argument in arguments)
        operation = find_operation(node.function, kinds, self.zone)
        if operation is None:
            _reject(node, *hints.no_operation(node, arguments))
        self._check_enum_words(node, arguments)
        now_coefficient = self._now_coefficient(node, arguments)
        if all(isinstance(argument, Constant) for argument in arguments):
            folded = self._fold_constant(node, operation, tuple(cast("Constant", a).value for a in arguments))
            if self.total and folded is not None:
                return folded
        if self.total and operation.failure_mode:
            reason = operation.failure_mode
            _reject(
                node, Text(zh=f"这里可能出错：{reason.zh}", en=f"this can fail: {reason.en}"), hints.SMALLER, "R041"
            )
        return Apply(node.start, node.end, operation.result, node.function, operation, arguments, now_coefficient)

    def _fold_constant(self, node: syntax.Call, operation: Operation, values: tuple[object, ...]) -> Node | None:
        try:
            value = operation.evaluate(*values)
        except EvaluationError as error:
            if self.total or isinstance(error, PrecisionError):
                advice = form_of_constant(node.function, values[0])
                if advice is not None:
                    _reject(node.arguments[0], error.message, advice, "R034")
                _reject(node, error.message, hints.SMALLER, "R041")
            return None
        return Constant(node.start, node.end, type_of_value(value), value)

    def _check_call_style(self, node: syntax.Call) -> None:
        name = node.function
        if name[0] == "_" or name[-1] == "_":
            return
        known = [*function_names(), "has", *MACROS]
        if name not in known:
            message = Text(zh=f"未知的函数“{name}”", en=f"unknown function {name!r}")
            _reject(node, message, form_of_function(name) or suggest(name, known), "R037")
        if name in _EITHER_FORM:
            return
        method = name in _METHODS_ONLY or name.startswith("get") or name in MACROS
        if method and not node.receiver:
            message = Text(zh=f"{name} 是方法：请写 值.{name}(...)", en=f"{name} is a method: write value.{name}(...)")
            _reject(node, message, NO_HELP, "R037")
        if node.receiver and not method:
            message = Text(zh=f"{name} 是函数：请写 {name}(...)", en=f"{name} is a function: write {name}(...)")
            _reject(node, message, NO_HELP, "R037")

    def _check_enum_words(self, node: syntax.Call, arguments: tuple[Node, ...]) -> None:
        """Reject a comparison of an enum with a word that is not in it, which could never be true."""
        if node.function not in ("_==_", "_!=_", "_in_"):
            return
        left, right = arguments
        if node.function == "_in_":
            assert right.type.element is not None
            pairs = [(left, right, left.type.words, right.type.element.words)]
        else:
            pairs = [(left, right, left.type.words, right.type.words), (right, left, right.type.words, left.type.words)]
        for selected, constant, words, written in pairs:
            if isinstance(selected, Constant) or not isinstance(constant, Constant) or words is None or written is None:
                continue
            for word in written:
                if word not in words:
                    message = Text(zh=f"“{word}”不是此事实的值", en=f"{word!r} is not a value of this fact")
                    _reject(constant, message, suggest(word, words), "R040")

    def _now_coefficient(self, node: syntax.Call, arguments: tuple[Node, ...]) -> int:
        coefficients = [argument.now_coefficient for argument in arguments]
        if not any(coefficients):
            return 0
        if node.function == AGE:
            self._reject_now(arguments[0])
            return coefficients[1]
        ages = [argument for argument in arguments if argument.now_coefficient and argument.type.kind == "int"]
        if ages and (node.function not in _COMPARISONS or not _is_free_of_now(arguments, ages[0])):
            _reject(ages[0], _CHANGING_AGE, _AGE_ADVICE, "R087")
        if node.function == "_+_":
            return coefficients[0] + coefficients[1]
        if node.function == "_-_":
            return coefficients[0] - coefficients[1]
        if node.function in _COMPARISONS:
            if abs(coefficients[0] - coefficients[1]) > 1:
                message = Text(zh="此处多次用到 `now`", en="`now` is used more than once here")
                advice = Text(zh="请用一个 `now` 与时刻、时长比较", en="compare one `now` with instants and durations")
                _reject(node, message, advice, "R042")
            self._check_boundary(node, arguments)
            return 0
        for argument in arguments:
            self._reject_now(argument)
        return 0

    def _check_boundary(self, node: syntax.Call, arguments: tuple[Node, ...]) -> None:
        """Reject a comparison whose instant of change can leave the years of the calendar."""
        left, right = arguments
        if left.now_coefficient == right.now_coefficient or not self.total:
            return
        if left.type.kind == "int":
            age = left if left.now_coefficient else right
            assert isinstance(age, Apply)
            left, right = age.arguments[1], replace(age, type=ANNIVERSARIES, now_coefficient=0)
        if not terms_of_comparison(left, right).fits():
            message = Text(
                zh="这里可能出错：变更时刻可能超出公元1年至9999年",
                en="this can fail: the instant at which it changes can leave the years 1 to 9999",
            )
            _reject(node, message, hints.SMALLER, "R041")

    def _reject_now(self, node: Node) -> None:
        if node.now_coefficient and node.type.kind == "int":
            _reject(node, _CHANGING_AGE, _AGE_ADVICE, "R087")
        if node.now_coefficient:
            message = Text(zh="`now` 只能加、减和比较", en="`now` allows only addition, subtraction and comparison")
            advice = Text(
                zh="请写 `now - e.at < limit` 或 `now < e.until`，这样才能算出变更时刻",
                en="write `now - e.at < limit` or `now < e.until`, so that the instant of change is known",
            )
            _reject(node, message, advice, "R042")


def _is_free_of_now(sides: tuple[Node, ...], age: Node) -> bool:
    """Return whether the age is compared with a whole number that does not change, at an instant with one `now`."""
    (other,) = (side for side in sides if side is not age)
    return other.type.kind == "int" and not other.now_coefficient and abs(age.now_coefficient) == 1


def _reject(node: Syntax | Node, message: Text, help: Text, code: str, *, at: int | None = None) -> NoReturn:  # noqa: A002
    """Raise InvalidExpression at a node; `at` narrows the location to its last characters, such as a field's name."""
    start = node.start if at is None else node.end - at
    raise InvalidExpression(message, start, node.end, help, code)
