"""Run Hypothesis's state machines until enough has happened for their checks to mean something."""

from collections.abc import Callable, Mapping

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

MAX_RUNS = 4
"""A run of few examples may miss its minimum counts by chance."""


def run_state_machine(
    machine: type[RuleBasedStateMachine], examples: int, minimum_counts: Callable[[], Mapping[str, bool]]
) -> None:
    """Run a machine, up to four times until all minimum counts are reached, and check that they are."""
    for _ in range(MAX_RUNS):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            ),
        )
        if all(minimum_counts().values()):
            return
    raise AssertionError(f"too little happened: {minimum_counts()}")
