"""Accounts become part of enrolments, to the fen, even if the migration is killed several times."""

import os
import signal
import sqlite3
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from pymongo import MongoClient

from backend.services.medical_credit.model.enrolment import Enrolment
from backend.store import Store
from backend.store.migrations import MigrationRun, migrate
from tests.conftest import ROOT, work_in
from tests.migrations.medical_credit import ENROLMENT_OF_0050, LATER, NOON, CreditAccount
from tests.migrations.test_history import migration_called, prepare_former
from tests.migrations.test_migrate import end_lease, quiet

pytestmark = pytest.mark.slow

NAME = "0050_move_credit_into_enrolments"
PEOPLE, BATCH = 1_000, 50

CHILD = """
import asyncio, sys
from backend.app import documents_of
from backend.city.service import discover_services
from backend.store.connect import open_store
from backend.store.migrations import migrate
from tests.migrations.test_history import migration_called, prepare_former

async def main():
    store = open_store(sys.argv[1], documents_of(discover_services()), driver="pymongo")
    print("ready", flush=True)
    name, batch = sys.argv[2], int(sys.argv[3])
    await migrate(store, [migration_called(name)], lambda _migration, seen: print(seen, flush=True), batch=batch)
    await store.close()

asyncio.run(main())
"""


def account(person: str, purpose: str, fen: int) -> dict[str, Any]:
    hold = {
        "id": f"v-{person}/opening",
        "requested_fen": fen,
        "amount_fen": fen,
        "created_at": NOON,
        "expires_at": LATER,
        "over_limit": False,
        "version": 0,
        "state": "held",
        "posted_fen": 0,
        "transfers": [],
    }
    return {"id": f"{person}:{purpose}", "revision": 2, "limit_fen": 10**6, "holds": [hold], "archived_until": None}


def fill(address: str) -> None:
    """Store enrolments of the preceding edition: every second person has an account, every fourth has two."""
    people = [f"p{number:04}" for number in range(PEOPLE)]
    enrolments = [ENROLMENT_OF_0050 | {"id": person} for person in people]
    accounts = [account(person, "outpatient", number) for number, person in enumerate(people) if number % 2 == 0]
    accounts += [account(person, "inpatient", 5 * number) for number, person in enumerate(people) if number % 4 == 0]
    for collection, bodies in ((Enrolment.collection, enrolments), (CreditAccount.collection, accounts)):
        if address.startswith("sqlite"):
            rows = [(body["id"], body["revision"], msgspec.msgpack.encode(body)) for body in bodies]
            with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
                connection.executemany(f"INSERT INTO {collection} (id, revision, body) VALUES (?, ?, ?)", rows)  # noqa: S608  ours
            connection.close()
            continue
        with MongoClient[dict[str, Any]](address) as client:
            database = client.get_default_database()
            database.command("collMod", collection, validationLevel="off")  # the schema is older than the validator
            database[collection].insert_many(
                [
                    {"_id": body["id"], **{name: value for name, value in body.items() if name != "id"}}
                    for body in bodies
                ]
            )


def run_and_kill(address: str, batches: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, address, NAME, str(BATCH)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(1 + batches):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)


def test_a_killed_migration_moves_each_account_once(address: str) -> None:
    prepare_former(address)
    work_in(address, lambda store: store.count(CreditAccount, {}), [CreditAccount])
    fill(address)
    for batches in (1, 2, 3):
        run_and_kill(address, batches)
        work_in(address, end_lease)

    async def finish(store: Store) -> list[Enrolment]:
        run = await store.get(MigrationRun, NAME)
        assert run is not None
        assert not run.done
        await migrate(store, [migration_called(NAME)], quiet, batch=BATCH)
        return [enrolment async for enrolment in store.scan(Enrolment)]

    found = work_in(address, finish)
    assert len(found) == PEOPLE
    for number, enrolment in enumerate(found):
        held = {purpose: line.held_fen(NOON) for purpose, line in enrolment.credit.items()}
        outpatient = {"outpatient": number} if number % 2 == 0 else {}
        assert held == outpatient | ({"inpatient": 5 * number} if number % 4 == 0 else {})
        assert (enrolment.revision, enrolment.breaches[0].bill) == (2, "v")
