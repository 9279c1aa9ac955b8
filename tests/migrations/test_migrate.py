"""Migrations run once, in order, resumably and by one process at a time; an edited history is refused."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.store import Store
from backend.store.migrations import (
    Lease,
    Migration,
    MigrationRun,
    UnknownSchema,
    assert_up_to_date,
    find_migrations,
    migrate,
    pending,
    plan,
)
from tests.conftest import ROOT, work_in
from tests.store.scene import Letter, Postcard

pytestmark = pytest.mark.slow

KINDS = [Letter, Postcard]


def stamp(body: dict[str, Any]) -> dict[str, Any] | None:
    """Convert the text of a letter to capitals, and count the changes."""
    if body["text"].isupper():
        return None
    return body | {"text": body["text"].upper(), "number": (body.get("number") or 0) + 1}


def migration(number: int = 1, **fields: Any) -> Migration:  # noqa: ANN401  any member
    return replace(Migration(f"{number:04}_write_in_capitals", "Louder", "letters", stamp, "sum"), **fields)


def quiet(_migration: Migration, _seen: int) -> None:
    pass


async def letters(store: Store, number: int) -> None:
    await store.restore([Letter(id=f"{n:06}", revision=1, text="hello", box=str(n % 7)) for n in range(number)])


@pytest.fixture
def address(address: str) -> str:
    if address.startswith("mongodb"):
        from backend.store.connect import prepare_store

        prepare_store(address, KINDS)
    return address


def test_every_document_is_changed_once_in_batches_and_progress_is_reported(address: str) -> None:
    reported: list[int] = []

    async def work(store: Store) -> None:
        await letters(store, 25)
        done = await migrate(store, [migration()], lambda _migration, seen: reported.append(seen), batch=10)
        assert [one.id for one in done] == ["0001_write_in_capitals"]
        found = [letter async for letter in store.scan(Letter)]
        assert {(letter.text, letter.number, letter.revision) for letter in found} == {("HELLO", 1, 2)}
        assert len((await store.find(Letter, {"box": "3", "read": False})).documents) == 4
        run = await store.get(MigrationRun, "0001_write_in_capitals")
        assert run is not None
        assert (run.done, run.changed, run.after) == (True, 25, "000024")

    work_in(address, work, KINDS)
    assert reported == [10, 20, 25]


def test_a_completed_migration_is_not_run_again(address: str) -> None:
    async def work(store: Store) -> None:
        await letters(store, 3)
        await migrate(store, [migration()], quiet)
        await store.insert(Letter(id="new", text="hello"))
        assert await migrate(store, [migration()], quiet) == []
        new = await store.get(Letter, "new")
        assert new is not None
        assert new.text == "hello"

    work_in(address, work, KINDS)


def test_two_processes_that_start_at_once_migrate_once(address: str) -> None:
    calls: list[str] = []

    def counted(body: dict[str, Any]) -> dict[str, Any] | None:
        calls.append(body["id"])
        return stamp(body)

    async def work(store: Store) -> None:
        await letters(store, 50)
        both = await asyncio.gather(*(migrate(store, [migration(change=counted)], quiet, batch=7) for _ in range(2)))
        assert sorted(map(len, both)) == [0, 1]
        assert await store.count(Lease, {}) == 0

    work_in(address, work, KINDS)
    assert len(calls) == 50


def test_a_concurrent_write_is_not_lost(address: str) -> None:
    async def work(store: Store) -> None:
        await letters(store, 3)
        writing = list[asyncio.Task[Letter]]()

        def meanwhile(body: dict[str, Any]) -> dict[str, Any] | None:
            if body["id"] == "000001" and not writing:
                written = Letter(id="000001", revision=1, text="a new hello")
                writing.append(asyncio.get_running_loop().create_task(store.replace(written)))
            return stamp(body)

        real_write = store.write_bodies

        async def after_the_other(collection: str, bodies: list[dict[str, Any]]) -> int:
            await asyncio.gather(*writing)
            return await real_write(collection, bodies)

        store.write_bodies = after_the_other  # pyright: ignore[reportAttributeAccessIssue]
        await migrate(store, [migration(change=meanwhile)], quiet)
        texts = [(letter.text, letter.number) async for letter in store.scan(Letter)]
        assert texts == [("HELLO", 1), ("A NEW HELLO", 1), ("HELLO", 1)]

    work_in(address, work, KINDS)


def test_the_expired_lease_of_a_dead_process_is_taken_over(address: str) -> None:
    async def work(store: Store) -> None:
        await store.insert(Lease(id="migration", holder="gone", until=datetime.now(UTC) + timedelta(seconds=1)))
        began = time.monotonic()
        await migrate(store, [migration()], quiet)
        assert time.monotonic() - began > 0.5

    work_in(address, work, KINDS)


def test_an_edited_history_is_refused(address: str) -> None:
    async def work(store: Store) -> None:
        await migrate(store, [migration()], quiet)
        for refused in (
            migrate(store, [migration(checksum="other")], quiet),
            pending(store, [migration(checksum="o")]),
        ):
            with pytest.raises(UnknownSchema, match=r"0001_write_in_capitals\.py was edited after it ran: restore it"):
                await refused
        assert await store.count(Lease, {}) == 0, "the lease is released"

    work_in(address, work, KINDS)


def test_a_migration_of_a_later_edition_is_refused(address: str) -> None:
    async def work(store: Store) -> None:
        await migrate(store, [migration(1), migration(2)], quiet)
        with pytest.raises(
            UnknownSchema, match="was migrated by 0002_write_in_capitals, which this edition does not have"
        ):
            await assert_up_to_date(store, [migration(1)])

    work_in(address, work, KINDS)


def test_a_new_migration_numbered_before_a_completed_one_is_refused(address: str) -> None:
    async def work(store: Store) -> None:
        await migrate(store, [migration(2)], quiet)
        with pytest.raises(UnknownSchema, match="comes after 0002_write_in_capitals was run"):
            await pending(store, [migration(1), migration(2)])

    work_in(address, work, KINDS)


def test_a_pending_migration_prevents_a_server_from_starting_and_is_planned(address: str) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(UnknownSchema, match="the store lacks 0001_write_in_capitals: run `chengma migrate`"):
            await assert_up_to_date(store, [migration()])
        waiting = await pending(store, [migration()])
        assert plan(waiting, {"letters": 1_000_000}) == ["0001_write_in_capitals  letters: 1,000,000 documents  Louder"]

    work_in(address, work, KINDS)


@pytest.mark.parametrize("names", [["0001_a", "0001_b"], ["1_a"], ["0001_A"]])
def test_each_migration_has_its_own_number_of_four_digits(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / f"moves_{abs(hash(tuple(names)))}"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name in names:
        (folder / f"{name}.py").write_text('"""X."""\nCOLLECTION = "x"\n\n\ndef change(body): return None\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnknownSchema, match="unused four-digit number"):
        find_migrations(folder.name)


CHILD = """
import asyncio, sys
from backend.store.migrations import migrate
from backend.store.connect import open_store
from backend.app import documents_of
from backend.city.service import discover_services
from tests.migrations.test_migrate import KINDS, migration

async def main():
    store = open_store(sys.argv[1], [*documents_of(discover_services()), *KINDS], driver="pymongo")
    print("ready", flush=True)
    await migrate(store, [migration()], lambda _migration, seen: print(seen, flush=True), batch=200)
    await store.close()

asyncio.run(main())
"""


async def end_lease(store: Store) -> None:
    lease = await store.get(Lease, "migration")
    assert lease is not None, "the killed process still holds the lease"
    await store.delete(lease)


def test_a_repeatedly_killed_migration_changes_each_document_once(address: str) -> None:
    """Each of six processes is killed after a few batches; its lease is deleted instead of waiting for it to expire."""
    work_in(address, lambda store: letters(store, 6_000), KINDS)
    for batches in range(1, 7):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, address],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(1 + batches):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        work_in(address, end_lease, KINDS)

    async def finish(store: Store) -> None:
        runs = await store.get(MigrationRun, "0001_write_in_capitals")
        assert runs is not None
        assert not runs.done
        await migrate(store, [migration()], quiet)
        found = [letter async for letter in store.scan(Letter)]
        assert {(letter.text, letter.number, letter.revision) for letter in found} == {("HELLO", 1, 2)}
        assert len(found) == 6_000

    work_in(address, finish, KINDS)
