"""The processes of a city, as an operator starts them: each with its log in a file, stopped by its id."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT, lacking

READY_SECONDS = 60


def free_port() -> int:
    """Give a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def redis() -> Iterator[str]:
    """Give the address of a Redis that keeps nothing, until the end of the block."""
    program = shutil.which("redis-server") or lacking("redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), "Redis does not listen")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=15)


@contextmanager
def started(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Path]:
    """Run `chengma` in the background until the end of the block; give the file of what it says."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", *arguments], cwd=log.parent, env=environment, stdout=output, stderr=output
        )
    try:
        yield log
        assert process.poll() is None, log.read_text()
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def environment_of(**settings: str) -> dict[str, str]:
    """Give the environment of a process with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    return kept | {"PYTHONPATH": str(ROOT)} | {f"CHENGMA_{name.upper()}": value for name, value in settings.items()}


def wait_until(holds: Callable[[], bool], otherwise: str, seconds: float = READY_SECONDS) -> None:
    """Wait until something holds, and fail with what is said of it otherwise."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.05)


def messages(log: Path) -> list[str]:
    """Give what a process has logged so far, leaving out what is no line of JSON."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [message for line in lines if (message := json.loads(line).get("message"))]
