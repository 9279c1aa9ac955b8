"""HL7 v2 messages over MLLP, parsed and acknowledged by our listener, compared with that of python-hl7."""

import asyncio
import os
import select
import socket
import statistics
import sys
import time
from asyncio import IncompleteReadError
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

from integrations.his.hl7v2.acknowledgement import acknowledge
from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.mllp_listener import END_BLOCK, START_BLOCK, Peer, serve_mllp
from integrations.his.mapping import fen_from_yuan
from tests.bench.health_code_read import LAST_CORE, free_port, server
from tests.bench.report import Table

MESSAGES = 4_000
ROUNDS = 10
CONNECTIONS = 8
CHARGES = 5


def a_message(number: int) -> bytes:
    """Return a message with five charges, of about six hundred bytes."""
    lines = [
        f"MSH|^~\\&|HIS|第一医院|CHENGMA|CITY|20261124093000||DFT^P03^DFT_P03|M-{number}|P|2.5||||||UNICODE UTF-8",
        "EVN|P03|20261124093000",
        f"PID|1||330106199001011234^^^CN^NI~P-{number}^^^HIS^MR||张^三||19900101|M",
        f"PV1|1|O|内科^101^1|||||||||||||||||V-{number}",
    ]
    charge = "FT1|{}|||20261124093000||CG|A{}00^常规检查^HIS||||12.50&CNY|12.50&CNY|内科"
    lines.extend(charge.format(at, at) for at in range(1, CHARGES + 1))
    return "".join(f"{line}\r" for line in lines).encode()


def compare() -> Table:
    """Measure both listeners in turn, over a few connections that each wait for the reply."""
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        ports: list[int] = []
        for name in ("ours", "theirs"):
            ports.append(free_port())
            arguments = ["-m", "tests.bench.mllp", name, str(ports[-1])]
            running.enter_context(server(arguments, ports[-1], {**os.environ}, folder / f"{name}.log"))
        os.sched_setaffinity(0, {LAST_CORE})
        messages = [a_message(number) for number in range(MESSAGES)]
        rates = [(rate(ports[0], messages), rate(ports[1], messages)) for _ in range(ROUNDS)]
    ours, theirs = zip(*rates, strict=True)
    ratio = statistics.median(our / their for our, their in rates)
    return Table(
        "mllp",
        f"HL7 v2 charges (DFT^P03, {CHARGES} FT1, {len(messages[0]):,} bytes) over MLLP, parsed and acknowledged, "
        "without a store, compared with python-hl7's asyncio listener and `create_ack()`. Ours also reads every "
        "amount, because it splits fields on access. One process each, on uvloop; "
        f"{CONNECTIONS} connections that wait for each reply, one client process on its own core; {ROUNDS} alternating "
        f"rounds of {MESSAGES:,} messages.",
        ("listener", "messages per second", "relative to python-hl7"),
        [
            ("python-hl7 `start_hl7_server`", f"{statistics.median(theirs):,.0f}", "1"),
            ("`serve_mllp`", f"{statistics.median(ours):,.0f}", f"**{ratio:.2f}**"),
        ],
    )


def rate(port: int, messages: Sequence[bytes]) -> float:
    """Return how many messages are acknowledged per second."""
    poll = select.epoll()
    pending = iter(messages)
    connections: dict[int, socket.socket] = {}
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    started = time.perf_counter()
    for connection in connections.values():
        connection.sendall(START_BLOCK + next(pending) + END_BLOCK)
    acknowledged = 0
    while acknowledged < len(messages):
        for number, _event in poll.poll():
            connection = connections[number]
            received = connection.recv(65_536)
            while not received.endswith(END_BLOCK):
                received += connection.recv(65_536)
            assert b"MSA|AA|" in received, received
            acknowledged += 1
            message = next(pending, None)
            if message is not None:
                connection.sendall(START_BLOCK + message + END_BLOCK)
    seconds = time.perf_counter() - started
    for connection in connections.values():
        connection.close()
    poll.close()
    return len(messages) / seconds


async def ours(port: int) -> None:
    """Run our listener."""

    async def handle(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
        message = parse_message(raw, "utf-8")
        amounts = [charge.field(11).component(1).subcomponent(1) for charge in message.all("FT1")]
        assert sum(fen_from_yuan(amount.text) for amount in amounts) == CHARGES * 1_250
        reply_id = f"C-{message.header.field(10).text}"
        yield acknowledge(message, "AA", control_id=reply_id, now=datetime.now(UTC))

    async with serve_mllp(handle, "127.0.0.1", port):
        await asyncio.Event().wait()


async def theirs(port: int) -> None:
    """Run python-hl7's listener as its documentation shows."""

    async def serve(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        with suppress(IncompleteReadError, ConnectionError):
            while True:
                message = await reader.readmessage()
                writer.writemessage(message.create_ack())
                await writer.drain()
        writer.close()

    listener = await start_hl7_server(serve, "127.0.0.1", port, encoding="utf-8")
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(compare().markdown())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run({"ours": ours, "theirs": theirs}[sys.argv[1]](int(sys.argv[2])))
