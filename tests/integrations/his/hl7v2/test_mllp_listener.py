import asyncio
import logging
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK
from integrations.his.hl7v2.mllp_listener import Limits, Peer, serve_mllp
from tests.integrations.his.hl7v2.mllp_scene import (
    HOST,
    Hospital,
    accepts_messages,
    admission,
    is_disconnected,
    msa,
    run,
    wait_for,
)

# acknowledgements


def test_a_message_is_acknowledged() -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.serve() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode())
            assert msa(await client.receive()) == ("AA", "M-1")
            assert (hospital.names, hospital.peers) == (["张三"], [Peer(HOST)])

    run(conversation())


def test_the_accept_acknowledgement_precedes_the_application_acknowledgement() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission(acknowledgement="AL|AL").encode())
            await client.send(admission(2, acknowledgement="NE|NE").encode())
            await client.send(admission(3, acknowledgement="AL|ER").encode())
            replies = [msa(await client.receive()) for _ in range(3)]
            assert replies == [("CA", "M-1"), ("AA", "M-1"), ("CA", "M-3")]

    run(conversation())


def test_the_accept_acknowledgement_does_not_wait_for_the_application() -> None:
    async def conversation() -> None:
        received = asyncio.Event()

        async def handle(_raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            yield b"committed"
            await received.wait()
            yield b"done"

        async with serve_mllp(handle, HOST, 0) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(b"MSH")
            assert await client.receive() == b"committed"
            received.set()
            assert await client.receive() == b"done"

    run(conversation())


def test_messages_are_processed_in_order_however_they_are_split_into_packets() -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.serve() as listener, MllpClient(HOST, listener.port) as client:
            for byte in START_BLOCK + admission().encode() + END_BLOCK:
                await client.send_raw(bytes([byte]))
                await asyncio.sleep(0)
            await client.send_raw(b"".join(START_BLOCK + admission(n).encode() + END_BLOCK for n in range(2, 50)))
            assert [msa(await client.receive())[1] for _ in range(49)] == [f"M-{n}" for n in range(1, 50)]
            assert len(hospital.names) == 49

    run(conversation())


def test_a_sender_that_half_closes_its_connection_still_gets_its_replies() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener:
            reader, writer = await asyncio.open_connection(HOST, listener.port)
            writer.write(START_BLOCK + admission().encode() + END_BLOCK)
            writer.write_eof()
            assert msa((await reader.read())[1:-2]) == ("AA", "M-1")
            writer.close()
            await writer.wait_closed()

    run(conversation())


# invalid input


def test_bytes_outside_a_block_are_dropped_and_counted() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener:
            async with MllpClient(HOST, listener.port) as client:
                for number in range(5):
                    await client.send_raw(
                        b"\r\nGET / HTTP/1.1\r\n" + START_BLOCK + admission(number).encode() + END_BLOCK + b"\n"
                    )
                    assert msa(await client.receive()) == ("AA", f"M-{number}")
            await wait_for(lambda: listener.counters["dropped_bytes"] > 0)
            assert listener.counters["dropped_bytes"] == 5 * len("\r\nGET / HTTP/1.1\r\n\n")

    run(conversation())


@pytest.mark.parametrize("noise", [b"x", START_BLOCK, END_BLOCK], ids=["letters", "starts", "ends"])
def test_a_sender_of_stray_bytes_is_disconnected(noise: bytes) -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener, MllpClient(HOST, listener.port) as client:
            await client.send_raw(noise * 2_000)
            assert await is_disconnected(client)
            assert await accepts_messages(listener)

    run(conversation())


def test_a_message_that_never_ends_is_disconnected_even_while_bytes_arrive(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        limits = Limits(message_timeout_seconds=0.3)
        async with Hospital().serve(limits) as listener, MllpClient(HOST, listener.port) as client:
            await client.send_raw(START_BLOCK + b"MSH|")

            async def drip() -> None:
                while True:
                    await client.send_raw(b"x")
                    await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            assert await is_disconnected(client)
            dripping.cancel()
            await asyncio.wait([dripping])
            assert await accepts_messages(listener)

    with caplog.at_level(logging.WARNING, "chengma.his"):
        run(conversation())
    assert "message not completed in time" in caplog.text


def test_an_idle_connection_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        async with (
            Hospital().serve(Limits(idle_timeout_seconds=0.2)) as listener,
            MllpClient(HOST, listener.port) as client,
        ):
            await client.send(admission().encode())
            await client.receive()
            assert await is_disconnected(client)
            assert await accepts_messages(listener)

    run(conversation())
    assert "disconnected: idle" in caplog.text


@pytest.mark.parametrize("end", [b"\x1c", b"\x1c\n"])
def test_a_block_without_its_carriage_return_is_answered_within_a_second(end: bytes) -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener, MllpClient(HOST, listener.port, timeout_seconds=1) as client:
            for number in range(2):
                await client.send_raw(START_BLOCK + admission(number).encode() + end)
                assert msa(await client.receive()) == ("AA", f"M-{number}")
            await client.send_raw(b"\r" + START_BLOCK + admission(3).encode() + END_BLOCK)
            assert msa(await client.receive()) == ("AA", "M-3")

    run(conversation())


def test_a_block_without_its_carriage_return_is_complete_when_its_sender_half_closes() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener:
            reader, writer = await asyncio.open_connection(HOST, listener.port)
            writer.write(START_BLOCK + admission().encode() + b"\x1c")
            writer.write_eof()
            assert msa((await reader.read())[1:-2]) == ("AA", "M-1")
            writer.close()
            await writer.wait_closed()

    run(conversation())


def test_a_carriage_return_that_comes_late_ends_its_block_once() -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.serve() as listener, MllpClient(HOST, listener.port) as client:
            await client.send_raw(START_BLOCK + admission().encode() + b"\x1c")
            await asyncio.sleep(0.1)
            await client.send_raw(b"\r" + START_BLOCK + admission(2).encode() + END_BLOCK)
            assert [msa(await client.receive()) for _ in range(2)] == [("AA", "M-1"), ("AA", "M-2")]
            assert len(hospital.names) == 2

    run(conversation())


def test_a_disconnection_within_a_message_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.serve() as listener:
            async with MllpClient(HOST, listener.port) as client:
                await client.send_raw(START_BLOCK + admission().encode())
            await wait_for(lambda: "disconnected in the middle of a message" in caplog.text)
            assert await accepts_messages(listener)
            assert len(hospital.names) == 1

    run(conversation())
    assert "张三" not in caplog.text


def test_a_message_of_fifty_megabytes_is_rejected_in_little_memory() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener, MllpClient(HOST, listener.port) as client:
            chunk = b"x" * 65_536
            tracemalloc.start()
            await client.send_raw(START_BLOCK + admission().encode() + b"NTE|1|")
            for _ in range(800):
                await client.send_raw(chunk)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 4_000_000
            reply = await client.receive()
            assert msa(reply) == ("AR", "M-1")
            assert "exceeds 1048576 bytes" in reply.decode()
            assert await accepts_messages(listener)

    run(conversation())


def test_the_reply_to_an_oversized_message_arrives_while_its_sender_still_writes() -> None:
    async def conversation() -> None:
        limits = Limits(max_message_bytes=10_000, linger_seconds=1)
        async with Hospital().serve(limits) as listener, MllpClient(HOST, listener.port) as client:
            await client.send_raw(START_BLOCK + admission().encode() + b"x" * 200_000 + END_BLOCK)
            assert msa(await client.receive()) == ("AR", "M-1")
            assert await is_disconnected(client)

    run(conversation())


def test_ten_thousand_segments_are_rejected_and_the_connection_stays_open() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode() + b"FT1|1||||||A1\r" * 10_000)
            reply = await client.receive()
            assert msa(reply) == ("AR", "M-1")
            assert "more than 2000 segments" in reply.decode()
            await client.send(admission(2).encode())
            assert msa(await client.receive()) == ("AA", "M-2")

    run(conversation())


def test_a_message_in_the_wrong_encoding_is_rejected_and_the_connection_stays_open() -> None:
    async def conversation() -> None:
        async with Hospital().serve() as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission(charset="UNICODE UTF-8").encode("gb18030"))
            reply = await client.receive()
            assert msa(reply) == ("AR", "M-1")
            assert "is not UTF-8" in reply.decode()
            await client.send(admission(2).encode())
            assert msa(await client.receive()) == ("AA", "M-2")

    run(conversation())


