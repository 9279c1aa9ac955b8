"""The explainer: a tree-walking interpreter that records the value of every sub-expression.

It is the reference implementation of the language, including errors; the compiler must always agree with it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.tree import Apply, Conditional, Constant, Field, Has, Items, Logic, Macro, Node, Variable


@dataclass(frozen=True)
class Failure:
    """The value of an expression that failed: what CEL calls an error."""

    reason: str


@dataclass(frozen=True)
class Step:
    """One evaluated sub-expression: its source text, its value (or a Failure), and the steps below it.

    Parts that were short-circuited, such as the right side of `false && ...`, have no step.
    """

    text: str
    value: Any
    steps: tuple["Step", ...] = ()


Observe = Callable[[Node, "Step"], None]
"""Called with each evaluated node and its step, in the order of evaluation."""


def explain(text: str, node: Node, values: Mapping[str, Any], observe: Observe | None = None) -> Step:
    """Evaluate `node`, the checked tree of `text`, with the values of its names."""
    return _Explainer(text, observe).step(node, dict(values))


@dataclass(frozen=True)
class _Explainer:
    text: str
    observe: Observe | None = None

    def step(self, node: Node, values: Mapping[str, Any]) -> Step:
        match node:
            case Constant():
                return self._step(node, node.value)
            case Variable():
                return self._step(node, values[node.name])
            case Field():
                operand = self.step(node.operand, values)
                value = operand.value if _failed(operand) else getattr(operand.value, node.name)
                return self._step(node, value, () if isinstance(node.operand, Variable) else (operand,))
            case Has():
                operand = self.step(node.operand, values)
                return self._step(node, getattr(operand.value, node.name) is not None)
            case Items():
                steps = [self.step(element, values) for element in node.elements]
                return self._step(node, _first_failure(steps) or [step.value for step in steps], steps)
            case Apply():
                return self._apply(node, values)
            case Logic():
                return self._logic(node, values)
            case Conditional():
                condition = self.step(node.condition, values)
                if _failed(condition):
                    return self._step(node, condition.value, (condition,))
                outcome = self.step(node.chosen if condition.value else node.other, values)
                return self._step(node, outcome.value, (condition, outcome))
            case Macro():
                return self._macro(node, values)

    def _step(self, node: Node, value: object, steps: Iterable[Step] = ()) -> Step:
        step = Step(self.text[node.start : node.end], value, tuple(steps))
        if self.observe is not None:
            self.observe(node, step)
        return step

    def _apply(self, node: Apply, values: Mapping[str, Any]) -> Step:
        steps = [self.step(argument, values) for argument in node.arguments]
        failure = _first_failure(steps)
        if failure is not None:
            return self._step(node, failure, steps)
        try:
            value = node.operation.evaluate(*(step.value for step in steps))
        except EvaluationError as error:
            value = Failure(str(error))
        return self._step(node, value, steps)

    def _logic(self, node: Logic, values: Mapping[str, Any]) -> Step:
        """Evaluate `&&` or `||`; as in CEL, either side may decide, even if the other fails."""
        decisive = node.operator == "||"
        left = self.step(node.left, values)
        if left.value is decisive:
            return self._step(node, decisive, (left,))
        right = self.step(node.right, values)
        if right.value is decisive or not _failed(left):
            return self._step(node, right.value, (left, right))
        return self._step(node, left.value, (left, right))

    def _macro(self, node: Macro, values: Mapping[str, Any]) -> Step:
        source = self.step(node.source, values)
        if _failed(source):
            return self._step(node, source.value, (source,))
        tests = [self.step(node.test, {**values, node.variable: item}) for item in source.value] if node.test else []
        results = [step.value for step in tests]
        failure = _first_failure(tests)
        match node.name:
            case "exists":
                value: object = True in results or failure or False
            case "all":
                value = False not in results and (failure or True)
            case "exists_one":
                value = failure or results.count(True) == 1
            case "filter":
                value = failure or [item for item, kept in zip(source.value, results, strict=True) if kept]
            case "map":
                return self._map(node, values, source, tests)
        return self._step(node, value, tests)

    def _map(self, node: Macro, values: Mapping[str, Any], source: Step, tests: list[Step]) -> Step:
        assert node.value is not None
        kept = [True] * len(source.value) if node.test is None else [step.value for step in tests]
        failure = _first_failure(tests)
        if failure is not None:
            return self._step(node, failure, tests)
        items = (item for item, keep in zip(source.value, kept, strict=True) if keep)
        steps = [self.step(node.value, {**values, node.variable: item}) for item in items]
        return self._step(node, _first_failure(steps) or [step.value for step in steps], [*tests, *steps])


def _failed(step: Step) -> bool:
    return isinstance(step.value, Failure)


def _first_failure(steps: Iterable[Step]) -> Failure | None:
    return next((step.value for step in steps if isinstance(step.value, Failure)), None)
