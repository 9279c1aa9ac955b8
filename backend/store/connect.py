"""Opening the store that an address names; the composition root alone does it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from backend.settings import MASK, mask_credentials
from backend.store import Document, Store
from backend.store.mongo.store import Driver, MongoStore
from backend.store.sqlite.store import SqliteStore

SQLITE = "sqlite:///"


def open_store(
    address: str, kinds: Sequence[type[Document]], *, driver: Driver = "motor", timeout_ms: int = 3_000
) -> Store:
    """Open an embedded file, made where there is none, or a MongoDB that `prepare_store` has made ready.

    Raises OSError for a file that cannot be opened, and PyMongoError for a wrong address. Whether a
    MongoDB answers is not tried here.
    """
    if not address.startswith(SQLITE):
        return MongoStore(address, kinds, driver=driver, timeout_ms=timeout_ms)
    path = Path(address.removeprefix(SQLITE))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteStore.open(path, kinds)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: {error}") from error


def prepare_store(address: str, kinds: Sequence[type[Document]]) -> None:
    """Make the collections, indexes and validators that the declarations ask for; an embedded file does so itself."""
    if not address.startswith(SQLITE):
        from backend.store.mongo.schema import prepare

        prepare(address, kinds)


def display_address(address: str) -> str:
    """Name a store to people, without the password that its address may hold."""
    if address.startswith(SQLITE):
        return address.removeprefix(SQLITE)
    return mask_credentials(address).replace(f"{MASK}@", "", 1).partition("?")[0]
