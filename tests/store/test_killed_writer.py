"""A process that is killed while it writes to the embedded file loses nothing that was acknowledged."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.store.sqlite.store import SqliteStore
from tests.conftest import ROOT
from tests.draws import draws
from tests.resumable import kept
from tests.store.scene import KINDS, Letter, work_on

pytestmark = pytest.mark.slow

KILLS = draws(24, soak=10_000)
OF_ONE_FILE = draws(24, soak=50)
SOURCES = ("backend/store", "tests/store")
READY = "began "

Writers = subprocess.Popen[str]


@pytest.fixture
def writers() -> Iterator[Writers]:
    """The process from which writers are forked."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.store.crash"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def kill_a_writer(writers: Writers, path: Path, start: int, seconds: float) -> dict[str, int]:
    """Let a new process write for some time after it was first acknowledged, kill it, and return what it was told."""
    assert writers.stdin is not None
    assert writers.stdout is not None
    print(path, start, file=writers.stdin, flush=True)
    began, pid = writers.stdout.readline().split()
    assert began == "began"
    lines = [writers.stdout.readline()]
    time.sleep(seconds)
    os.kill(int(pid), signal.SIGKILL)
    while not lines[-1].startswith("ended "):
        lines.append(writers.stdout.readline())
    assert lines.pop() == f"ended {-signal.SIGKILL}\n"
    told: dict[str, int] = {}
    for line in lines:
        letter_id, revision = line.split()
        told[letter_id] = max(int(revision), told.get(letter_id, 0))
    return told


def check_stored(path: Path, acknowledged: dict[str, int]) -> None:
    """Check that each revision that was acknowledged, or a later one, is stored whole."""
    stored = work_on(lambda: SqliteStore.open(path, KINDS), lambda store: store.get_many(Letter, list(acknowledged)))
    assert acknowledged.keys() <= stored.keys()
    for letter_id, revision in acknowledged.items():
        letter = stored[letter_id]
        assert letter.revision >= revision
        assert len(letter.text) == 200 * (letter.revision - 1), "a document is complete or missing"
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def kill_writers_of_a_file(writers: Writers, path: Path, seed: int) -> int:
    """Kill as many writers of a new file one after the other; return how many writes were acknowledged."""
    chance, acknowledged = random.Random(seed), dict[str, int]()
    for start in range(OF_ONE_FILE):
        told = kill_a_writer(writers, path, start, chance.uniform(0, 0.15))
        check_stored(path, told)
        acknowledged |= told
    check_stored(path, acknowledged)
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    return sum(acknowledged.values())


def test_a_process_killed_while_it_writes_loses_nothing_that_was_acknowledged(
    tmp_path: Path, writers: Writers, request: pytest.FixtureRequest
) -> None:
    killed = acknowledged = 0
    try:
        for seed in range(KILLS // OF_ONE_FILE):
            path = tmp_path / f"{seed}.db"
            acknowledged += kept(
                request,
                f"killed writers {seed}",
                lambda path=path, seed=seed: kill_writers_of_a_file(writers, path, seed),
                SOURCES,
            )
            killed += OF_ONE_FILE
    finally:
        print(f"{killed:,} kills, {acknowledged:,} acknowledged writes")  # noqa: T201  also of a run that is stopped
    assert acknowledged > killed
