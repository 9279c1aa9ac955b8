"""Idle connections: those that never sent a message end soon, those of senders are kept for long."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest

from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.hl7v2.mllp_frames import START_BLOCK
from integrations.his.hl7v2.mllp_listener import Limits, MllpListener
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


async def connect(stack: AsyncExitStack, listener: MllpListener, count: int = 1) -> list[MllpClient]:
    return [await stack.enter_async_context(MllpClient(HOST, listener.port)) for _ in range(count)]


async def send(client: MllpClient, number: int) -> None:
    await client.send(admission(number).encode())
    assert msa(await client.receive()) == ("AA", f"M-{number}")


@pytest.mark.parametrize("sent", [b"", b"stray"])
def test_a_connection_without_a_message_is_closed_while_that_of_a_silent_sender_is_kept(sent: bytes) -> None:
    async def conversation() -> None:
        limits = Limits(first_message_timeout_seconds=0.3)
        async with Hospital().serve(limits) as listener, AsyncExitStack() as stack:
            sender, probe = await connect(stack, listener, 2)
            await send(sender, 1)
            await probe.send_raw(sent)
            assert await is_disconnected(probe)
            await asyncio.sleep(0.3)
            await send(sender, 2)

    run(conversation())


def test_a_silent_sender_is_kept_over_night_and_probed_by_tcp() -> None:
    async def conversation() -> None:
        assert Limits().idle_timeout_seconds == 24 * 3_600
        async with Hospital().serve() as listener, AsyncExitStack() as stack:
            (sender,) = await connect(stack, listener)
            await send(sender, 1)
            (task,) = listener._tasks
            coroutine = task.get_coro()
            connection = coroutine.cr_frame.f_locals["writer"].get_extra_info("socket")
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

    run(conversation())


def test_one_address_cannot_take_all_connections() -> None:
    async def conversation() -> None:
        limits = Limits(max_connections_per_address=3)
        async with Hospital().serve(limits) as listener, AsyncExitStack() as stack:
            first, *_ = await connect(stack, listener, 3)
            (fourth,) = await connect(stack, listener)
            assert await is_disconnected(fourth)
            assert listener.counters["refused"] == 1
            await send(first, 1)
            reader, writer = await asyncio.open_connection(HOST, listener.port, local_addr=("127.0.0.2", 0))
            writer.write(b"\x0b" + admission(2).encode() + b"\x1c\x0d")
            assert msa((await reader.readuntil(b"\x1c"))[1:-1]) == ("AA", "M-2")
            writer.close()
            await writer.wait_closed()

    run(conversation())


def test_idle_connections_give_way_to_new_ones_and_those_without_a_message_first() -> None:
    async def conversation() -> None:
        limits = Limits(max_connections=4, reclaim_seconds=0.2)
        async with Hospital().serve(limits) as listener, AsyncExitStack() as stack:
            sender, silent, dripping, stray = await connect(stack, listener, 4)
            await send(sender, 1)
            await dripping.send_raw(START_BLOCK)
            await asyncio.sleep(0.3)
            for part in (b"M", b"S"):
                await dripping.send_raw(part)
                await stray.send_raw(part)
            for evicted in (silent, stray, dripping):
                assert await accepts_messages(listener)
                assert await is_disconnected(evicted)
                await wait_for(lambda: len(listener._tasks) < 4)
                await connect(stack, listener)
            await send(sender, 2)

    run(conversation())
