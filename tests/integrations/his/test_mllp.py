import asyncio
import logging
import ssl
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import hl7
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hl7.mllp import open_hl7_connection
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.hl7v2.acknowledgement import acknowledge, wanted_acknowledgements
from integrations.his.hl7v2.error import Hl7Error
from integrations.his.hl7v2.message import Encoding, header_of, read, too_long
from integrations.his.hl7v2.mllp import (
    END,
    START,
    Blocks,
    BlockTooLong,
    Limits,
    MllpClient,
    MllpListener,
    Peer,
    client_tls,
    serve_mllp,
    server_tls,
)

HOST = "127.0.0.1"
TRAILING = "丨侓倊亅"  # in GB18030 their second bytes are | ^ ~ \ in some order


def admission(number: int = 1, name: str = "张三", *, asks: str = "", charset: str = "") -> str:
    header = (
        f"MSH|^~\\&|HIS|H1|CHENGMA|CITY|20261124093000||ADT^A01^ADT_A01|M-{number}|P|2.5|||{asks or '|'}||{charset}"
    )
    return f"{header}\rPID|1||P-{number}^^^HIS^MR||{name}\r"


class Hospital:
    """What a listener of a test does: it keeps what it read, and answers as the sender asks."""

    def __init__(self, encoding: Encoding = "utf-8") -> None:
        self.encoding: Encoding = encoding
        self.names: list[str] = []
        self.peers: list[Peer] = []

    async def take(self, raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
        self.peers.append(peer)
        now = datetime.now(UTC)
        try:
            message = read(raw, self.encoding)
            wanted = wanted_acknowledgements(message)
        except Hl7Error as error:
            yield acknowledge(header_of(raw, self.encoding), "AR", [error], control_id="C-0", now=now)
            return
        if wanted.wants_commit(ok=True):
            yield acknowledge(message, "CA", control_id="C-1", now=now)
        self.names.append(message.segment("PID").field(5).component(1).text)
        if wanted.wants_application(ok=True):
            yield acknowledge(message, "AA", control_id="C-2", now=now)

    def refuse(self, head: bytes, _peer: Peer) -> bytes:
        error = too_long(Limits().message_bytes)
        return acknowledge(header_of(head, self.encoding), "AR", [error], control_id="C-0", now=datetime.now(UTC))

    def listens(
        self, limits: Limits | None = None, tls: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[MllpListener]:
        return serve_mllp(self.take, HOST, 0, refuse=self.refuse, tls=tls, limits=limits)


def run(conversation: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await conversation

    asyncio.run(bounded())


def msa(answer: bytes, encoding: Encoding = "utf-8") -> tuple[str, str]:
    segment = read(answer, encoding).segment("MSA")
    return segment.field(1).text, segment.field(2).text


async def serves(listener: MllpListener) -> bool:
    """Tell whether somebody else is served."""
    async with MllpClient(HOST, listener.port) as other:
        await other.send(admission(99).encode())
        return msa(await other.receive()) == ("AA", "M-99")


async def hangs_up(client: MllpClient) -> bool:
    """Tell whether the listener ends the connection."""
    with pytest.raises(ConnectionError):
        await client.receive()
    return True


# blocks


MESSAGES = st.lists(
    st.binary(min_size=1, max_size=20).filter(lambda raw: not set(raw) & {0x0B, 0x1C}), min_size=1, max_size=5
)
STREAMS = st.lists(st.sampled_from([START, END, END[:1], END[1:], b"a", b"MSH|"]), max_size=30).map(b"".join)


def blocks_of(pieces: list[bytes]) -> tuple[list[bytes], bool, int, int]:
    blocks = Blocks(1_000)
    found = [message for piece in pieces for message in blocks.feed(piece)]
    return found, blocks.open, blocks.stray, blocks.dropped


@given(MESSAGES)
def test_every_message_comes_out_of_its_block(messages: list[bytes]) -> None:
    stream = b"".join(START + message + END for message in messages)
    assert blocks_of([stream]) == (messages, False, 0, 0)


@given(STREAMS, st.data())
def test_however_a_stream_is_cut_into_packets_it_holds_the_same_messages(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = blocks_of([stream])
    assert blocks_of(pieces) == whole
    assert blocks_of([bytes([byte]) for byte in stream]) == whole


def test_a_new_start_gives_up_the_block_before_it() -> None:
    assert blocks_of([START + b"half" + START + b"whole" + END]) == ([b"whole"], False, 0, 5)


def test_an_end_mark_counts_only_whole() -> None:
    assert blocks_of([START + b"a\x1cb\rc" + END])[0] == [b"a\x1cb\rc"]


@pytest.mark.parametrize("size", [1, 7, 2_000])
def test_a_block_is_too_long_however_it_is_cut(size: int) -> None:
    stream = START + b"x" * 1_001 + END
    with pytest.raises(BlockTooLong) as caught:
        blocks_of([stream[at : at + size] for at in range(0, len(stream), size)])
    assert caught.value.head == b"x" * 1_001
    assert blocks_of([START + b"x" * 1_000 + END])[0] == [b"x" * 1_000]


# conversations


def test_a_message_is_answered() -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.listens() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode())
            assert msa(await client.receive()) == ("AA", "M-1")
            assert (hospital.names, hospital.peers) == (["张三"], [Peer(HOST)])

    run(conversation())


def test_a_commit_answer_comes_before_the_answer_of_the_application() -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission(asks="AL|AL").encode())
            await client.send(admission(2, asks="NE|NE").encode())
            await client.send(admission(3, asks="AL|ER").encode())
            answers = [msa(await client.receive()) for _ in range(3)]
            assert answers == [("CA", "M-1"), ("AA", "M-1"), ("CA", "M-3")]

    run(conversation())


def test_the_commit_answer_does_not_wait_for_the_application() -> None:
    async def conversation() -> None:
        received = asyncio.Event()

        async def take(_raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            yield b"committed"
            await received.wait()
            yield b"done"

        async with serve_mllp(take, HOST, 0) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(b"MSH")
            assert await client.receive() == b"committed"
            received.set()
            assert await client.receive() == b"done"

    run(conversation())


def test_a_message_in_many_packets_and_many_messages_in_one_packet_are_taken_in_order() -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.listens() as listener, MllpClient(HOST, listener.port) as client:
            for byte in START + admission().encode() + END:
                await client.write(bytes([byte]))
                await asyncio.sleep(0)
            await client.write(b"".join(START + admission(n).encode() + END for n in range(2, 50)))
            assert [msa(await client.receive())[1] for _ in range(49)] == [f"M-{n}" for n in range(1, 50)]
            assert len(hospital.names) == 49

    run(conversation())


def test_a_sender_that_ends_its_side_still_gets_its_answers() -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener:
            reader, writer = await asyncio.open_connection(HOST, listener.port)
            writer.write(START + admission().encode() + END)
            writer.write_eof()
            assert msa((await reader.read())[1:-2]) == ("AA", "M-1")
            writer.close()
            await writer.wait_closed()

    run(conversation())


# clients that others wrote


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "UNICODE UTF-8"), ("gb18030", "GB 18030-2000")])
def test_the_client_of_python_hl7_is_understood_and_understands(encoding: Encoding, charset: str) -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.listens() as listener:
            reader, writer = await open_hl7_connection(HOST, listener.port, encoding=encoding)
            for number, name in enumerate(TRAILING, 1):
                writer.writemessage(hl7.parse(admission(number, name, charset=charset)))
                await writer.drain()
                answer = await reader.readmessage()
                assert (answer["MSA.F1"], answer["MSA.F2"]) == ("AA", f"M-{number}")
                assert answer["MSH.F18"] == charset
            writer.close()
            await writer.wait_closed()
            assert "".join(hospital.names) == TRAILING

    run(conversation())


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "UNICODE UTF-8"), ("gb18030", "GB 18030-2000")])
def test_mllp_send_gets_an_answer_for_each_message_of_a_file(encoding: str, charset: str, tmp_path: Path) -> None:
    async def conversation() -> None:
        sent = [admission(number, name, charset=charset) for number, name in enumerate(TRAILING, 1)]
        file = tmp_path / "messages.hl7"
        file.write_bytes(b"".join(START + message.encode(encoding) + END for message in sent))
        hospital = Hospital()
        script = str(Path(sys.executable).with_name("mllp_send"))
        async with hospital.listens() as listener:
            arguments = ["--port", str(listener.port), "--file", str(file), HOST]
            process = await asyncio.create_subprocess_exec(script, *arguments, stdout=subprocess.PIPE)
            said, _ = await process.communicate()
        assert process.returncode == 0
        assert said.decode(encoding).count("MSA|AA|M-") == 4
        assert "".join(hospital.names) == TRAILING

    run(conversation())


