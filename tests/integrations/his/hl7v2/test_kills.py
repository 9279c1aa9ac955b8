"""A listener is killed again and again while engines send until they are answered: nothing is lost or booked twice."""

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK
from tests.draws import SOAK, draws
from tests.integrations.his.hl7v2.listener_scene import Listener
from tests.integrations.his.hospital import Hl7System, transaction
from tests.servers import wait_until

pytestmark = pytest.mark.slow

MESSAGES, KILLS, ENGINES, PER_VISIT = draws(160, soak=2_000), draws(2, soak=20), 4, 50
ANSWER_SECONDS = 10


class Engine(threading.Thread):
    """Sends its messages in order, each until it is accepted or can never be, and keeps the last answer to each."""

    def __init__(self, listener: Listener, messages: list[str]) -> None:
        super().__init__(daemon=True)
        self.listener, self.messages = listener, messages
        self.codes: list[str] = []

    def run(self) -> None:
        waiting = self.messages[::-1]
        while waiting:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.listener.port), 1) as connection:
                while waiting:
                    code = self._send(connection, waiting[-1])
                    if code == "AE":  # it may succeed later
                        break
                    self.codes.append(code)
                    waiting.pop()
            time.sleep(0.05)

    def _send(self, connection: socket.socket, message: str) -> str:
        connection.settimeout(ANSWER_SECONDS)
        connection.sendall(START_BLOCK + message.encode() + END_BLOCK)
        reply = b""
        while not reply.endswith(END_BLOCK):
            received = connection.recv(65_536)
            if not received:
                raise ConnectionResetError
            reply += received
        _, code, control_id = next(part for part in reply.decode().split("\r") if part.startswith("MSA")).split("|")[:3]
        assert control_id == message.split("|", 10)[9], "each engine gets the answer to its own message"
        return code


@pytest.fixture(params=["sqlite", "mongodb"] if SOAK else ["sqlite"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    store = f"sqlite:///{tmp_path}/city.db"
    if request.param == "mongodb":
        address, _, options = request.getfixturevalue("mongod_url").partition("?")
        store = f"{address.rstrip('/')}/kills_{time.time_ns()}?{options}"
    running = Listener(tmp_path, store)
    yield running
    running.process.stop()


def engine_of(listener: Listener, name: str, count: int) -> Engine:
    """Return an engine with charges for several visits, of which every seventh cannot be accepted."""
    messages = list[str]()
    for first in range(0, count, PER_VISIT):
        # one patient each, because the credit of one is not enough for all visits
        system, visit = Hl7System(patient=listener.new_patient()), f"{name}-{first // PER_VISIT}"
        messages.append(system.registration(visit))
        for number in range(first, min(first + PER_VISIT, count)):
            fault = [transaction(f"F{number}", "1.005")] if number % 7 == 0 else []
            lines = [transaction(f"L{number}-{part}", f"{number + 1}.0{part}") for part in range(3)]
            messages.append(system.charge_message(visit, *lines, *fault))
    return Engine(listener, messages)


def test_every_accepted_charge_is_there_exactly_once(listener: Listener) -> None:
    engines = [engine_of(listener, f"E{number}", MESSAGES // ENGINES) for number in range(ENGINES)]
    for engine in engines:
        engine.start()
    total = sum(len(engine.messages) for engine in engines)

    def answered() -> int:
        return sum(len(engine.codes) for engine in engines)

    for kill in range(1, KILLS + 1):
        due = total * kill // (KILLS + 1)
        wait_until(lambda due=due: answered() >= due, listener.process.log_text)
        time.sleep(random.uniform(0, 0.02))
        listener.process.kill()
        listener.start()
    for engine in engines:
        engine.join(60)
        assert not engine.is_alive(), listener.process.log_text()
    print(f"{total} messages, {KILLS} kills")  # noqa: T201
    for number, engine in enumerate(engines):
        _has_the_accepted_charges_alone(listener, f"E{number}", engine)


def _has_the_accepted_charges_alone(listener: Listener, name: str, engine: Engine) -> None:
    accepted: dict[str, list[str]] = {}
    for message, code in zip(engine.messages, engine.codes, strict=True):
        assert code == ("AR" if "|1.005" in message else "AA")
        visit = next(part for part in message.split("\r") if part.startswith("PV1")).rpartition("|")[2]
        lines = [part.split("|")[2] for part in message.split("\r") if part.startswith("FT1")]
        accepted.setdefault(visit, []).extend(lines if code == "AA" else [])
    assert len(accepted) == -(-MESSAGES // ENGINES // PER_VISIT), name
    for visit, lines in accepted.items():
        booked = listener.visit(visit).lines
        assert sorted(line.id for line in booked) == sorted(lines)
        for line in booked:
            number, _, part = line.id.removeprefix("L").partition("-")
            assert line.amount_fen == (int(number) + 1) * 100 + int(part)
