"""A city that receives HL7 v2 messages in this process, as its listener does."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from backend.app import open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.services.medical_credit.model.visit import Visit
from backend.settings import Settings
from integrations.his.hl7v2.batch import receive_block
from integrations.his.hl7v2.message import Message, parse_message
from integrations.his.hl7v2.mllp_listener import Peer
from tests.conftest import ROOT, Clock
from tests.integrations.his.hospital import connect, enrol
from tests.keys import new_keys
from tests.services.medical_credit.scene import NOON

T = TypeVar("T")


class ReceivingCity:
    """A city with the hospital HZ001 and the patient WANG; the store is a file."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.clock = Clock(NOON)
        self.city = self.run(lambda: self._open(folder))
        self.run(lambda: connect(self.city))
        self.run(lambda: enrol(self.city))

    async def _open(self, folder: Path) -> City:
        settings = Settings(
            store=f"sqlite:///{folder}/city.db",
            keys=new_keys(folder / "keys"),
            rules=str(ROOT / "rules"),
            sandbox=str(folder / "sandbox.db"),
        )
        return open_city(settings, discover_services(), discover_integrations("integrations"), clock=self.clock)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            return await work()

        return self.runner.run(whole())

    def close(self) -> None:
        self.run(self.city.store.close)
        self.runner.close()

    def receive(self, raw: str | bytes) -> list[bytes]:
        """Receive a block, and return the replies."""
        block = raw.encode() if isinstance(raw, str) else raw

        async def replies() -> list[bytes]:
            return [reply async for reply in receive_block(self.city, block, Peer("127.0.0.1"))]

        return self.run(replies)

    def answer(self, raw: str | bytes) -> Message:
        """Receive a message, and return its only reply."""
        (reply,) = self.receive(raw)
        return parse_message(reply, "utf-8")

    def code(self, raw: str | bytes) -> str:
        """Receive a message, and return MSA-1 of its reply."""
        return self.answer(raw).segment("MSA").field(1).text

    def visit(self, number: str) -> Visit:
        async def only() -> Visit:
            (visit,) = [one async for one in self.city.store.scan(Visit) if one.number == number]
            return visit

        return self.run(only)

    def lines(self, number: str) -> list[tuple[str, int]]:
        """Return the ids and amounts of the lines of a visit."""
        return [(line.id, line.amount_fen) for line in self.visit(number).lines]
