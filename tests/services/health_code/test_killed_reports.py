"""A process that reports, approves or rejects is killed at every write; then the sender repeats, or the sweeps run."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from backend.app import open_city
from backend.city.audit_log import AuditEntry, act_of, log_acts, log_all_acts
from backend.city.id_number import IdentityDocument
from backend.city.notices import Notice
from backend.city.person import find_or_create_person
from backend.city.service import City, discover_integrations, discover_services
from backend.problems import NotFound
from backend.security.identity import Caller
from backend.services.health_code.model import HealthEventReceipt, HealthRecord
from backend.services.health_code.reports import ContactReported, Event, SampleTested, Withdrawal
from backend.services.health_code.rule_modules import COLOUR, Colour
from backend.services.health_code.saga import (
    ReportedEvent,
    Reporter,
    accept_event,
    approve_proposal,
    event_key,
    reject_proposal,
)
from backend.services.health_code.sources import ReportingSource, source_id
from backend.services.health_code.tasks import finish_event
from backend.settings import Settings
from tests.conftest import Clock
from tests.services.health_code.scene import id_number
from tests.services.killing import Killed, KillingStore

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
YESTERDAY = NOON - timedelta(days=1)
WANG = IdentityDocument(id_number(1))
OFFICER = Caller("officer", "s", "officer's person", ("health_officer",), level=3)
APPROVER = Caller("approver", "s", "approver's person", ("health_approver",), level=3)
POSITIVE = SampleTested("pcr", "positive", YESTERDAY, sample_id="tube-1")
CONTACT = ContactReported("close", YESTERDAY)
MAX_WRITES = 12

Step = Callable[[City], Awaitable[object]]


def report(source: str, event_id: str, event: Event | Withdrawal) -> Step:
    """Return the step in which a source reports an event about Wang."""

    async def step(city: City) -> None:
        found = await city.store.get(ReportingSource, source_id(city, source))
        assert found is not None
        await accept_event(city, Reporter(OFFICER, found), ReportedEvent(event_id, event, WANG))

    return step


def decide(decision: Callable[[City, Caller, str], Awaitable[None]], event_id: str) -> Step:
    return lambda city: decision(city, APPROVER, event_key(city, "cdc", event_id))


SCENARIOS: dict[str, tuple[list[Step], Step, Colour, list[str]]] = {
    "a report": ([], report("lab", "t", POSITIVE), "red", ["event_reported"]),
    "a withdrawal": (
        [report("lab", "t", POSITIVE)],
        report("lab", "w", Withdrawal("t")),
        "green",
        ["event_reported", "event_reported"],
    ),
    "a proposal": ([], report("cdc", "c", CONTACT), "green", ["event_proposed"]),
    "an approval": (
        [report("cdc", "c", CONTACT)],
        decide(approve_proposal, "c"),
        "red",
        ["event_approved", "event_proposed"],
    ),
    "a rejection": (
        [report("cdc", "c", CONTACT)],
        decide(reject_proposal, "c"),
        "green",
        ["event_proposed", "event_rejected"],
    ),
    "an approved withdrawal": (
        [
            report("cdc", "c", CONTACT),
            decide(approve_proposal, "c"),
            report("cdc", "w", Withdrawal("c")),
        ],
        decide(approve_proposal, "w"),
        "green",
        ["event_approved", "event_approved", "event_proposed", "event_proposed"],
    ),
    "a proposal that is taken back": (
        [report("cdc", "c", CONTACT)],
        report("cdc", "w", Withdrawal("c")),
        "green",
        ["event_proposed", "event_reported", "event_withdrawn"],
    ),
}
"""By name: the steps before, the step that is killed, and in the end the colour and the entries of the audit log."""


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
def test_a_killed_step_is_completed_with_its_entry_and_never_has_one_without_the_other(
    settings: Settings, name: str, *, after: bool
) -> None:
    before, step, colour, entries = SCENARIOS[name]
    clock = Clock(NOON)

    async def work() -> None:
        opened = open_city(settings, discover_services(), discover_integrations(settings.integrations), clock=clock)
        try:
            for write in range(MAX_WRITES):
                clock.now = NOON
                killing = KillingStore(opened.store)
                city = replace(opened, store=killing)
                await _empty(city)
                await _prepare(city, before)
                killing.countdown, killing.after = write, after
                try:
                    await step(city)
                except Killed:
                    pass
                else:
                    return
                finally:
                    killing.countdown = None
                await _check_entries_and_effect(city)
                await _resume(city, clock, step, repeats=write % 2 == 0)
                await _check_end(city, colour, entries)
            pytest.fail("the step has more writes")
        finally:
            await opened.store.close()

    asyncio.run(work())


async def _empty(city: City) -> None:
    for kind in (HealthEventReceipt, HealthRecord, AuditEntry, Notice):
        for document in [document async for document in city.store.scan(kind)]:
            await city.store.delete(
                await log_acts(city, document) if isinstance(document, HealthEventReceipt) else document
            )


async def _prepare(city: City, steps: list[Step]) -> None:
    for name, kind in (("lab", "laboratory"), ("cdc", "office")):
        key = source_id(city, name)
        if await city.store.get(ReportingSource, key) is None:
            await city.store.insert(ReportingSource(id=key, name=name, kind=kind, accounts=("officer",)))
    await find_or_create_person(city.store, city.encryption, WANG, NOON)
    for step in steps:
        await step(city)


async def _check_entries_and_effect(city: City) -> None:
    """Check that what the receipts say was done has its act, and that each act has its receipt."""
    receipts = [receipt async for receipt in city.store.scan(HealthEventReceipt)]
    entries = [act_of(entry) async for entry in city.store.scan(AuditEntry)]
    acts = {act.id: act for act in [*entries, *(act for receipt in receipts for act in receipt.acts)]}
    verbs = sorted(act.action.removeprefix("health_code.event_") for act in acts.values())
    expected: list[str] = []
    for receipt in receipts:
        expected.append("reported" if receipt.proposal is None else "proposed")
        if receipt.proposal is not None and receipt.state != "proposed":
            expected.append("approved" if receipt.state == "accepted" else receipt.state)
    assert verbs == sorted(expected)
    keys = {receipt.id for receipt in receipts if receipt.state == "accepted"}
    async for record in city.store.scan(HealthRecord):
        assert {report.key for report in record.reports} <= keys, "nothing has effect without a receipt"


async def _resume(city: City, clock: Clock, step: Step, *, repeats: bool) -> None:
    """Let the sender repeat the request, or the sweeps complete it; a step that never began is always repeated."""
    clock.now += timedelta(minutes=1)
    due = [receipt async for receipt in city.store.scan(HealthEventReceipt) if receipt.due_ms is not None]
    for receipt in due:
        if receipt.due_ms is not None and receipt.due_ms <= clock.now.timestamp() * 1_000:
            await finish_event(city, receipt.id)
    if repeats or not due:
        await _again(city, step)
    await _again(city, step)
    await log_all_acts(city)


async def _again(city: City, step: Step) -> None:
    with suppress(NotFound):  # a decision that was taken before
        await step(city)


async def _check_end(city: City, colour: Colour, entries: list[str]) -> None:
    [record] = [record async for record in city.store.scan(HealthRecord)] or [None]
    result = "green" if record is None else city.rulebook.evaluate(COLOUR, record.facts, city.now()).result
    assert result == colour
    logged = [entry async for entry in city.store.scan(AuditEntry)]
    assert sorted(entry.action.removeprefix("health_code.") for entry in logged) == sorted(entries)
    receipts = [receipt async for receipt in city.store.scan(HealthEventReceipt)]
    assert all(not receipt.acts for receipt in receipts)
    notices = [notice async for notice in city.store.scan(Notice)]
    red = sum("红码：" in notice.text.zh for notice in notices)
    assert red == ("event_approved" in entries or entries[0] == "event_reported"), "each notice came once"
