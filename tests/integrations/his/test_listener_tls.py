"""The listener under TLS: the certificate of a sender must be that of the hospital as which it speaks."""

import asyncio
from pathlib import Path

import pytest

from integrations.his.hl7v2.message import read
from integrations.his.hl7v2.mllp import MllpClient, client_tls
from tests.integrations.his.hospital import System, connect, enrol, in_city
from tests.integrations.his.test_listener import Listener
from tests.integrations.his.test_mllp import Authority
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


class SecretListener(Listener):
    """A listener that speaks TLS, and hospitals that each have a certificate of their own."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "city")
        certificate, key = self.authority.certify("chengma")
        self.files = {"MLLP_CERTIFICATE": certificate, "MLLP_KEY": key, "MLLP_CLIENTS": self.authority.own}
        super().__init__(folder, f"sqlite:///{folder}/city.db")

    def start(self) -> None:
        self.environment |= {f"CHENGMA_{name}": str(path) for name, path in self.files.items()}
        super().start()

    def answer(self, certified: str, message: str) -> str:
        """Send a message under somebody's certificate, and give MSA-1."""
        tls = client_tls(*self.authority.certify(certified), self.authority.own)

        async def converse() -> str:
            async with MllpClient("127.0.0.1", self.port, tls=tls) as client:
                await client.send(message.encode())
                return read(await client.receive(), "utf-8").segment("MSA").field(1).text

        return asyncio.run(converse())


def test_a_hospital_is_believed_under_its_own_certificate_alone(tmp_path: Path) -> None:
    listener = SecretListener(tmp_path)
    in_city(listener.environment, lambda city: connect(city, "TLS01", certificate="first-hospital"))
    in_city(listener.environment, lambda city: enrol(city, id_number(1)))
    system = System("TLS01")
    assert listener.answer("first-hospital", system.opens("V1")) == "AA"
    assert listener.answer("second-hospital", system.opens("V2")) == "AR"
    assert listener.process.stop() == 0


def test_a_listener_with_half_of_its_tls_does_not_begin(tmp_path: Path) -> None:
    listener = SecretListener(tmp_path)
    listener.process.stop()
    del listener.environment["CHENGMA_MLLP_KEY"]
    listener.process.environment = listener.environment
    listener.process.start()
    assert listener.process._process.wait(30) == 1
    assert "belong together" in listener.process.said()
