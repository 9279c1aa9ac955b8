"""Runs the `chengma` command as an operator does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from backend.security.keyring import make_keys

READY_SECONDS = 60


def chengma(
    *arguments: str, environment: dict[str, str], folder: Path, umask: int = -1
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        umask=umask,
    )


@contextmanager
def running(*arguments: str, environment: dict[str, str], folder: Path) -> Generator[tuple[httpx.Client, Path]]:
    """Run a server until the end of the block, then stop it by its process id."""
    if "serve" in arguments:
        make_keys(Path(environment["CHENGMA_KEYS"]))
    output = folder / "output.txt"
    address = f"http://127.0.0.1:{environment['CHENGMA_PORT']}"
    with output.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend", *arguments], cwd=folder, env=environment, stdout=out, stderr=out
        )
    try:
        with httpx.Client(base_url=address, trust_env=False) as client:
            give_up = time.monotonic() + READY_SECONDS
            while not answers(client):
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < give_up, output.read_text()
                time.sleep(0.05)
            yield client, output
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=15) in (0, -signal.SIGTERM)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/.well-known/jwks.json").status_code == 200
    except httpx.TransportError:
        return False
