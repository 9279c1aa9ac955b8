"""CertLogic expressions: their syntax, read from JSON with the place of each part.

https://github.com/ehn-dcc-development/dgc-business-rules/blob/main/certlogic/specification/README.md
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from backend.i18n import Text
from backend.rulebook.exchange.refusal import UNREADABLE, CannotExpress
from backend.rulebook.modules.yaml_document import YamlMapping, YamlScalar, YamlSequence, YamlValue
from backend.rulebook.source import Location

COMPARISONS = {"<": "<", ">": ">", "<=": "<=", ">=": ">="}
DATES = {"after": ">", "before": "<", "not-after": "<=", "not-before": ">="}
HOURS = {"day": 24, "hour": 1}
"""The units of `plusTime` that are always as long, in hours."""

CALENDAR_UNITS = ("month", "year")

_OPERANDS = {
    "if": (3, 3), "===": (2, 2), "in": (2, 2), "+": (2, 2), "and": (2, 99), "!": (1, 1), "plusTime": (3, 3),
    "dccDateOfBirth": (1, 1), "reduce": (3, 3), "extractFromUVCI": (2, 2),
    **dict.fromkeys((*COMPARISONS, *DATES), (2, 3)),
}  # fmt: skip
"""The operations, with the least and the greatest number of operands."""

MAX_PARTS = 2_000
"""The most parts of an expression after a choice or `reduce` was unfolded."""

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,15})", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_-]{1,80}(?:\.[A-Za-z0-9_-]{1,80}){0,9}", re.ASCII)
_CURRENT, _ACCUMULATOR = "current", "accumulator"


@dataclass(frozen=True)
class Literal:
    """A text, a whole number or a truth value."""

    location: Location
    value: str | int | bool


@dataclass(frozen=True)
class Var:
    """The value at a path of the data."""

    location: Location
    path: str


@dataclass(frozen=True)
class Array:
    """A list of expressions."""

    location: Location
    items: tuple["Expression", ...]


@dataclass(frozen=True)
class Operation:
    """An operation on its operands."""

    location: Location
    name: str
    operands: tuple["Expression", ...]


Expression = Literal | Var | Array | Operation


def read_expression(value: YamlValue) -> Expression:
    """Return the expression at a value of a JSON document, with each `reduce` of a written list unfolded.

    Raises CannotExpress.
    """
    match value:
        case YamlScalar():
            return _literal(value)
        case YamlSequence():
            return Array(value.location, tuple(map(read_expression, value.items)))
        case YamlMapping():
            return _operation(value)


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all its parts."""
    yield expression
    inner = expression.items if isinstance(expression, Array) else ()
    for part in expression.operands if isinstance(expression, Operation) else inner:
        yield from walk(part)


def _literal(value: YamlScalar) -> Literal:
    if not value.plain:
        return Literal(value.location, value.text)
    if value.text in ("true", "false"):
        return Literal(value.location, value.text == "true")
    if _INTEGER.fullmatch(value.text):
        return Literal(value.location, int(value.text))
    message = Text(
        zh=f"CertLogic 的常量是文本、整数或真假值，而不是 {value.text}",
        en=f"a constant of CertLogic is a text, a whole number or a truth value, not {value.text}",
    )
    raise CannotExpress(value.location, message, code=UNREADABLE)


def _operation(value: YamlMapping) -> Expression:
    entry = next(iter(value.entries.values()), None)
    if entry is None or len(value.entries) != 1:
        message = Text(zh="此处应有且只有一个运算", en="expected one operation here")
        advice = Text(zh='形如 {"===": [..., ...]}', en='as in {"===": [..., ...]}')
        raise CannotExpress(value.location, message, advice, UNREADABLE)
    if entry.key == "var" and isinstance(entry.value, YamlScalar) and _PATH.fullmatch(entry.value.text):
        return Var(entry.value.location, entry.value.text)
    if entry.key not in _OPERANDS or not isinstance(entry.value, YamlSequence):
        message = Text(zh=f"CertLogic 没有这样的运算：{entry.key}", en=f"CertLogic has no such operation: {entry.key}")
        raise CannotExpress(entry.location, message, code=UNREADABLE)
    least, most = _OPERANDS[entry.key]
    if not least <= len(entry.value.items) <= most:
        count = len(entry.value.items)
        message = Text(zh=f"{entry.key} 不能有{count}个运算对象", en=f"{entry.key} cannot have {count} operands")
        raise CannotExpress(entry.location, message, code=UNREADABLE)
    operands = tuple(map(read_expression, entry.value.items))
    if entry.key == "reduce":
        return _unfolded(entry.location, operands)
    if entry.key in COMPARISONS or entry.key in DATES:
        return _lifted(Operation(entry.location, entry.key, operands))
    return Operation(entry.location, entry.key, operands)


def _lifted(comparison: Operation) -> Operation:
    """Return a comparison of a choice as a choice of comparisons; CertLogic fails on the same data in both."""
    for place, operand in enumerate(comparison.operands):
        if isinstance(operand, Operation) and operand.name == "if":
            before, after = comparison.operands[:place], comparison.operands[place + 1 :]
            guard, *chosen = operand.operands
            lifted = (
                _lifted(Operation(comparison.location, comparison.name, (*before, one, *after))) for one in chosen
            )
            return _small(Operation(operand.location, "if", (guard, *lifted)))
    return comparison


def _small(expression: Operation) -> Operation:
    """Return an expression that is not too large after parts of it were repeated. Raises CannotExpress."""
    if sum(1 for _ in islice(walk(expression), MAX_PARTS + 1)) > MAX_PARTS:
        message = Text(zh="表达式展开后过大", en="the expression is too large when it is unfolded")
        raise CannotExpress(expression.location, message)
    return expression


def _unfolded(location: Location, operands: tuple[Expression, ...]) -> Expression:
    source, step, result = operands
    if not isinstance(source, Array):
        message = Text(
            zh="reduce 只能用于写明的列表，不能用于长度未知的列表",
            en="`reduce` is possible over a written list only, not over one of unknown length",
        )
        raise CannotExpress(location, message)
    for item in source.items:
        result = _replaced(step, item, result)
        if isinstance(result, Operation):
            _small(result)
    return result


def _replaced(step: Expression, current: Expression, accumulator: Expression) -> Expression:
    """Return a step of `reduce` with the current item and the result so far in their places."""
    match step:
        case Literal():
            return step
        case Var():
            return _bound(step, current, accumulator)
        case Array():
            return Array(step.location, tuple(_replaced(item, current, accumulator) for item in step.items))
        case Operation():
            operands = tuple(_replaced(operand, current, accumulator) for operand in step.operands)
            return Operation(step.location, step.name, operands)


def _bound(var: Var, current: Expression, accumulator: Expression) -> Expression:
    head, _, rest = var.path.partition(".")
    bound = {_CURRENT: current, _ACCUMULATOR: accumulator}.get(head)
    if bound is not None and not rest:
        return bound
    if isinstance(bound, Var):
        return Var(var.location, f"{bound.path}.{rest}")
    message = Text(
        zh=f"reduce 中只能读取 current 和 accumulator，不能读取 {var.path}",
        en=f"within `reduce` only `current` and `accumulator` can be read, not {var.path}",
    )
    raise CannotExpress(var.location, message)
