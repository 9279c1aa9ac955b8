"""Migrations of stored documents: forward only, each run once, recorded in the store itself.

A migration is a module `migrations/0001_<verb_noun>.py` whose docstring says what it is for. It names one COLLECTION,
and `change(body)` returns the changed document, or None if it needs no change or is already changed: an interrupted run
resumes from the last recorded batch. A field that is None may be missing. If documents of another collection are part
of it, it is `async change(body, read)`; `read` is `Store.read_bodies`. Instead of `change`, a migration may name the
ENCRYPTED fields of the collection, whose values are then bound to their places.
"""

import asyncio
import hashlib
import importlib
import pkgutil
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, ClassVar, cast

from msgspec import Struct
from msgspec.structs import replace

from backend.store import Conflict, Document, Duplicate, Store
from backend.store.place import Place
from backend.store.retention import Retention
from backend.store.time import to_the_millisecond

LEASE_SECONDS = 60
BATCH = 1_000
_NAME = re.compile(r"\d{4}_[a-z][a-z0-9_]*")


Body = dict[str, Any]
ReadBodies = Callable[[str, str, int], Awaitable[list[Body]]]
Rebind = Callable[[str, Place], str]


class Migration(Struct, frozen=True):
    """One migration; `id` is the name of its module, `checksum` the hash of its file."""

    id: str
    title: str
    collection: str
    change: Callable[[Body], Body | None] | Callable[[Body, ReadBodies], Awaitable[Body | None]]
    checksum: str
    encrypted: tuple[str, ...] = ()

    async def changed(self, body: Body, read: ReadBodies, rebind: Rebind | None = None) -> Body | None:
        """Return the changed document, or None if it needs no change. Raises UnknownSchema if it needs keys."""
        if self.encrypted:
            return self._rebound(body, rebind)
        if iscoroutinefunction(self.change):
            return await self.change(body, read)
        return cast("Callable[[Body], Body | None]", self.change)(body)

    def _rebound(self, body: Body, rebind: Rebind | None) -> Body | None:
        values = {field: body[field] for field in self.encrypted if body.get(field) is not None}
        if values and rebind is None:
            raise UnknownSchema(f"migrations/{self.id}.py needs the city's keys: set CHENGMA_KEYS to their folder")
        rebound = {
            field: cast("Rebind", rebind)(value, Place(self.collection, body["id"], field))
            for field, value in values.items()
        }
        return body | rebound if rebound != values else None


class MigrationRun(Document, kw_only=True):
    """The progress of a started migration: it has processed the ids up to `after`, or all ids if it is `done`."""

    collection: ClassVar[str] = "migration_runs"
    retention: ClassVar[Retention] = Retention(
        grows_with="each migration",
        ends="never: it is the history of the schema",
        names="nobody",
    )

    checksum: str
    began: datetime
    after: str = ""
    changed: int = 0
    done: bool = False


class Lease(Document, kw_only=True):
    """The exclusive right of one process to do the work that `id` names, until `until`."""

    collection: ClassVar[str] = "leases"
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one for each exclusive work",
        ends="with the work",
        names="nobody",
    )

    holder: str
    until: datetime


class UnknownSchema(Exception):
    """The store does not have the schema that this edition expects. The message says what to do."""


def find_migrations(package: str = "migrations") -> list[Migration]:
    """Return the migrations of a package, in order. Raises UnknownSchema for a repeated number or a wrong name."""
    folder = importlib.import_module(package)
    names = sorted(found.name for found in pkgutil.iter_modules(folder.__path__))
    for name, next_name in zip(names, [*names[1:], ""], strict=True):
        if not _NAME.fullmatch(name) or name[:4] == next_name[:4]:
            raise UnknownSchema(
                f"migrations/{name}.py: the name must be an unused four-digit number, an underscore and some words"
            )
    return [_read(importlib.import_module(f"{package}.{name}"), name) for name in names]


def _read(module: Any, name: str) -> Migration:  # noqa: ANN401  a module
    text = Path(cast("str", module.__file__)).read_bytes()
    title = cast("str", module.__doc__).partition("\n")[0]
    change, encrypted = getattr(module, "change", _unchanged), getattr(module, "ENCRYPTED", ())
    return Migration(name, title, module.COLLECTION, change, hashlib.sha256(text).hexdigest(), encrypted)


def _unchanged(_body: Body) -> None:
    """Change nothing else in a document whose encrypted fields are bound to their places."""


async def pending(store: Store, migrations: Sequence[Migration]) -> list[Migration]:
    """Return the migrations that are not done. Raises UnknownSchema for a history that does not fit."""
    known = {migration.id: migration for migration in migrations}
    runs = {run.id: run async for run in store.scan(MigrationRun)}
    for run in runs.values():
        migration = known.get(run.id)
        if migration is None:
            raise UnknownSchema(
                f"the store was migrated by {run.id}, which this edition does not have: start the edition that ran it"
            )
        if migration.checksum != run.checksum:
            raise UnknownSchema(
                f"migrations/{run.id}.py was edited after it ran: restore it, and write a new migration"
            )
    waiting = [migration for migration in migrations if migration.id not in runs or not runs[migration.id].done]
    done = [run.id for run in runs.values() if run.done]
    for migration in waiting:
        if done and migration.id < max(done):
            raise UnknownSchema(
                f"migrations/{migration.id}.py comes after {max(done)} was run: give it a higher number"
            )
    return waiting


