"""The sandbox of the national insurance interface behind a real socket, and a claim, for the tests of the adapter."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import uvicorn

from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.ports import ClaimLine, InsuranceClaim
from integrations._sandbox.database import SandboxDatabase
from integrations.insurance.national import Connection, NationalInsurance
from integrations.insurance.national_sandbox import NationalSandbox
from integrations.insurance.sandbox import SandboxInsurance
from integrations.insurance.sandbox_server import asgi_application
from integrations.insurance.signatures import SigningKeys, new_key_pair
from tests.services.health_code.scene import id_number

T = TypeVar("T")
ZONE = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
VISIT = "0123456789abcdef0123456789abcdef"
INSTITUTION = "H33010000001"
WANG = id_number(1)

_CITY, _INSURANCE = new_key_pair(), new_key_pair()
SM2_CITY = SigningKeys("SM2", _CITY[0], _INSURANCE[1])
SM2_INSURANCE = SigningKeys("SM2", _INSURANCE[0], _CITY[1])
SM3 = SigningKeys("SM3", "00112233445566778899aabbccddeeff")


class Interface:
    """The sandbox on a free port of 127.0.0.1, in a thread, and the adapter that calls it."""

    def __init__(self, folder: Path) -> None:
        self.books = SandboxInsurance(SandboxDatabase(str(folder / "sandbox.db")), ZONE)
        self.books.database.clock = lambda: NOON
        self.books.set_balance(WANG, 1_000)
        sandbox = NationalSandbox(self.books, SM3)
        config = uvicorn.Config(
            asgi_application(sandbox), host="127.0.0.1", port=0, lifespan="off", log_level="critical", ws="none"
        )
        self._sandbox, self._server = sandbox, uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/"

    def close(self) -> None:
        """Stop the sandbox."""
        self._server.should_exit = self._server.force_exit = True  # also if an answer hangs
        self._thread.join()

    def answers_with(self, keys: SigningKeys) -> None:
        """Let the sandbox use other keys."""
        self._sandbox.keys = keys

    def adapter(self, keys: SigningKeys = SM3, *, seconds: float = 5.0, url: str = "") -> NationalInsurance:
        connection = Connection(
            url=url or self.url, region="330100", keys=keys, time_zone=ZONE, timeout_seconds=seconds
        )
        return NationalInsurance(connection, lambda: NOON)

    def codes(self) -> list[str]:
        """Return the transactions that the sandbox performed, in order."""
        query = "SELECT code FROM calls ORDER BY place"
        return self.books.database.do(lambda file: [row["code"] for row in file.execute(query)])


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def whole() -> T:
        return await work()

    return asyncio.run(whole())


def claim(number: int = 1, kind: VisitKind = "outpatient", *lines: ClaimLine) -> InsuranceClaim:
    """Return a claim of 100 yuan on two lines, or of the lines given."""
    first = ClaimLine("L1", "110100001", 9_000, NOON, Decimal(3), Decimal("30.0000"), "A001", "D12", "DR7")
    return InsuranceClaim(
        message_id=f"{VISIT}/{number}",
        batch=str(number),
        visit=VISIT,
        hospital="HZ001",
        institution=INSTITUTION,
        id_number=WANG,
        kind=kind,
        opened_at=NOON,
        requested_at=NOON.replace(second=number),
        lines=lines or (first, ClaimLine("L2", "250301001", 1_000, NOON)),
    )
