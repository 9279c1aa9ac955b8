"""Real servers for the tests: a mongod and a Redis that can be killed and started again where they were."""

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
from tempfile import mkdtemp
from urllib.parse import urlsplit

import redis

ROOT = Path(__file__).parent.parent

READY_SECONDS = 20


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Process:
    """A process of ours, with its output in a file; stopped by its own id."""

    def __init__(self, arguments: Sequence[str], output: Path, environment: Mapping[str, str]) -> None:
        self.arguments, self.output, self.environment = arguments, output, environment
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        with self.output.open("ab") as said:
            self._process = subprocess.Popen(
                self.arguments, stdout=said, stderr=said, env=self.environment, cwd=self.output.parent
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power failure would."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end, and give its exit status."""
        if self.runs:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def said(self) -> str:
        """Return what it has written."""
        return self.output.read_text(errors="replace")


def chengma(folder: Path, name: str, environment: Mapping[str, str], *command: str) -> Process:
    """Start a command of the city."""
    return Process([sys.executable, "-m", "backend", *command], folder / f"{name}.log", environment)


def city_environment(folder: Path, store: str, broker: str, **settings: object) -> dict[str, str]:
    """Return what a city's processes find in their environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    set_ = {f"CHENGMA_{name.upper()}": str(value) for name, value in settings.items()}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "CHENGMA_STORE": store,
        "CHENGMA_BROKER": broker,
        "CHENGMA_KEYS": str(folder / "keys"),
        "CHENGMA_SANDBOX": str(folder / "sandbox.db"),
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_PERSON_REQUESTS_PER_MINUTE": "1000000",
        **set_,
    }


def wait_until(holds: Callable[[], object], said: Callable[[], str] = str, seconds: float = READY_SECONDS) -> None:
    """Wait until something holds; fail with what `said` tells if it does not in time."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, said()
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Return whether somebody listens on a port."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def messages(log: Path) -> list[str]:
    """Return what a process has logged so far, leaving out what is no line of JSON."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [message for line in lines if (message := json.loads(line).get("message"))]


class RedisServer(Process):
    """A redis-server that keeps its queue on the disk, and finds it again when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(folder)]
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        super().__init__(["redis-server", *where, *kept], folder / "redis.log", dict(os.environ))
        wait_until(self.answers, self.said)

    @property
    def url(self) -> str:
        """Return its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Return whether it answers."""
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@contextmanager
def redis_server() -> Iterator[str]:
    """Return the address of a Redis until the end of the block; `REDIS_URL` names another one to use.

    Of that one each process in which tests run has a database of its own, since all workers share the name of a queue.
    """
    if given := os.environ.get("REDIS_URL"):
        process = os.environ.get("PYTEST_XDIST_WORKER")
        yield given if process is None else urlsplit(given)._replace(path=f"/{process.removeprefix('gw')}").geturl()
        return
    folder = Path(mkdtemp(prefix="chengma-redis-"))
    server = RedisServer(folder)
    try:
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(folder)
