"""A city that receives HL7 v2 messages without a network, on a store that can be killed or can fail."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import HisMessage, Hospital, RefusalPolicy
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import Inbox
from backend.store import Document, Order, Store
from integrations.his.hl7v2.batch import receive_block
from integrations.his.hl7v2.errors import Location
from integrations.his.hl7v2.message import Message, parse_message
from integrations.his.hl7v2.mllp_listener import Peer
from tests.integrations.his.hospital import Hl7System
from tests.services.health_code.scene import id_number
from tests.services.killing import KillingStore
from tests.services.medical_credit.scene import FACTS
from tests.services.medical_credit.world import World

D = TypeVar("D", bound=Document)
PEER = Peer("127.0.0.1")


class FailingStore(KillingStore):
    """Can be killed, and raises `failures[operation, kind]` in place of an operation on a kind of document."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.failures: dict[tuple[str, type[Document]], Exception] = {}

    async def get(self, kind: type[D], document_id: str) -> D | None:
        self._fail("get", kind)
        return await self._store.get(kind, document_id)

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        self._fail("get", kind)
        return await super().get_many(kind, document_ids)

    async def insert(self, document: D) -> D:
        self._fail("insert", type(document))
        return await super().insert(document)

    async def replace(self, document: D) -> D:
        self._fail("replace", type(document))
        return await super().replace(document)

    def _fail(self, operation: str, kind: type[Document]) -> None:
        if (error := self.failures.get((operation, kind))) is not None:
            raise error


class Receiver(World):
    """A city with connected hospitals; `system` sends the messages of HZ001 about a new patient."""

    def __init__(self, folder: Path, address: str = "") -> None:
        super().__init__(folder, address)
        self.restart()
        self.system = Hl7System(patient=self.new_patient())

    def restart(self) -> None:
        """Receive in a process that has no documents in hand."""
        self.store = FailingStore(self.store._store)
        self.city = replace(self.city, store=self.store)

    def new_patient(self) -> str:
        """Enrol another person, and return their ID number."""
        number = self.new_person()
        self.enrol(number)
        return number

    def new_person(self) -> str:
        """Return the ID number of another person, who has not agreed to pay later."""
        serial = next(self.serial)
        return id_number(serial % 1_000, 1990 + serial // 1_000)

    def enrol(self, number: str) -> None:
        async def work() -> None:
            now = self.clock.now
            known = parse_id_number(number, self.city.today())
            person = await find_or_create_person(self.city.store, self.city.encryption, known, now)
            enrolment = Enrolment(
                id=person.id,
                agreement="2026-01",
                consented_at=now,
                automatic_debit=False,
                facts=FACTS,
                facts_at=now + timedelta(days=10_000),
            )
            await self.city.store.insert(enrolment)

        self.insurance.set_balance(number, 5_000)
        self.run(work)

    def refuses_with(self, policy: RefusalPolicy) -> None:
        async def work() -> None:
            known = await self.city.store.get(Hospital, "HZ001")
            assert known is not None
            await self.city.store.replace(replace(known, refuse_with=policy))

        self.run(work)

    def replies(self, message: str | bytes) -> list[bytes]:
        """Send a message, and return the replies as they are sent."""
        raw = message.encode() if isinstance(message, str) else message

        async def work() -> list[bytes]:
            return [reply async for reply in receive_block(self.city, raw, PEER)]

        return self.run(work)

    def send(self, message: str | bytes) -> Message:
        """Send a message, and return its only reply."""
        (reply,) = self.replies(message)
        return parse_message(reply, "utf-8")

    def code(self, message: str | bytes) -> str:
        return acknowledgement(self.send(message))

    def visit(self, number: str, hospital: str = "HZ001") -> Visit | None:
        return self.run(lambda: self.city.store.get(Visit, visit_id(hospital, number)))

    def lines(self, number: str) -> dict[str, int]:
        """Return the lines of a visit with their amounts."""
        visit = self.visit(number)
        return {} if visit is None else {line.id: line.amount_fen for line in visit.lines}

    def messages(self, state: str) -> list[HisMessage]:
        """Return the stored messages in a state, oldest first."""
        order = Order("received_ms")
        return self.run(lambda: self.city.store.find(HisMessage, {"state": state}, order=order, limit=1_000)).documents

    def retry(self, message: str) -> str | None:
        """Process a stored message again, as a sweep or an operator does."""
        inbox: Any = self.city.port(Inbox)
        return self.run(lambda: inbox.retry(self.city, message))

    def close(self) -> None:
        self.run(self.city.store.close)
        self.runner.close()


def acknowledgement(reply: Message) -> str:
    return reply.segment("MSA").field(1).text


def error(reply: Message) -> tuple[str, str, str]:
    """Return the acknowledgement code of a reply, and the condition code and location of its only error."""
    (segment,) = reply.all("ERR")
    return acknowledgement(reply), segment.field(3).component(1).text, segment.field(2).raw


def at(segment: str, sequence: int, field: int) -> str:
    """Return a location as ERR-2 has it."""
    return Location(segment, sequence, field).to_erl("^")
