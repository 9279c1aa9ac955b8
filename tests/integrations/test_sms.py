import asyncio
import logging

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.settings import Settings
from integrations.sms import sandbox


def test_the_log_contains_neither_the_text_nor_the_phone_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "chengma.sms"):
        asyncio.run(sandbox.SandboxSms(use_outbox=False).send("+8613912345678", "Code 123456"))
    assert "+86139****5678" in caplog.text
    assert "123456" not in caplog.text
    assert "13912345678" not in caplog.text


def test_the_outbox_holds_the_latest_thousand_messages_newest_first(client: TestClient[Litestar]) -> None:
    async def send() -> None:
        for number in range(sandbox.MAX_OUTBOX + 1):
            await sandbox.SandboxSms(use_outbox=True).send("+8613900000999", f"message {number}")

    asyncio.run(send())
    messages = client.post("/v1/development/outbox", json={"phone": "13900000999"}).json()["messages"]
    assert (len(messages), messages[0], messages[-1]) == (1_000, "message 1000", "message 1")


def test_outside_development_there_is_no_outbox(settings: Settings) -> None:
    with TestClient(create_app(replace(settings, development=False))) as client:
        answer = client.post("/v1/development/outbox", json={"phone": "13900000999"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"


def test_outside_development_no_message_is_stored() -> None:
    sandbox._outbox.clear()
    asyncio.run(sandbox.SandboxSms(use_outbox=False).send("+8613900000999", "secret"))
    assert list(sandbox._outbox) == []
