"""A listener whose port is taken does not start, and says which setting changes the port."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest

from backend.cli.preflight import NotReady
from backend.settings import Settings
from integrations.his.hl7v2.listener_metrics import ListenerMetrics
from integrations.his.hl7v2.listener_process import _listening, _served
from integrations.his.hl7v2.mllp_listener import Limits
from tests.keys import new_keys

UNUSED = cast("Any", None)


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port at which another process listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def refusal(started: AbstractAsyncContextManager[object]) -> str:
    async def start() -> None:
        async with started:
            pytest.fail("it listens at a port that is taken")

    with pytest.raises(NotReady) as refused:
        asyncio.run(start())
    return str(refused.value)


def settings(folder: Path, **ports: int) -> Settings:
    return Settings(store=f"sqlite:///{folder}/city.db", keys=new_keys(folder / "keys"), **ports)  # type: ignore[arg-type]


def test_a_port_of_messages_that_is_taken_is_named_with_its_settings(tmp_path: Path, taken: int) -> None:
    said = refusal(_listening(settings(tmp_path, mllp_port=taken), UNUSED, None, Limits()))
    assert said.startswith(f"cannot listen at 127.0.0.1:{taken}: address already in use. ")
    assert said.endswith("set CHENGMA_MLLP_HOST and CHENGMA_MLLP_PORT")


def test_a_port_of_metrics_that_is_taken_is_named_with_its_settings(tmp_path: Path, taken: int) -> None:
    said = refusal(
        _served(settings(tmp_path, mllp_metrics_port=taken), ListenerMetrics(), UNUSED, lambda: iter(()), UNUSED)
    )
    assert said.startswith(f"cannot listen at 127.0.0.1:{taken}: Address already in use. ")
    assert said.endswith("set CHENGMA_HOST and CHENGMA_MLLP_METRICS_PORT")
