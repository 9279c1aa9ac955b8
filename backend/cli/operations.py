"""The commands of operators: migrate and copy the store, manage background jobs, run workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend.app import documents_of
from backend.city.audit_log import city_act, entry_of
from backend.city.binding import bind_city
from backend.city.service import discover_services
from backend.cli.errors import load_settings, report_errors
from backend.cli.preflight import check_mongodb
from backend.jobs.tasks import DeadLetter, Job
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring
from backend.store import Conflict, Order
from backend.store.connect import (
    SQLITE,
    display_address,
    open_store,
    prepare_store,
    sharding_commands,
    store_address,
    store_file,
)
from backend.store.copy import CopyRefused, copy_city
from backend.store.migrations import assert_up_to_date, find_migrations, migrate, pending, plan
from backend.store.retention import retention_table
from backend.store.time import to_the_millisecond

if TYPE_CHECKING:
    from backend.settings import Settings
    from backend.store import Document, Store
    from backend.store.migrations import Migration

T = TypeVar("T")


def with_store(settings: Settings, work: Callable[[Store], Awaitable[T]], address: str | None = None) -> T:
    """Open the store of the settings, or of another address, run `work` on it, and close it."""

    async def run() -> T:
        store = open_store(
            address or settings.store, _documents(), driver="pymongo", timeout_ms=settings.store_timeout_ms
        )
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _documents() -> list[type[Document]]:
    return documents_of(discover_services())


@click.command("migrate")
@click.option("--plan", "only_plan", is_flag=True, help="Show the plan without changing anything.")
@click.option("--shards", "only_shards", is_flag=True, help="Print the commands that shard the collections.")
def migrate_(only_plan: bool, only_shards: bool) -> None:
    """Migrate the store to the schema of this edition.

    Creates collections, indexes and validators, then runs each pending migration once. An interrupted run is resumed
    by the next; if two start at once, one waits.
    """
    settings = load_settings()
    if only_shards:
        click.echo("\n".join(sharding_commands(settings.store, _documents())))
        return
    with report_errors():
        migrations = find_migrations()
        if not settings.store.startswith(SQLITE):
            check_mongodb(settings.store, settings.store_timeout_ms, settings.clock_skew_seconds)
        if only_plan:
            click.echo("\n".join(with_store(settings, lambda store: _plan(store, migrations))))
            return
        prepare_store(settings.store, _documents())
        keys = Path(settings.keys)
        keyring = Keyring.open(keys) if keys.is_dir() else None
        done = with_store(settings, lambda store: _migrate(settings, store, migrations, keyring))
    click.echo(f"{len(done)} migrations done; {display_address(settings.store)} is up to date.")


async def _plan(store: Store, migrations: list[Migration]) -> list[str]:
    waiting = await pending(store, migrations)
    counts = await _counts(store)
    return plan(waiting, counts) or ["Nothing: the store is up to date."]


async def _counts(store: Store) -> dict[str, int]:
    return {kind.collection: await store.count(kind, {}) for kind in _documents()}


async def _migrate(
    settings: Settings, store: Store, migrations: list[Migration], keyring: Keyring | None
) -> list[Migration]:
    counts = await _counts(store)
    with _progress() as bar:
        bars = {
            migration.id: bar.add_task(migration.id, total=counts.get(migration.collection, 0), visible=False)
            for migration in migrations
        }

        def progress(migration: Migration, seen: int) -> None:
            bar.update(bars[migration.id], completed=seen, visible=True)

        rebind = FieldEncryption(keyring).rebind if keyring is not None else None
        done = await migrate(store, migrations, progress, rebind=rebind)
    if keyring is not None:
        await bind_city(store, keyring, display_address(settings.store))
    return done


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


@click.command("copy")
@click.argument("source")
@click.argument("target")
def copy_(source: str, target: str) -> None:
    """Copy a city from the store SOURCE to the store TARGET, such as var/city.db mongodb://...

    Stop the servers of SOURCE first: a copy during which something is written is refused. TARGET must be empty or
    contain an interrupted copy of the same city, which is resumed. At the end every collection is counted and hashed in
    both stores; exits with 1 if they differ.
    """
    settings = load_settings()
    source, target = store_address(source), store_address(target)
    with report_errors():
        file = store_file(source)
        if file is not None and not file.is_file():
            raise click.ClickException(f"{file}: there is no such file, so there is no city to copy")
        prepare_store(target, _documents())
        with_store(settings, lambda store: _copy(settings, store, source, target), source)


async def _copy(settings: Settings, source: Store, name: str, address: str) -> None:
    await assert_up_to_date(source, find_migrations())
    target = open_store(address, _documents(), driver="pymongo", timeout_ms=settings.store_timeout_ms)
    try:
        with _progress() as bar:
            bars = {kind.collection: bar.add_task(kind.collection, visible=False) for kind in _documents()}

            def progress(collection: str, done: int, total: int) -> None:
                bar.update(bars[collection], completed=done, total=total, visible=True)

            copied = await copy_city(source, target, display_address(name), _documents(), progress)
    except CopyRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        await target.close()
    for collection in copied:
        click.echo(f"{collection.collection:24}{collection.count:>10,}  {collection.digest}")
    total = sum(collection.count for collection in copied)
    click.echo(f"{total:,} documents are equal in {display_address(name)} and {display_address(address)}.")


@click.group()
def jobs() -> None:
    """Manage background jobs that failed permanently."""


@jobs.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000))
def list_(limit: int) -> None:
    """List the jobs that failed permanently, newest first, with the reason."""

    async def read(store: Store) -> list[DeadLetter]:
        newest = Order("at_ms", "descending")
        return (await store.find(DeadLetter, {"dead": True}, order=newest, limit=limit)).documents

    settings = load_settings()
    with report_errors():
        letters = with_store(settings, read)
    for job in letters:
        click.echo(f"{job.id}  {job.task}{job.arguments}  after {job.attempts} attempts: {job.error}")
    click.echo(
        f"{len(letters)} jobs failed permanently." + (" `chengma jobs retry ID` retries one." if letters else "")
    )


@jobs.command("retry")
@click.argument("job_id")
def retry(job_id: str) -> None:
    """Enqueue again a job that failed permanently."""
    settings = load_settings()
    if not settings.broker:
        raise click.ClickException(
            "CHENGMA_BROKER is empty, so there are no workers; the sweeps of the server do the work"
        )

    async def publish_again(store: Store) -> DeadLetter:
        job = await store.get(DeadLetter, job_id)
        if job is None or not job.dead:
            raise click.ClickException(f"no failed job has the id {job_id}; `chengma jobs list` lists the failed jobs")
        now = to_the_millisecond(datetime.now(UTC))
        await store.insert(entry_of(city_act("jobs.retried", job_id, now), ZoneInfo(settings.time_zone), now))
        from backend.jobs.celery import CeleryQueue

        await asyncio.to_thread(CeleryQueue(settings).publish, Job(job.task, job.arguments, job.id))
        with suppress(Conflict):  # it failed again meanwhile, so the dead letter stays
            await store.delete(job)
        return job

    with report_errors():
        click.echo(f"{with_store(settings, publish_again).task} is enqueued again.")


@click.command("worker")
@click.option("--name", default="worker", show_default=True, help="Worker name in the log; must be unique.")
def worker(name: str) -> None:
    """Run background jobs until interrupted; needs CHENGMA_BROKER. Start several workers for more throughput."""
    settings = _with_broker()
    from backend.operations.access_log import log_as_json_lines
    from backend.worker import work

    log_as_json_lines()
    work(settings, name)


@click.command("beat")
def beat() -> None:
    """Publish the sweeps on schedule until interrupted; needs CHENGMA_BROKER. Start exactly one."""
    settings = _with_broker()
    from backend.operations.access_log import log_as_json_lines
    from backend.worker import beat as run

    log_as_json_lines()
    run(settings)


def _with_broker() -> Settings:
    from backend.app import discover_parts
    from backend.cli.preflight import check_before_serving

    settings = load_settings()
    if not settings.broker:
        raise click.ClickException("CHENGMA_BROKER is empty: the server runs background jobs itself, without workers")
    with report_errors():
        services = discover_parts(settings).services
        check_before_serving(settings, services, find_migrations())
    return settings


@click.command()
def retention() -> None:
    """Print how long the documents of each collection are kept, as a table in Markdown."""
    click.echo(retention_table({kind.collection: kind.retention for kind in _documents()}))
