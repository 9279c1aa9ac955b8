"""Documents before and after each migration, on both stores."""

import asyncio
import sqlite3
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from pymongo import MongoClient

from backend.city.releases import RulebookRelease
from backend.i18n import Text
from backend.jobs.tasks import DeadLetter
from backend.services.account.model.account import Account
from backend.services.account.model.session import Session
from backend.services.account.model.sign_in import SignInChallenge
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, ScanReservation
from backend.services.health_code.reports import ContactReported, HealthDeclared, Report
from backend.services.medical_credit.model.reconciliation import Reconciliation, Totals
from backend.store import Document, Store
from backend.store.connect import prepare_store
from backend.store.migrations import Migration, find_migrations, migrate
from backend.web.idempotency import IdempotencyRecord, StoredProblem
from tests.conftest import work_in
from tests.migrations import medical_credit, school_lookup, talent_code

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
NOON_MS = 1_650_427_200_000
RELEASED_MS = 1_796_083_200_000

EXAMPLES: list[tuple[str, dict[str, Any], Document]] = [
    (
        "0001_date_the_end_of_sessions",
        {"id": "s", "revision": 3, "account_id": "a", "refresh_digest": "d", "expires": NOON},
        Session(id="s", revision=4, account_id="a", refresh_digest="d", expires_ms=NOON_MS),
    ),
    (
        "0002_date_the_end_of_sign_in_codes",
        {"id": "p", "revision": 1, "code_digest": "c", "sent": [NOON], "tries": 2, "used": False},
        SignInChallenge(
            id="p",
            revision=4,
            phone_digest="p",
            code_digest="c",
            expires_ms=NOON_MS + 24 * 3_600_000,
            attempts=2,
            used=True,
        ),
    ),
    (
        "0003_rename_fields_of_kept_answers",
        {
            "id": "k",
            "revision": 2,
            "payload": "digest",
            "begun_at": NOON,
            "expires_ms": NOON_MS,
            "problem": {
                "kind": "ChangedMeanwhile",
                "detail": {"zh": "请重试。", "en": "Again."},
                "errors": [],
                "members": {},
            },
        },
        IdempotencyRecord(
            id="k",
            revision=3,
            payload="digest",
            started_at=NOON,
            expires_ms=NOON_MS,
            problem=StoredProblem("EditConflict", Text(zh="请重试。", en="Again."), (), {}),
        ),
    ),
    (
        "0004_rename_fields_of_dead_jobs",
        {
            "id": "j",
            "revision": 1,
            "task": "health_code.finish_events",
            "arguments": ["p", 3],
            "at_ms": NOON_MS,
            "dead": True,
            "error": "away",
            "tries": 5,
            "losses": 1,
        },
        DeadLetter(
            id="j",
            revision=2,
            task="health_code.finish_events",
            arguments=("p", 3),
            at_ms=NOON_MS,
            dead=True,
            error="away",
            attempts=5,
            losses=1,
        ),
    ),
    (
        "0005_rename_attempts_of_sign_in_codes",
        {"id": "p", "revision": 1, "code_digest": "c", "sent": [NOON], "expires_ms": NOON_MS, "tries": 2, "used": True},
        SignInChallenge(
            id="p", revision=3, phone_digest="p", code_digest="c", expires_ms=NOON_MS, attempts=2, used=True
        ),
    ),
    (
        "0007_rename_events_of_health_records",
        {
            "id": "h",
            "revision": 1,
            "code_id": "c",
            "facts": {},
            "history": [],
            "reports": [
                {"said": {"kind": "contact", "level": "close", "at": NOON}, "key": "k"},
                {"said": {"kind": "declaration", "at": NOON, "symptoms": ["fever"]}},
            ],
        },
        HealthRecord(
            id="h",
            revision=2,
            code_id="c",
            facts=HealthFacts(),
            history=(),
            reports=(Report(ContactReported("close", NOON), "k"), Report(HealthDeclared(NOON, ("fever",)))),
        ),
    ),
    (
        "0008_rename_events_of_health_event_receipts",
        {
            "id": "r",
            "revision": 1,
            "payload": "d",
            "person": "h",
            "applied": False,
            "said": {"kind": "contact", "level": "close", "at": NOON},
            "due_ms": NOON_MS,
        },
        HealthEventReceipt(
            id="r",
            revision=3,
            payload="d",
            person="h",
            event=ContactReported("close", NOON),
            due_ms=NOON_MS,
            received_ms=RELEASED_MS,
        ),
    ),
    (
        "0090_end_sign_in_codes_without_challenges",
        {"id": "p", "revision": 1, "code_digest": "c", "sent": [NOON], "expires_ms": NOON_MS, "attempts": 2},
        SignInChallenge(
            id="p", revision=2, phone_digest="p", code_digest="c", expires_ms=NOON_MS, attempts=2, used=True
        ),
    ),
    (
        "0091_list_staff",
        {"id": "a", "revision": 1, "phone": "p", "phone_digest": "d", "created": NOON, "roles": ["gate"]},
        Account(
            id="a",
            revision=2,
            phone="p",
            phone_digest="d",
            created=NOON,
            roles=("gate",),
            staff_since_ms=RELEASED_MS,
        ),
    ),
    *medical_credit.EXAMPLES,
    *talent_code.EXAMPLES,
    *school_lookup.EXAMPLES,
    *talent_code.EXAMPLES_OF_ENGINE,
    (
        "0080_date_scan_reservations",
        {"id": "s", "revision": 1, "visit": "v"},
        ScanReservation(id="s", revision=2, visit="v", at_ms=RELEASED_MS),
    ),
    (
        "0081_date_health_event_receipts",
        {"id": "r", "revision": 1, "payload": "d", "person": "h", "applied": True},
        HealthEventReceipt(id="r", revision=2, payload="d", person="h", applied=True, received_ms=RELEASED_MS),
    ),
    (
        "0082_date_reconciliations",
        {
            "id": "r",
            "revision": 1,
            "hospital": "HZ001",
            "day": "2022-04-20",
            "created_at": NOON,
            "file_digest": "d",
            "totals": {},
        },
        Reconciliation(
            id="r",
            revision=2,
            hospital="HZ001",
            day="2022-04-20",
            created_at=NOON,
            created_ms=NOON_MS,
            file_digest="d",
            totals=Totals(),
        ),
    ),
    (
        "0083_date_rulebook_releases",
        {"id": "d", "revision": 1, "files": {"trees.care": "text"}, "published": NOON},
        RulebookRelease(id="d", revision=2, files={"trees.care": "text"}, published=NOON, published_ms=NOON_MS),
    ),
]
EXAMPLES.sort(key=lambda example: example[0])


