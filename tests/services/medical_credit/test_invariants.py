"""Invariants of all visits under repeated, reordered, lost and interrupted calls."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.draws import draws
from tests.services.medical_credit.visit_machine import VisitMachine
from tests.services.medical_credit.world import World
from tests.state_machines import run_state_machine

pytestmark = pytest.mark.slow

EXAMPLES = draws(200, soak=3_000)


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        VisitMachine.world = world = World(Path(folder))
        yield world
        world.run(world.city.store.close)
        world.runner.close()


def test_every_fen_is_accounted_for(world: World) -> None:
    def minimum_counts() -> dict[str, bool]:
        return {"visits": world.visit_count >= 2 * EXAMPLES, "kills": world.store.kills >= EXAMPLES / 10}

    try:
        run_state_machine(VisitMachine, EXAMPLES, minimum_counts)
    finally:
        print(f"{world.visit_count} visits, {world.store.kills} kills, {dict(world.injected_faults)}")  # noqa: T201