def test_a_sender_that_does_not_read_its_replies_is_disconnected(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        async def handle(_raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            yield b"x" * 1_000_000

        limits = Limits(write_timeout_seconds=0.3)
        async with serve_mllp(handle, HOST, 0, limits=limits) as listener:
            reader, writer = await asyncio.open_connection(HOST, listener.port, limit=1_000)
            writer.write((START_BLOCK + b"MSH" + END_BLOCK) * 30)
            await wait_for(lambda: "does not read the replies" in caplog.text)
            assert listener.counters["messages"] < 30
            with suppress(ConnectionError):
                while await reader.read(65_536):
                    pass
            writer.transport.abort()

    run(conversation())


def test_a_connection_processes_one_message_at_a_time() -> None:
    async def conversation() -> None:
        running, maximum, proceed = 0, 0, asyncio.Event()

        async def handle(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            nonlocal running, maximum
            running += 1
            maximum = max(maximum, running)
            await proceed.wait()
            yield raw
            running -= 1

        async with serve_mllp(handle, HOST, 0) as listener, MllpClient(HOST, listener.port) as client:
            for number in range(20):
                await client.send(b"%d" % number)
            await asyncio.sleep(0.1)
            assert listener.counters["messages"] == 1
            proceed.set()
            assert [await client.receive() for _ in range(20)] == [b"%d" % number for number in range(20)]
            assert maximum == 1

    run(conversation())


def test_a_connection_over_the_limit_is_refused_until_another_ends() -> None:
    async def conversation() -> None:
        async with Hospital().serve(Limits(max_connections=2)) as listener:
            async with MllpClient(HOST, listener.port), MllpClient(HOST, listener.port):
                async with MllpClient(HOST, listener.port) as third:
                    assert await is_disconnected(third)
                assert listener.counters["refused"] == 1
            await wait_for(lambda: len(listener._tasks) < 2)
            assert await accepts_messages(listener)

    run(conversation())


def test_a_message_whose_handler_fails_is_disconnected_without_a_reply(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation() -> None:
        hospital = Hospital()

        async def handle(raw: bytes, peer: Peer) -> AsyncGenerator[bytes, None]:
            if raw == b"poison":
                raise TimeoutError("the store does not answer")
            async for reply in hospital.handle(raw, peer):
                yield reply

        async with serve_mllp(handle, HOST, 0) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(b"poison")
            assert await is_disconnected(client)
            assert await accepts_messages(listener)

    run(conversation())
    assert "a message from 127.0.0.1 failed" in caplog.text
    assert "the store does not answer" in caplog.text


# shutdown


def test_a_stopping_listener_finishes_messages_and_closes_idle_connections() -> None:
    async def conversation() -> None:
        started = asyncio.Event()

        async def handle(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            started.set()
            await asyncio.sleep(0.3)
            yield raw

        serving = serve_mllp(handle, HOST, 0)
        listener = await serving.__aenter__()
        async with MllpClient(HOST, listener.port) as idle, MllpClient(HOST, listener.port) as busy:
            await busy.send_raw(START_BLOCK + b"first" + END_BLOCK + START_BLOCK + b"second" + END_BLOCK)
            await started.wait()
            await serving.__aexit__(None, None, None)
            assert await busy.receive() == b"first"
            assert await is_disconnected(busy)
            assert await is_disconnected(idle)
        with pytest.raises(ConnectionRefusedError):
            await MllpClient(HOST, listener.port).__aenter__()

    run(conversation())


def test_a_message_that_exceeds_the_shutdown_grace_period_is_cancelled() -> None:
    async def conversation() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def handle(raw: bytes, _peer: Peer) -> AsyncGenerator[bytes, None]:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()
            yield raw

        serving = serve_mllp(handle, HOST, 0, limits=Limits(shutdown_grace_seconds=0.2))
        listener = await serving.__aenter__()
        async with MllpClient(HOST, listener.port) as client:
            await client.send(b"MSH")
            await started.wait()
            await serving.__aexit__(None, None, None)
            assert cancelled.is_set()
            assert await is_disconnected(client)

    run(conversation())
