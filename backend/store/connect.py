"""Open the store of an address; only composition roots use it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from backend.settings import MASK, mask_credentials
from backend.store import Document, Store
from backend.store.mongo.store import Driver, MongoStore
from backend.store.sqlite.store import SqliteStore

SQLITE = "sqlite:///"
DATABASE = "chengma"


def store_address(given: str) -> str:
    """Return the address of a store that a person named by its address, or by the path of its file."""
    return given if "://" in given else f"{SQLITE}{given}"


def store_file(address: str) -> Path | None:
    """Return the file of an embedded store, or None."""
    return Path(address.removeprefix(SQLITE)) if address.startswith(SQLITE) else None


def open_store(
    address: str, kinds: Sequence[type[Document]], *, driver: Driver = "motor", timeout_ms: int = 3_000
) -> Store:
    """Open an embedded file, which is created if missing, or a MongoDB that `prepare_store` has prepared.

    Raises OSError for a file that cannot be opened, and PyMongoError for an invalid address. It does not check whether
    a MongoDB answers.
    """
    path = store_file(address)
    if path is None:
        return MongoStore(address, kinds, driver=driver, timeout_ms=timeout_ms)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteStore.open(path, kinds)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: {error}") from error


def prepare_store(address: str, kinds: Sequence[type[Document]]) -> None:
    """Create the declared collections, indexes and validators of a MongoDB; an embedded file creates its own."""
    if not address.startswith(SQLITE):
        from backend.store.mongo.schema import prepare

        prepare(address, kinds)


def display_address(address: str) -> str:
    """Return the address of a store for display, without a user or password."""
    if address.startswith(SQLITE):
        return address.removeprefix(SQLITE)
    return mask_credentials(address).replace(f"{MASK}@", "", 1).partition("?")[0]


def sharding_commands(address: str, kinds: Sequence[type[Document]]) -> list[str]:
    """Return the mongosh commands that shard the collections of a cluster, for the database that the address names."""
    from backend.store.mongo.schema import shard_commands

    named = "" if address.startswith(SQLITE) else urlsplit(address).path.strip("/")
    return shard_commands(named or DATABASE, kinds)