# hostile senders


def test_bytes_outside_a_block_are_skipped_and_counted() -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener:
            async with MllpClient(HOST, listener.port) as client:
                for number in range(5):
                    await client.write(b"\r\nGET / HTTP/1.1\r\n" + START + admission(number).encode() + END + b"\n")
                    assert msa(await client.receive()) == ("AA", f"M-{number}")
            await asyncio.sleep(0.1)
            assert listener.counted["dropped_bytes"] == 5 * len("\r\nGET / HTTP/1.1\r\n\n")

    run(conversation())


@pytest.mark.parametrize("noise", [b"x", START, END], ids=["letters", "starts", "ends"])
def test_a_sender_of_nothing_but_noise_is_cut_off(noise: bytes) -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener, MllpClient(HOST, listener.port) as client:
            await client.write(noise * 2_000)
            assert await hangs_up(client)
            assert await serves(listener)

    run(conversation())


def test_a_block_that_never_ends_is_cut_off_even_if_bytes_keep_coming(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        limits = Limits(message_seconds=0.3)
        async with Hospital().listens(limits) as listener, MllpClient(HOST, listener.port) as client:
            await client.write(START + b"MSH|")

            async def drip() -> None:
                while True:
                    await client.write(b"x")
                    await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            assert await hangs_up(client)
            dripping.cancel()
            await asyncio.wait([dripping])
            assert await serves(listener)

    with caplog.at_level(logging.WARNING, "chengma.his"):
        run(conversation())
    assert "does not end its message" in caplog.text


def test_a_connection_that_stays_idle_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        async with Hospital().listens(Limits(idle_seconds=0.2)) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode())
            await client.receive()
            assert await hangs_up(client)
            assert await serves(listener)

    run(conversation())
    assert "it is idle" in caplog.text


