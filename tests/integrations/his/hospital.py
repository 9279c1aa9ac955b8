"""A connected hospital and its patient for the tests of both interfaces, and the messages that its system sends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from backend.app import open_city
from backend.city.id_number import parse_id_number
from backend.city.person import find_or_create_person
from backend.city.service import City, discover_integrations, discover_services
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Visit, visit_id
from backend.services.medical_credit.ports import Insurance
from backend.settings import read_settings
from integrations.his.hl7v2.message_receiver import receive_message
from integrations.his.hl7v2.mllp_listener import Peer
from tests.services.health_code.scene import id_number
from tests.services.medical_credit.scene import FACTS

T = TypeVar("T")
WANG = id_number(1)

_numbers = count(1)


def in_city(environment: Mapping[str, str], work: Callable[[City], Awaitable[T]]) -> T:
    """Open the city of an environment, next to its running processes, do the work, and close the store."""
    settings = read_settings({name: value for name, value in environment.items() if name.startswith("CHENGMA_")})

    async def run() -> T:
        city = open_city(settings, discover_services(), discover_integrations("integrations"))
        try:
            return await work(city)
        finally:
            await city.store.close()

    return asyncio.run(run())


async def connect(city: City, code: str = "HZ001", **fields: Any) -> Hospital:  # noqa: ANN401  fields of a Hospital
    """Connect a hospital."""
    hospital = Hospital(id=code, name=f"医院 {code}", since_ms=0, **{"jwks": {"keys": []}, **fields})
    return await city.store.insert(hospital)


async def enrol(city: City, number: str = WANG) -> str:
    """Enrol a person in pay later, and return the id of their Profile."""
    now = city.now()
    profile = await find_or_create_person(city.store, city.encryption, parse_id_number(number, city.today()), now)
    insurance: Any = city.port(Insurance)
    insurance.set_balance(number, 1_000)
    await city.store.insert(
        Enrolment(
            id=profile.id,
            agreement="2026-01",
            consented_at=now,
            automatic_debit=False,
            facts=FACTS,
            facts_at=now + timedelta(days=1_000),
        )
    )
    return profile.id


async def last_reply(city: City, message: str) -> str:
    """Return the last answer to an HL7 v2 message: in enhanced mode, that of the application."""
    return [reply async for reply in receive_message(city, message.encode(), Peer("127.0.0.1"))][-1].decode()


def visit_of(environment: Mapping[str, str], number: str, hospital: str = "HZ001") -> Visit | None:
    """Return a visit in its current state."""
    return in_city(environment, lambda city: city.store.get(Visit, visit_id(hospital, number)))


class Hl7System:
    """A hospital's information system that sends HL7 v2. Messages have unique control IDs unless one is passed."""

    def __init__(self, hospital: str = "HZ001", character_set: str = "UNICODE UTF-8", patient: str = WANG) -> None:
        self.hospital, self.character_set, self.patient = hospital, character_set, patient

    def message(self, kind: str, *segments: str, control: str = "", acknowledgement: str = "|") -> str:
        control = control or f"M{next(_numbers):06}"
        at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
        header = f"MSH|^~\\&|HIS|{self.hospital}|CHENGMA|CITY|{at}||{kind}|{control}|P|2.5|||{acknowledgement}||"
        return "\r".join([f"{header}{self.character_set}", *segments]) + "\r"

    def registration(self, visit: str, patient: str = "", class_: str = "O", **options: str) -> str:
        return self.message("ADT^A04", *self._patient(visit, patient or self.patient, class_), **options)

    def visit_message(self, trigger: str, visit: str, patient: str = "", class_: str = "O", **options: str) -> str:
        return self.message(trigger, *self._patient(visit, patient or self.patient, class_), **options)

    def charge_message(self, visit: str, *transactions: str, **options: str) -> str:
        return self.message("DFT^P03", *self._patient(visit, self.patient, "O"), *transactions, **options)

    @staticmethod
    def _patient(visit: str, patient: str, class_: str) -> tuple[str, str]:
        pid = f"PID|1||P-77^^^HIS^MR~{patient}^^^CN^NI||王^小明"
        return pid, f"PV1|1|{class_}{'|' * 17}{visit}"


def transaction(
    line: str, yuan: str, kind: str = "CG", code: str = "110100001", title: str = "诊查费", of: str = ""
) -> str:
    """Return an FT1 segment."""
    fields = ["FT1", "1", line, "", "20261124093000+0800", "", kind, code, title, "", "", yuan]
    return "|".join([*fields, *[""] * 19, of])