async def assert_up_to_date(store: Store, migrations: Sequence[Migration]) -> None:
    """Check that no migration is pending. Raises UnknownSchema."""
    if waiting := await pending(store, migrations):
        names = ", ".join(migration.id for migration in waiting)
        raise UnknownSchema(f"the store lacks {names}: run `chengma migrate` (with --plan to show what it would do)")


async def is_empty(store: Store, migrations: Sequence[Migration]) -> bool:
    """Return whether the collections of these migrations are empty, as in a new store, which needs no migration."""
    return not [migration for migration in migrations if await store.read_bodies(migration.collection, "", 1)]


async def migrate(
    store: Store,
    migrations: Sequence[Migration],
    progress: Callable[[Migration, int], None],
    batch: int = BATCH,
    rebind: Rebind | None = None,
) -> list[Migration]:
    """Run the pending migrations in order, and return them; `progress` is called with the documents processed.

    `rebind` binds an encrypted value to its place. Without it, a store with encrypted values is refused. If two
    processes start at once, the second waits until the first has finished. Raises UnknownSchema.
    """
    async with _exclusive(store, "migration") as renew:
        waiting = await pending(store, migrations)
        for migration in waiting:
            run = await store.get(MigrationRun, migration.id)
            if run is None:
                began = _now()
                run = await store.insert(MigrationRun(id=migration.id, checksum=migration.checksum, began=began))
            await _run(store, migration, run, progress, renew, batch, rebind)
        return waiting


async def _run(
    store: Store,
    migration: Migration,
    run: MigrationRun,
    progress: Callable[[Migration, int], None],
    renew: Callable[[], Any],
    batch: int,
    rebind: Rebind | None,
) -> None:
    seen = 0
    while bodies := await store.read_bodies(migration.collection, run.after, batch):
        found = [await migration.changed(body, store.read_bodies, rebind) for body in bodies]
        changed = [body for body in found if body is not None]
        written = await store.write_bodies(migration.collection, changed)
        run = replace(run, changed=run.changed + written)
        if written == len(changed):  # otherwise a document changed meanwhile, and the batch is read again
            seen += len(bodies)
            run = replace(run, after=cast("str", bodies[-1]["id"]))
            progress(migration, seen)
        run = await store.replace(run)
        await renew()
    await store.replace(replace(run, done=True))


@asynccontextmanager
async def _exclusive(store: Store, lease_id: str) -> AsyncGenerator[Callable[[], Any], None]:
    """Wait for the lease `lease_id`, and hold it during the block; call the yielded function to renew it for a minute.

    A process that dies keeps the lease until the minute is over.
    """
    holder = secrets.token_hex(8)
    lease = await _acquire(store, lease_id, holder)

    async def renew() -> None:
        nonlocal lease
        lease = await store.replace(replace(lease, until=_lease_end()))

    try:
        yield renew
    finally:
        await store.delete(lease)


async def _acquire(store: Store, lease_id: str, holder: str) -> Lease:
    while True:
        current = await store.get(Lease, lease_id)
        lease = Lease(id=lease_id, holder=holder, until=_lease_end())
        try:
            if current is None:
                return await store.insert(lease)
            if current.until < _now():
                return await store.replace(replace(lease, revision=current.revision))
        except (Duplicate, Conflict):
            pass  # another process was faster
        await asyncio.sleep(0.2)


def _now() -> datetime:
    return to_the_millisecond(datetime.now(UTC))


def _lease_end() -> datetime:
    return datetime.fromtimestamp(int(_now().timestamp()) + LEASE_SECONDS, UTC)


def plan(waiting: Sequence[Migration], counts: Mapping[str, int]) -> list[str]:
    """Return what `migrate` would do, a line for each migration."""
    return [
        f"{migration.id}  {migration.collection}: {counts.get(migration.collection, 0):,} documents  {migration.title}"
        for migration in waiting
    ]


def rename_fields(body: dict[str, Any], renames: Mapping[str, str]) -> dict[str, Any] | None:
    """Return a document with fields renamed, or None if it has none of the old names.

    A key of `renames` is the path of a field through nested objects and lists, such as `evidence.said`; its value is
    the field's new name. Paths use the old names throughout.
    """
    renamed = _renamed(body, "", renames)
    return None if renamed == body else renamed


def _renamed(value: Any, path: str, renames: Mapping[str, str]) -> Any:  # noqa: ANN401  any stored value
    if isinstance(value, list):
        return [_renamed(item, path, renames) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    return {
        renames.get(f"{path}{name}", name): _renamed(item, f"{path}{name}.", renames) for name, item in fields.items()
    }


def replace_values(body: dict[str, Any], renamed_values: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """Return a document with enumerated values replaced, or None if it has none of the old ones.

    A key of `renamed_values` is the path of a field, such as `parts.state`; its value maps old values to new ones.
    """
    replaced = _replaced(body, "", renamed_values)
    return None if replaced == body else replaced


def _replaced(value: Any, path: str, renamed_values: Mapping[str, Mapping[str, str]]) -> Any:  # noqa: ANN401  any stored value
    if isinstance(value, list):
        return [_replaced(item, path, renamed_values) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _replaced(item, f"{path}.{name}".lstrip("."), renamed_values) for name, item in fields.items()}
    return renamed_values[path].get(value, value) if path in renamed_values and isinstance(value, str) else value
