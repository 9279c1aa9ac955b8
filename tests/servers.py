"""Real servers for the tests: a mongod and a Redis that can be killed and restarted with their data."""

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

from tests.keys import new_keys

ROOT = Path(__file__).parent.parent

READY_SECONDS = 60


def free_port() -> int:
    """Return a free port of the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Process:
    """A process with its output in a file, stopped by its own id."""

    def __init__(self, arguments: Sequence[str], output: Path, environment: Mapping[str, str]) -> None:
        self.arguments, self.output, self.environment = arguments, output, environment
        self.start()

    def start(self) -> None:
        """Start or restart the process."""
        with self.output.open("ab") as log_file:
            self._process = subprocess.Popen(
                self.arguments, stdout=log_file, stderr=log_file, env=self.environment, cwd=self.output.parent
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Return whether it is running."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it, as a power failure would."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 30) -> int:
        """Ask it to stop, and return its exit status."""
        if self.runs:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def log_text(self) -> str:
        """Return its output."""
        return self.output.read_text(errors="replace")


def chengma(folder: Path, name: str, environment: Mapping[str, str], *command: str) -> Process:
    """Start a command of the city."""
    return Process([sys.executable, "-m", "backend", *command], folder / f"{name}.log", environment)


def city_environment(folder: Path, store: str, broker: str, **settings: object) -> dict[str, str]:
    """Return the environment of a city's processes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    set_ = {f"CHENGMA_{name.upper()}": str(value) for name, value in settings.items()}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "CHENGMA_STORE": store,
        "CHENGMA_BROKER": broker,
        "CHENGMA_KEYS": new_keys(folder / "keys"),
        "CHENGMA_SANDBOX": str(folder / "sandbox.db"),
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_PERSON_REQUESTS_PER_MINUTE": "1000000",
        **set_,
    }


def wait_until(holds: Callable[[], object], describe: Callable[[], str] = str, seconds: float = READY_SECONDS) -> None:
    """Wait until a condition holds; fail with the text of `describe` if it does not in time."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, describe()
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Return whether a process listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def messages(log: Path) -> list[str]:
    """Return the messages that a process has logged as JSON lines so far."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [message for line in lines if (message := json.loads(line).get("message"))]


class RedisServer(Process):
    """A redis-server that stores its queue on disk and reloads it after a restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(folder)]
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        super().__init__(["redis-server", *where, *kept], folder / "redis.log", dict(os.environ))
        wait_until(self.answers, self.log_text)

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
    """Yield the address of a Redis for the block; `REDIS_URL` names an existing one to use.

    Each test process uses a database of its own in it, since all workers share the name of a queue.
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
