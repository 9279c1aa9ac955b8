"""Which city a store and a folder of keys belong to, so that a process never serves one with the other's keys.

A store holds the id of its city and a fingerprint of the keys that find and decrypt its people. The folder of keys
remembers the id of the city, so that an emptied store, or a wrong address, is not taken for a new city.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from backend.jobs.beside import beside
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Key, Keyring, Use
from backend.store import Document, Store, StoreUnavailable
from backend.store.migrations import MigrationRun
from backend.store.retention import Retention
from backend.store.update import insert_or_get, update_document

CITY = "city"
MEMORY = ".city"
POLL_SECONDS = 2.0
LAST_REBINDING = "0075_bind_his_messages"
"""The last migration that binds encrypted values to their places."""

BOUND_KEYS: tuple[Use, ...] = ("lookup", "field")

_log = logging.getLogger("chengma.city")


class BoundCity(Document, kw_only=True):
    """The city that a store belongs to, with the fingerprints of its `lookup` and `field` keys. There is one."""

    collection: ClassVar[str] = "bound_cities"
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one",
        ends="never: it says to which city the store belongs",
        names="nobody",
    )

    city: str
    keys: tuple[str, ...]


class WrongCity(Exception):
    """The store and the keys do not belong together. The message says what to do."""


async def bind_city(store: Store, keyring: Keyring, address: str) -> None:
    """Check that a store and keys belong to one city, and bind them at their first use. Raises WrongCity.

    `address` is the store's, for messages. A folder of keys that cannot be written to remembers nothing.
    """
    bound, remembered = await store.get(BoundCity, CITY), _remembered(keyring.folder)
    fingerprints = _fingerprints(keyring)
    if bound is None:
        if remembered:
            raise WrongCity(
                f"the store {address} holds no city, but the keys in {keyring.folder} belong to the city {remembered}: "
                "restore its backup or correct CHENGMA_STORE. A new city needs a new folder of keys"
            )
        bound = await insert_or_get(store, BoundCity(id=CITY, city=secrets.token_hex(8), keys=fingerprints))
    missing = set(bound.keys) - set(fingerprints)
    if missing or remembered not in ("", bound.city):
        raise WrongCity(
            f"the keys in {keyring.folder} are not those of the city in {address}: its people could not be found or "
            "read. Correct CHENGMA_KEYS or CHENGMA_STORE, or restore the backup of the keys"
        )
    if set(fingerprints) - set(bound.keys):  # a key was rotated
        await update_document(
            store,
            lambda: store.get(BoundCity, CITY),
            lambda known: replace(known, keys=tuple(sorted({*known.keys, *fingerprints}))),
            bound,
        )
    if not remembered:
        with suppress(OSError):  # the folder is mounted read-only
            (keyring.folder / MEMORY).write_text(f"{bound.city}\n", encoding="ascii")


async def read_unbound_values(store: Store, encryption: FieldEncryption) -> None:
    """Let values of earlier editions be read until the migrations have bound all values to their places."""
    run = await store.get(MigrationRun, LAST_REBINDING)
    encryption.reads_unbound = run is None or not run.done


@asynccontextmanager
async def watch_binding(store: Store, file: Path | None) -> AsyncGenerator[None, None]:
    """Stop the process if its store is emptied or replaced, or its file vanishes, until the end of the block."""
    bound = await store.get(BoundCity, CITY)
    async with beside(_watch(store, bound, file, _inode(file))) if bound is not None else nullcontext():
        yield


async def _watch(store: Store, bound: BoundCity, file: Path | None, inode: int | None) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        with suppress(StoreUnavailable):  # an unavailable store comes back; a different one must not be written to
            found = await store.get(BoundCity, CITY)
            if found is not None and found.city == bound.city and _inode(file) == inode:
                continue
            _log.critical("the store no longer holds the city %s that this process serves, so it stops", bound.city)
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _inode(file: Path | None) -> int | None:
    return file.stat().st_ino if file is not None and file.exists() else None


def _fingerprints(keyring: Keyring) -> tuple[str, ...]:
    return tuple(sorted(_fingerprint(key) for use in BOUND_KEYS for key in keyring.keys(use)))


def _fingerprint(key: Key) -> str:
    return f"{key.use}:{hmac.new(key.material, b'chengma fingerprint', hashlib.sha256).hexdigest()[:16]}"


def _remembered(folder: Path) -> str:
    memory = folder / MEMORY
    return memory.read_text(encoding="ascii").strip() if memory.is_file() else ""