def migration_called(name: str) -> Migration:
    return next(migration for migration in find_migrations() if migration.id == name)


@pytest.mark.parametrize(("name", "before", "after"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_a_migration_produces_the_expected_document(
    address: str, name: str, before: dict[str, Any], after: Document
) -> None:
    prepare_former(address)
    work_in(address, lambda store: store.count(type(after), {}), [medical_credit.CreditAccount])
    insert_raw(address, after.collection, before)

    async def work(store: Store) -> None:
        onward = [migration for migration in find_migrations() if migration.id >= name]
        await migrate(store, onward, lambda _migration, _seen: None, rebind=lambda encrypted, _place: encrypted)
        assert await store.get(type(after), after.id) == after

    work_in(address, work, [medical_credit.CreditAccount])


@pytest.mark.parametrize(("name", "before"), [(name, before) for name, before, _ in EXAMPLES])
def test_a_migration_does_not_change_a_document_twice(name: str, before: dict[str, Any]) -> None:
    migration = migration_called(name)

    async def read(_collection: str, _after: str, _limit: int) -> list[dict[str, Any]]:
        return []

    async def twice() -> None:
        changed = await migration.changed(before, read)
        assert changed is not None
        assert await migration.changed(changed, read) is None

    asyncio.run(twice())


def test_every_migration_has_an_example() -> None:
    changing = [migration.id for migration in find_migrations() if not migration.encrypted]  # see test_bound_values
    assert changing == [name for name, _, _ in EXAMPLES]


def prepare_former(address: str) -> None:
    """Create the collections that earlier editions had."""
    if address.startswith("mongodb"):
        prepare_store(address, [medical_credit.CreditAccount])


def insert_raw(address: str, collection: str, body: dict[str, Any]) -> None:
    """Insert a document of an older schema directly, because no current Struct has its form."""
    if address.startswith("sqlite"):
        row = (body["id"], body["revision"], msgspec.msgpack.encode(body))
        with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
            connection.execute(f"INSERT INTO {collection} (id, revision, body) VALUES (?, ?, ?)", row)  # noqa: S608  ours
        connection.close()
        return
    with MongoClient[dict[str, Any]](address) as client:
        database = client.get_default_database()
        database.command("collMod", collection, validationLevel="off")  # it is older than the validator
        database[collection].insert_one({"_id": body["id"], **{n: v for n, v in body.items() if n != "id"}})
        database.command("collMod", collection, validationLevel="strict")
