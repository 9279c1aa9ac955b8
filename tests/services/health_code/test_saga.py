"""Reported events that were interrupted, and the sweep that completes them."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from backend.city.service import City
from backend.operations.load_shedding import STORE_UNAVAILABLE_SECONDS
from backend.services.health_code import saga
from backend.services.health_code.model import HealthEventReceipt, HealthRecord
from backend.services.health_code.tasks import finish_event, sweep_events
from backend.store import StoreUnavailable
from tests.services.health_code.scene import Client, Clock, Headers, Scene, stored

CrashBefore = Callable[[str], None]
CONTACT = {"level": "close", "at": "2022-04-19T08:00:00+08:00"}


@pytest.fixture
def crash_before(monkeypatch: pytest.MonkeyPatch) -> CrashBefore:
    """Interrupt the handling of an event before a step, until `monkeypatch.undo()`."""

    def plan(step: str) -> None:
        async def crash(*_: object, **__: object) -> None:
            raise StoreUnavailable("the process ends here")

        monkeypatch.setattr(saga, step, crash)

    return plan


def sweep(client: Client) -> None:
    """Run at once what the sweep would enqueue."""
    city: City = client.app.state.city

    async def work() -> None:
        due = [receipt async for receipt in city.store.scan(HealthEventReceipt) if receipt.due_ms is not None]
        for receipt in due:
            if receipt.due_ms is not None and receipt.due_ms < city.now().timestamp() * 1_000:
                await finish_event(city, receipt.id)

    client.blocking_portal.call(work)


@pytest.mark.parametrize("step", ["update_record", "_mark_applied"])
def test_an_interrupted_event_is_completed_by_the_sweep_and_applied_once(
    client: Client,
    scene: Scene,
    wang: Headers,
    clock: Clock,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    crash_before: CrashBefore,
) -> None:
    assert scene.colour(wang) == "green"
    crash_before(step)
    event = scene.event("contact", **CONTACT)
    answer = client.post("/v1/health-events", headers=scene.officer, json={"events": [event]})
    assert answer.status_code == 503
    monkeypatch.undo()
    [receipt] = stored(client, HealthEventReceipt)
    assert (receipt.applied, receipt.event is None) == (False, False)
    sweep(client)
    assert not stored(client, HealthEventReceipt)[0].applied, "the sender's request may still be running"
    clock.now += timedelta(seconds=31)
    for _ in range(2):
        sweep(client)
    [receipt] = stored(client, HealthEventReceipt)
    assert (receipt.applied, receipt.event, receipt.due_ms) == (True, None, None)
    assert scene.colour(wang) == "red"
    [record] = stored(client, HealthRecord)
    assert [report.key for report in record.reports] == [receipt.id]
    time.sleep(STORE_UNAVAILABLE_SECONDS)  # histories are refused for this long after a failure of the store
    assert [colour for _, colour in scene.history(wang)] == ["red", "green"]
    assert scene.outcomes(event) == ["repeated"]


def test_an_interrupted_withdrawal_is_completed_too(
    client: Client,
    scene: Scene,
    wang: Headers,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    crash_before: CrashBefore,
) -> None:
    scene.report(scene.event("contact", "c-1", **CONTACT))
    assert scene.colour(wang) == "red"
    crash_before("update_record")
    withdrawal = scene.event("withdrawal", of="c-1")
    assert client.post("/v1/health-events", headers=scene.officer, json={"events": [withdrawal]}).status_code == 503
    monkeypatch.undo()
    clock.now += timedelta(seconds=31)
    sweep(client)
    assert scene.colour(wang) == "green"


def test_an_interrupted_event_is_withdrawn_and_not_completed_by_the_sweep(
    client: Client,
    scene: Scene,
    wang: Headers,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    crash_before: CrashBefore,
) -> None:
    crash_before("update_record")
    contact = scene.event("contact", "c-1", **CONTACT)
    assert client.post("/v1/health-events", headers=scene.officer, json={"events": [contact]}).status_code == 503
    monkeypatch.undo()
    time.sleep(STORE_UNAVAILABLE_SECONDS)
    assert scene.outcomes(scene.event("withdrawal", of="c-1")) == ["applied"]
    clock.now += timedelta(seconds=31)
    sweep(client)
    assert (scene.outcomes(contact), scene.colour(wang)) == (["repeated"], "green")


def test_an_event_that_another_process_still_applies_after_its_withdrawal_is_removed_again(
    client: Client, scene: Scene, wang: Headers, monkeypatch: pytest.MonkeyPatch, crash_before: CrashBefore
) -> None:
    crash_before("update_record")
    contact = scene.event("contact", "c-1", **CONTACT)
    client.post("/v1/health-events", headers=scene.officer, json={"events": [contact]})
    monkeypatch.undo()
    city: City = client.app.state.city
    [receipt] = stored(client, HealthEventReceipt)
    time.sleep(STORE_UNAVAILABLE_SECONDS)
    scene.report(scene.event("withdrawal", of="c-1"))
    client.blocking_portal.call(saga.apply_receipt, city, receipt, city.now())
    assert scene.colour(wang) == "green"


def test_the_sweep_enqueues_each_due_receipt(
    client: Client, scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch, crash_before: CrashBefore
) -> None:
    crash_before("update_record")
    client.post("/v1/health-events", headers=scene.officer, json={"events": [scene.event("contact", **CONTACT)]})
    monkeypatch.undo()
    clock.now += timedelta(seconds=31)

    async def sweep_and_wait() -> None:
        city: City = client.app.state.city
        await sweep_events(city)
        while city.jobs.waiting():  # noqa: ASYNC110  the queue does not signal when it is empty
            await asyncio.sleep(0.01)

    client.blocking_portal.call(sweep_and_wait)
    assert [receipt.applied for receipt in stored(client, HealthEventReceipt)] == [True]


def test_the_sweep_completes_all_due_receipts_however_many(client: Client) -> None:
    city: City = client.app.state.city
    number = 401  # more than two pages
    receipts = [
        HealthEventReceipt(id=f"{each:04}", revision=1, payload="", person="wang", due_ms=each % 3, state="proposed")
        for each in range(number)
    ]
    client.blocking_portal.call(city.store.restore, receipts)
    client.blocking_portal.call(sweep_events, city)
    assert [receipt.state for receipt in stored(client, HealthEventReceipt)] == ["expired"] * number


def test_a_receipt_that_cannot_be_completed_is_left_to_the_job_queue(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    city: City = client.app.state.city
    left: list[str] = []

    async def note(_jobs: object, receipt_id: str) -> None:
        left.append(receipt_id)

    monkeypatch.setattr(finish_event, "enqueue_once", note)
    broken = HealthEventReceipt(id="without an event", revision=1, payload="", person="wang", due_ms=1)
    client.blocking_portal.call(city.store.restore, [broken])
    client.blocking_portal.call(sweep_events, city)
    assert left == ["without an event"]


def test_a_receipt_that_is_missing_or_applied_needs_nothing(client: Client, scene: Scene) -> None:
    scene.report(scene.event("contact", **CONTACT))
    [before] = stored(client, HealthRecord)
    [receipt] = stored(client, HealthEventReceipt)
    for receipt_id in (receipt.id, "nothing"):
        client.blocking_portal.call(finish_event, client.app.state.city, receipt_id)
    assert stored(client, HealthRecord) == [before]
