"""For any sequence of messages, the bill is that of the accepted messages alone."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.draws import draws
from tests.integrations.his.hl7v2.message_machine import MessageMachine
from tests.integrations.his.hl7v2.receiver_scene import Receiver
from tests.state_machines import run_state_machine

pytestmark = pytest.mark.slow

EXAMPLES = draws(5, soak=2_000)


@pytest.fixture
def machine(tmp_path: Path, address: str) -> Iterator[type[MessageMachine]]:
    MessageMachine.receiver, MessageMachine.counts = Receiver(tmp_path, address), Counter()
    yield MessageMachine
    MessageMachine.receiver.close()


def test_the_bill_is_that_of_the_accepted_messages_alone(machine: type[MessageMachine]) -> None:
    kills = machine.receiver.store

    def minimum_counts() -> dict[str, bool]:
        enough = {kind: machine.counts[kind] >= EXAMPLES for kind in ("AA", "AA W", "AR", "unavailable")}
        return {**enough, "kills": kills.kills >= EXAMPLES}

    try:
        run_state_machine(machine, EXAMPLES, minimum_counts)
    finally:
        print(f"{dict(machine.counts)}, {kills.kills} kills")  # noqa: T201
