"""The listener process under TLS: the client certificate must be that of the sending hospital."""

import asyncio
from pathlib import Path

import pytest

from integrations.his.hl7v2.message import parse_message
from integrations.his.hl7v2.mllp_client import MllpClient, client_tls
from tests.integrations.his.hl7v2.mllp_scene import Authority
from tests.integrations.his.hl7v2.test_listener_process import Listener
from tests.integrations.his.hospital import Hl7System, connect, enrol, in_city
from tests.services.health_code.scene import id_number

pytestmark = pytest.mark.slow


class TlsListener(Listener):
    """A listener that uses TLS, and an authority that certifies hospitals."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "city")
        certificate, key = self.authority.certify("chengma")
        self.files = {"MLLP_CERTIFICATE": certificate, "MLLP_KEY": key, "MLLP_CLIENTS": self.authority.own}
        super().__init__(folder, f"sqlite:///{folder}/city.db")

    def start(self) -> None:
        self.environment |= {f"CHENGMA_{name}": str(path) for name, path in self.files.items()}
        super().start()

    def acknowledgement_code(self, certified: str, message: str) -> str:
        """Send a message with a client certificate, and return MSA-1."""
        tls = client_tls(*self.authority.certify(certified), self.authority.own)

        async def converse() -> str:
            async with MllpClient("127.0.0.1", self.port, tls=tls) as client:
                await client.send(message.encode())
                return parse_message(await client.receive(), "utf-8").segment("MSA").field(1).text

        return asyncio.run(converse())


def test_a_hospital_is_accepted_only_with_its_own_certificate(tmp_path: Path) -> None:
    listener = TlsListener(tmp_path)
    in_city(listener.environment, lambda city: connect(city, "TLS01", certificate="first-hospital"))
    in_city(listener.environment, lambda city: connect(city, "TLS02"))
    in_city(listener.environment, lambda city: enrol(city, id_number(1)))
    system, uncertified = Hl7System("TLS01"), Hl7System("TLS02")
    assert listener.acknowledgement_code("first-hospital", system.registration("V1")) == "AA"
    assert listener.acknowledgement_code("second-hospital", system.registration("V2")) == "AR"
    assert listener.acknowledgement_code("first-hospital", uncertified.registration("V3")) == "AR"
    assert listener.process.stop() == 0


def test_a_listener_with_incomplete_tls_settings_does_not_start(tmp_path: Path) -> None:
    listener = TlsListener(tmp_path)
    listener.process.stop()
    del listener.environment["CHENGMA_MLLP_KEY"]
    listener.process.environment = listener.environment
    listener.process.start()
    assert listener.process._process.wait(30) == 1
    assert "set all of" in listener.process.log_text()
