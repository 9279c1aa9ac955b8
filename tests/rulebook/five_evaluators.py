"""Four evaluators of rules, each asked which rules of a law fire for the same people; the fifth is in solver_model."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import numpy as np
from cel_expr_python import cel
from msgspec import Struct

from backend.rulebook import Rulebook
from backend.rulebook.language.types import microseconds
from backend.rulebook.modules.module import Module
from backend.rulebook.preview.columns import columns_of_facts
from backend.rulebook.preview.kernel import Kernel, kernel_of
from backend.rulebook.preview.kernel_source import Mode
from backend.rulebook.preview.layout import UnsupportedLayout
from backend.rulebook.preview.writer import Unsupported
from backend.rulebook.verdict import Law
from tests.rulebook.cel_oracle import AGE, CEL_TYPES, cel_literal
from tests.rulebook.preview.interpreted import interpreted

Fired = list[int]
"""For each person the bits of the rules that fire."""


def by_fused_function(law: Law, people: Sequence[Struct], at: datetime) -> Fired:
    """Return which rules fire by the fused function."""
    return [law.decide(facts, at)[0] for facts in people]


def by_explainer(rulebook: Rulebook, module: str, people: Sequence[Struct], at: datetime) -> Fired:
    """Return which rules fire by the explainer."""
    found: Fired = []
    for facts in people:
        steps = [step.value for _, step in rulebook.explain(module, facts, at)]
        assert all(isinstance(value, bool) for value in steps), steps
        found.append(bits_of(steps))
    return found


def bits_of(truths: Sequence[object]) -> int:
    """Return the truth values of rules as bits."""
    return sum(1 << bit for bit, truth in enumerate(truths) if truth is True)


# ── columns ──


def kernels(module: Module, law: Law, *, compiled: bool) -> tuple[Kernel, Kernel] | None:
    """Return the kernels that decide and that list what fires, or None if columns cannot compute the rules."""
    make = kernel_of if compiled else interpreted
    modes: tuple[Mode, Mode] = ("decide", "fire")
    try:
        return cast("tuple[Kernel, Kernel]", tuple(make(module, law, mode) for mode in modes))
    except (Unsupported, UnsupportedLayout):
        return None


def by_kernel(
    both: tuple[Kernel, Kernel], people: Sequence[Struct], at: datetime
) -> tuple[Fired, list[int], list[int]]:
    """Return which rules fire, which one decides (-1 for none), and the numbers of a sum, by the columnar kernel."""
    decide, fire = both
    columns = columns_of_facts(decide.layout, list(people))
    decisions = decide.decide(columns, microseconds(at))
    fired = fire.decide(columns, microseconds(at)).results
    return (
        cast("list[int]", fired.tolist()),
        cast("list[int]", decisions.decisive.tolist()),
        cast("list[int]", np.asarray(decisions.results).tolist()),
    )


# ── Google's CEL ──


def by_cel(law: Law, people: Sequence[Struct], at: datetime) -> Fired:
    """Return which rules fire by cel-expr-python, in one program for all people."""
    figures = {name: _as_list(value) for name, value in law.parameter_values.items()}
    variables = {"now": cel.Type.TIMESTAMP, **{name: _cel_type(value) for name, value in figures.items()}}
    environment = cel.NewEnv(variables=variables, functions=[AGE])
    conditions = ", ".join(f"({rule.text})" for rule in law.rules)
    listed = ", ".join(map(cel_literal, people))
    program = environment.compile(f"[{listed}].map(facts, [{conditions}])")
    found = program.eval(data={"now": at, **figures}).plain_value()
    assert isinstance(found, list), found
    return [bits_of(truths) for truths in cast("list[list[object]]", found)]


def _cel_type(value: object) -> Any:  # noqa: ANN401  the library has no types
    if isinstance(value, list):
        return cel.Type.List(CEL_TYPES[type(cast("list[object]", value)[0])])
    return CEL_TYPES[type(value)]


def _as_list(value: object) -> object:
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
