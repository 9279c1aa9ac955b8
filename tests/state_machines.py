"""Run Hypothesis's state machines until enough has happened for their checks to mean something."""

import os
import time
from collections.abc import Callable, Mapping

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

MAX_RUNS = 4
"""A run of few examples may miss its minimum counts by chance."""

SOAK_SECONDS = float(os.environ.get("CHENGMA_SOAK_SECONDS", "0"))
"""How long a soak runs each machine; an interrupt would be taken for one of the crashes that a machine draws."""

EXAMPLES_PER_ROUND = 50


def run_state_machine(
    machine: type[RuleBasedStateMachine], examples: int, minimum_counts: Callable[[], Mapping[str, bool]]
) -> None:
    """Run a machine, up to four times until all minimum counts are reached, and check that they are.

    A soak runs rounds of it until its examples, or its seconds, are used up.
    """
    if SOAK_SECONDS:
        give_up = time.monotonic() + SOAK_SECONDS
        for _ in range(0, examples, EXAMPLES_PER_ROUND):
            if time.monotonic() < give_up:
                _run(machine, EXAMPLES_PER_ROUND)
        return
    for _ in range(MAX_RUNS):
        _run(machine, examples)
        if all(minimum_counts().values()):
            return
    raise AssertionError(f"too little happened: {minimum_counts()}")


def _run(machine: type[RuleBasedStateMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