def test_a_sender_that_leaves_within_a_message_leaves_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.listens() as listener:
            async with MllpClient(HOST, listener.port) as client:
                await client.write(START + admission().encode())
            await asyncio.sleep(0.1)
            assert await serves(listener)
            assert len(hospital.names) == 1

    run(conversation())
    assert "left within a message" in caplog.text
    assert "张三" not in caplog.text


def test_fifty_megabytes_in_a_block_are_refused_in_little_memory() -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener, MllpClient(HOST, listener.port) as client:
            chunk = b"x" * 65_536
            tracemalloc.start()
            await client.write(START + admission().encode() + b"NTE|1|")
            for _ in range(800):
                await client.write(chunk)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 4_000_000
            answer = await client.receive()
            assert msa(answer) == ("AR", "M-1")
            assert "exceeds 1048576 bytes" in answer.decode()
            assert await serves(listener)

    run(conversation())


def test_the_answer_of_a_message_that_is_too_long_arrives_though_its_sender_goes_on() -> None:
    async def conversation() -> None:
        limits = Limits(message_bytes=10_000, linger_seconds=1)
        async with Hospital().listens(limits) as listener, MllpClient(HOST, listener.port) as client:
            await client.write(START + admission().encode() + b"x" * 200_000 + END)
            assert msa(await client.receive()) == ("AR", "M-1")
            assert await hangs_up(client)

    run(conversation())


def test_ten_thousand_segments_are_refused_and_the_connection_goes_on() -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode() + b"FT1|1||||||A1\r" * 10_000)
            answer = await client.receive()
            assert msa(answer) == ("AR", "M-1")
            assert "more than 2000 segments" in answer.decode()
            await client.send(admission(2).encode())
            assert msa(await client.receive()) == ("AA", "M-2")

    run(conversation())


def test_a_message_in_the_wrong_encoding_is_refused_and_the_connection_goes_on() -> None:
    async def conversation() -> None:
        async with Hospital().listens() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission(charset="UNICODE UTF-8").encode("gb18030"))
            answer = await client.receive()
            assert msa(answer) == ("AR", "M-1")
            assert "is not UTF-8" in answer.decode()
            await client.send(admission(2).encode())
            assert msa(await client.receive()) == ("AA", "M-2")

    run(conversation())


