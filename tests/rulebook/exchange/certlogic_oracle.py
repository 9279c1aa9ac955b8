"""CertLogic by its specification, without our translation: what an expression gives on data."""
# JSON has any form:
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import operator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from backend.rulebook.exchange.certificate import instant_of, value_at

Json = Any

_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_DATES = {"before": "<", "not-after": "<=", "after": ">", "not-before": ">="}


class Failure(Exception):
    """The expression fails on the data."""


def passes(logic: Json, data: Json) -> bool:
    """Return whether a rule is passed: its logic does not fail and is true."""
    try:
        return _truth(evaluate(logic, data))
    except Failure:
        return False


def evaluate(logic: Json, data: Json) -> Json:
    """Return the value of an expression. Raises Failure."""
    if isinstance(logic, list):
        return [evaluate(item, data) for item in logic]
    if not isinstance(logic, dict):
        return logic
    ((name, operands),) = logic.items()
    if name == "var":
        return value_at(data, operands)
    if name == "if":
        guard, chosen, other = operands
        return evaluate(chosen if _truth(evaluate(guard, data)) else other, data)
    if name == "and":
        value = True
        for operand in operands:
            value = evaluate(operand, data)
            if not _truth(value):
                return value
        return value
    if name == "reduce":
        items, step, result = evaluate(operands[0], data), operands[1], evaluate(operands[2], data)
        for item in items or []:
            result = evaluate(step, {"accumulator": result, "current": item})
        return result
    return _operation(name, [evaluate(operand, data) for operand in operands])


def _operation(name: str, values: list[Json]) -> Json:
    if name == "!":
        return not _truth(values[0])
    if name == "===":
        return type(values[0]) is type(values[1]) and values[0] == values[1]
    if name == "in":
        if not isinstance(values[1], list):
            raise Failure
        return any(type(values[0]) is type(item) and values[0] == item for item in values[1])
    if name == "+":
        return sum(_all(values, int))
    if name == "plusTime":
        return _plus(*values)
    kind = datetime if name in _DATES else int
    order = _ORDER[_DATES.get(name, name)]
    checked = _all(values, kind)
    return all(order(one, other) for one, other in pairwise(checked))


def _plus(text: Json, amount: int, unit: str) -> datetime:
    if not isinstance(text, str) or unit not in ("day", "hour"):
        raise Failure
    return instant_of(text) + timedelta(hours=amount * (24 if unit == "day" else 1))


def _all(values: list[Json], kind: type) -> list[Json]:
    if not all(type(value) is kind for value in values):
        raise Failure
    return values


def _truth(value: Json) -> bool:
    if isinstance(value, datetime):
        raise Failure
    return bool(value)
