"""A message handler, messages and certificates for the tests of the MLLP listener."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integrations.his.hl7v2.acknowledgement import acknowledge, requested_acknowledgements
from integrations.his.hl7v2.errors import Hl7Error
from integrations.his.hl7v2.message import message_too_long, parse_header, parse_message
from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_listener import Limits, MllpListener, Peer, serve_mllp
from integrations.his.hl7v2.syntax import Encoding

HOST = "127.0.0.1"
TRAILING = "丨侓倊亅"  # in GB18030 their second bytes are | ^ ~ \ in some order


def admission(number: int = 1, name: str = "张三", *, acknowledgement: str = "", charset: str = "") -> str:
    header = f"MSH|^~\\&|HIS|H1|CHENGMA|CITY|20261124093000||ADT^A01^ADT_A01|M-{number}|P|2.5"
    return f"{header}|||{acknowledgement or '|'}||{charset}\rPID|1||P-{number}^^^HIS^MR||{name}\r"


class Hospital:
    """A message handler that records the patients and acknowledges as the sender requests."""

    def __init__(self, encoding: Encoding = "utf-8") -> None:
        self.encoding: Encoding = encoding
        self.names: list[str] = []
        self.peers: list[Peer] = []

    async def handle(self, raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
        self.peers.append(peer)
        now = datetime.now(UTC)
        try:
            message = parse_message(raw, self.encoding)
            requested = requested_acknowledgements(message)
        except Hl7Error as error:
            yield acknowledge(parse_header(raw, self.encoding), "AR", [error], control_id="C-0", now=now)
            return
        if requested.accept_due(ok=True):
            yield acknowledge(message, "CA", control_id="C-1", now=now)
        self.names.append(message.segment("PID").field(5).component(1).text)
        if requested.application_due(ok=True):
            yield acknowledge(message, "AA", control_id="C-2", now=now)

    def handle_oversize(self, head: bytes, _peer: Peer) -> bytes:
        error = message_too_long(Limits().max_message_bytes)
        return acknowledge(parse_header(head, self.encoding), "AR", [error], control_id="C-0", now=datetime.now(UTC))

    def serve(
        self, limits: Limits | None = None, tls: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[MllpListener]:
        return serve_mllp(self.handle, HOST, 0, handle_oversize=self.handle_oversize, tls=tls, limits=limits)


def run(conversation: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await conversation

    asyncio.run(bounded())


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; `run` limits the time."""
    while not condition():  # noqa: ASYNC110  the listener does not signal its events
        await asyncio.sleep(0.01)


def msa(reply: bytes, encoding: Encoding = "utf-8") -> tuple[str, str]:
    segment = parse_message(reply, encoding).segment("MSA")
    return segment.field(1).text, segment.field(2).text


async def accepts_messages(listener: MllpListener) -> bool:
    """Return whether another connection is served."""
    async with MllpClient(HOST, listener.port) as other:
        await other.send(admission(99).encode())
        return msa(await other.receive()) == ("AA", "M-99")


async def is_disconnected(client: MllpClient) -> bool:
    """Return True once the listener closes the connection."""
    with pytest.raises(ConnectionError):
        await client.receive()
    return True


class Authority:
    """Certifies servers and clients for a test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.own = folder / f"{name}.pem"
        self.own.write_bytes(self._sign(self.subject, self.key.public_key(), authority=True))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool) -> bytes:
        now = datetime.now(UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder(self.subject, subject, key, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certify(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, secret = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate.write_bytes(self._sign(subject, key.public_key(), authority=False))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        return certificate, secret
