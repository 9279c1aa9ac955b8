"""The sandboxes of a process share one open connection to their file, which threads and forked processes may use."""

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from integrations._sandbox.database import SandboxDatabase

FORK = """
import os, sys
from integrations._sandbox.database import SandboxDatabase

database = SandboxDatabase(sys.argv[1])
database.do(lambda connection: database.note_call(connection, "pay", "before"))
child = os.fork()
for number in range(50):
    database.do(lambda connection: database.note_call(connection, "pay", f"{os.getpid()}-{number}"))
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
"""


def open_files(file: Path) -> int:
    """Return how often this process has a file open."""
    return [os.path.realpath(opened) for opened in Path("/proc/self/fd").iterdir()].count(str(file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "sandbox.db"


def test_the_sandboxes_of_a_process_open_their_file_once_for_all_calls(file: Path) -> None:
    databases = [SandboxDatabase(str(file)) for _ in range(3)]
    for database in databases * 2:
        assert database.calls("pay") == []
        assert open_files(file) == 1


def test_the_file_is_closed_once_no_sandbox_uses_it(file: Path) -> None:
    database = SandboxDatabase(str(file))
    database.script_outcomes("pay", "refused")
    del database
    gc.collect()
    assert open_files(file) == 0
    assert SandboxDatabase(str(file)).do(lambda connection: connection.execute("SELECT * FROM script").fetchall())


def test_transactions_of_many_threads_lose_nothing(file: Path) -> None:
    databases = [SandboxDatabase(str(file)) for _ in range(4)]

    def take_one(connection: sqlite3.Connection) -> None:
        taken = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
        connection.execute("INSERT INTO calls VALUES (?, 'pay', 'id', 'at')", (taken + 1,))

    async def work() -> None:
        await asyncio.gather(*(databases[number % 4].work(take_one) for number in range(200)))

    asyncio.run(work())
    assert len(databases[0].calls("pay")) == 200


def test_a_transaction_that_fails_is_rolled_back_and_the_next_one_works(file: Path) -> None:
    database = SandboxDatabase(str(file))

    def fail(connection: sqlite3.Connection) -> None:
        database.note_call(connection, "pay", "lost")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.do(fail)
    database.do(lambda connection: database.note_call(connection, "pay", "kept"))
    assert database.calls("pay") == ["kept"]


def test_a_forked_process_writes_by_a_connection_of_its_own(file: Path) -> None:
    developer = [sys.executable, "-X", "dev", "-W", "error", "-c", FORK, str(file)]
    ended = subprocess.run(developer, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(set(SandboxDatabase(str(file)).calls("pay"))) == 101