def test_a_sender_that_does_not_read_its_answers_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        async def take(_raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            yield b"x" * 1_000_000

        limits = Limits(write_seconds=0.3)
        async with serve_mllp(take, HOST, 0, limits=limits) as listener:
            reader, writer = await asyncio.open_connection(HOST, listener.port, limit=1_000)
            writer.write((START + b"MSH" + END) * 30)
            await asyncio.sleep(1.5)
            assert listener.counted["messages"] < 30
            assert "does not read its answers" in caplog.text
            with suppress(ConnectionError):
                while await reader.read(65_536):
                    pass
            writer.transport.abort()

    run(conversation())


def test_a_connection_takes_one_message_at_a_time_and_lets_the_others_wait() -> None:
    async def conversation() -> None:
        at_once, most, go_on = 0, 0, asyncio.Event()

        async def take(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await go_on.wait()
            yield raw
            at_once -= 1

        async with serve_mllp(take, HOST, 0) as listener, MllpClient(HOST, listener.port) as client:
            for number in range(20):
                await client.send(b"%d" % number)
            await asyncio.sleep(0.1)
            assert listener.counted["messages"] == 1
            go_on.set()
            assert [await client.receive() for _ in range(20)] == [b"%d" % number for number in range(20)]
            assert most == 1

    run(conversation())


def test_one_connection_too_many_is_refused_until_another_ends() -> None:
    async def conversation() -> None:
        async with Hospital().listens(Limits(connections=2)) as listener:
            async with MllpClient(HOST, listener.port), MllpClient(HOST, listener.port):
                async with MllpClient(HOST, listener.port) as third:
                    assert await hangs_up(third)
                assert listener.counted["refused"] == 1
            await asyncio.sleep(0.1)
            assert await serves(listener)

    run(conversation())


def test_a_message_that_cannot_be_taken_ends_its_connection_unanswered(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        hospital = Hospital()

        async def take(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
            if raw == b"poison":
                raise TimeoutError("the store does not answer")
            async for answer in hospital.take(raw, peer):
                yield answer

        async with serve_mllp(take, HOST, 0) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(b"poison")
            assert await hangs_up(client)
            assert await serves(listener)

    run(conversation())
    assert "could not be taken" in caplog.text
    assert "the store does not answer" in caplog.text


# the end


def test_a_listener_that_ends_lets_a_message_come_to_its_end_and_hangs_up_on_the_idle() -> None:
    async def conversation() -> None:
        begun = asyncio.Event()

        async def take(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            begun.set()
            await asyncio.sleep(0.3)
            yield raw

        serving = serve_mllp(take, HOST, 0)
        listener = await serving.__aenter__()
        async with MllpClient(HOST, listener.port) as idle, MllpClient(HOST, listener.port) as busy:
            await busy.write(START + b"first" + END + START + b"second" + END)
            await begun.wait()
            await serving.__aexit__(None, None, None)
            assert await busy.receive() == b"first"
            assert await hangs_up(busy)
            assert await hangs_up(idle)
        with pytest.raises(ConnectionRefusedError):
            await MllpClient(HOST, listener.port).__aenter__()

    run(conversation())


def test_a_message_that_does_not_come_to_its_end_in_time_is_given_up() -> None:
    async def conversation() -> None:
        given_up = asyncio.Event()

        async def take(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            try:
                await asyncio.sleep(60)
            finally:
                given_up.set()
            yield raw

        serving = serve_mllp(take, HOST, 0, limits=Limits(grace_seconds=0.2))
        listener = await serving.__aenter__()
        async with MllpClient(HOST, listener.port) as client:
            await client.send(b"MSH")
            await asyncio.sleep(0.1)
            await serving.__aexit__(None, None, None)
            assert given_up.is_set()
            assert await hangs_up(client)

    run(conversation())


# TLS


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
        """Give the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, secret = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate.write_bytes(self._sign(subject, key.public_key(), authority=False))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        return certificate, secret


async def admit_under(tls: ssl.SSLContext, listener: MllpListener) -> tuple[str, str]:
    async with MllpClient(HOST, listener.port, tls=tls) as client:
        await client.send(admission().encode())
        return msa(await client.receive())


def test_under_tls_the_name_in_the_clients_certificate_tells_who_sends(tmp_path: Path) -> None:
    async def conversation() -> None:
        city = Authority(tmp_path, "city")
        tls = server_tls(*city.certify("chengma"), city.own)
        mine = client_tls(*city.certify("first-hospital"), city.own)
        hospital = Hospital()
        async with hospital.listens(tls=tls) as listener:
            assert await admit_under(mine, listener) == ("AA", "M-1")
            assert hospital.peers == [Peer(HOST, "first-hospital")]

    run(conversation())


def test_under_tls_a_client_without_a_certificate_or_with_a_strangers_is_not_let_in(tmp_path: Path) -> None:
    async def conversation() -> None:
        city, stranger = Authority(tmp_path, "city"), Authority(tmp_path, "stranger")
        tls = server_tls(*city.certify("chengma"), city.own)
        anonymous = ssl.create_default_context(cafile=str(city.own))
        foreign = client_tls(*stranger.certify("second-hospital"), city.own)
        hospital = Hospital()
        async with hospital.listens(tls=tls) as listener:
            for theirs in (anonymous, foreign):
                with pytest.raises(OSError):  # noqa: PT011  the alert, or the end of the connection
                    await admit_under(theirs, listener)
            mine = client_tls(*city.certify("first-hospital"), city.own)
            assert await admit_under(mine, listener) == ("AA", "M-1")
        assert [peer.name for peer in hospital.peers] == ["first-hospital"]

    run(conversation())


def test_a_sender_without_tls_gets_nothing_from_a_listener_with_it(tmp_path: Path) -> None:
    async def conversation() -> None:
        city = Authority(tmp_path, "city")
        hospital = Hospital()
        tls = server_tls(*city.certify("chengma"), city.own)
        async with hospital.listens(tls=tls) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode())
            assert await hangs_up(client)
        assert hospital.peers == []

    run(conversation())
