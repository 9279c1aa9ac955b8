"""The commands of those who operate a city: migrate its store, move it, look after its background jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend.app import documents_of
from backend.city.service import discover_services
from backend.cli.errors import load_settings, report_errors
from backend.cli.preflight import look_at_mongodb
from backend.jobs.tasks import DeadLetter, Job
from backend.store import Conflict, Order
from backend.store.connect import SQLITE, open_store, place, prepare_store, sharding
from backend.store.copy import CopyRefused, copy_city
from backend.store.migrations import assert_up_to_date, find_migrations, migrate, pending, plan

if TYPE_CHECKING:
    from backend.settings import Settings
    from backend.store import Document, Store
    from backend.store.migrations import Migration

T = TypeVar("T")


def in_store(settings: Settings, work: Callable[[Store], Awaitable[T]], address: str | None = None) -> T:
    """Open the store of the settings, or another, work on it, and close it."""

    async def whole() -> T:
        store = open_store(
            address or settings.store, _documents(), driver="pymongo", timeout_ms=settings.store_timeout_ms
        )
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(whole())


def _documents() -> list[type[Document]]:
    return documents_of(discover_services())


@click.command("migrate")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--shards", "only_shards", is_flag=True, help="Print the commands that shard the collections.")
def migrate_(only_plan: bool, only_shards: bool) -> None:
    """Bring the store to what this edition of the city expects.

    Makes collections, indexes and validators, then runs the migrations that it has not seen yet, each once. An
    interrupted run is gone on with by the next; of two started at once one waits for the other.
    """
    settings = load_settings()
    if only_shards:
        click.echo("\n".join(sharding(settings.store, _documents())))
        return
    with report_errors():
        migrations = find_migrations()
        if not settings.store.startswith(SQLITE):
            look_at_mongodb(settings.store, settings.store_timeout_ms, settings.clock_skew_seconds)
        if only_plan:
            click.echo("\n".join(in_store(settings, lambda store: _plan(store, migrations))))
            return
        prepare_store(settings.store, _documents())
        done = in_store(settings, lambda store: _migrate(store, migrations))
    click.echo(f"{len(done)} migrations done; {place(settings.store)} is up to date.")


async def _plan(store: Store, migrations: list[Migration]) -> list[str]:
    waiting = await pending(store, migrations)
    counts = await _counts(store)
    return plan(waiting, counts) or ["Nothing: the store is up to date."]


async def _counts(store: Store) -> dict[str, int]:
    return {kind.collection: await store.count(kind, {}) for kind in _documents()}


async def _migrate(store: Store, migrations: list[Migration]) -> list[Migration]:
    counts = await _counts(store)
    with _progress() as bar:
        bars = {one.id: bar.add_task(one.id, total=counts.get(one.collection, 0), visible=False) for one in migrations}

        def progress(migration: Migration, seen: int) -> None:
            bar.update(bars[migration.id], completed=seen, visible=True)

        return await migrate(store, migrations, progress)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


@click.command("copy")
@click.argument("source")
@click.argument("target")
def copy_(source: str, target: str) -> None:
    """Copy a city from the store SOURCE to the store TARGET, such as sqlite:///var/city.db mongodb://...

    Nothing may be written to SOURCE meanwhile: stop its servers. TARGET is empty, or holds what an interrupted copy of
    the same city has left; then it is gone on with. At the end every collection is read on both sides, and counted and
    hashed; exits with 1 where they differ.
    """
    settings = load_settings()
    with report_errors():
        prepare_store(target, _documents())
        in_store(settings, lambda one: _copy(settings, one, source, target), source)


async def _copy(settings: Settings, source: Store, name: str, address: str) -> None:
    await assert_up_to_date(source, find_migrations())
    target = open_store(address, _documents(), driver="pymongo", timeout_ms=settings.store_timeout_ms)
    try:
        with _progress() as bar:
            bars = {kind.collection: bar.add_task(kind.collection, visible=False) for kind in _documents()}

            def progress(collection: str, done: int, total: int) -> None:
                bar.update(bars[collection], completed=done, total=total, visible=True)

            found = await copy_city(source, target, place(name), _documents(), progress)
    except CopyRefused as error:
        raise click.ClickException(str(error)) from error
    finally:
        await target.close()
    for line in found:
        click.echo(f"{line.collection:24}{line.count:>10,}  {line.digest}")
    click.echo(f"{sum(line.count for line in found):,} documents are the same in {place(name)} and {place(address)}.")


@click.group()
def jobs() -> None:
    """Look after background jobs that were given up."""


@jobs.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000))
def list_(limit: int) -> None:
    """List the jobs that were given up, newest first, with the reason."""

    async def read(store: Store) -> list[DeadLetter]:
        newest = Order("at_ms", "descending")
        return (await store.find(DeadLetter, {"dead": True}, order=newest, limit=limit)).documents

    settings = load_settings()
    with report_errors():
        found = in_store(settings, read)
    for job in found:
        click.echo(f"{job.id}  {job.task}{job.arguments}  after {job.attempts} tries: {job.error}")
    click.echo(f"{len(found)} jobs were given up." + (" `chengma jobs retry ID` tries one again." if found else ""))


@jobs.command("retry")
@click.argument("job_id")
def retry(job_id: str) -> None:
    """Hand a job that was given up to a worker again."""
    settings = load_settings()
    if not settings.broker:
        raise click.ClickException("CHENGMA_BROKER is empty: no worker could take it; the sweeps of the server do")

    async def take(store: Store) -> DeadLetter:
        job = await store.get(DeadLetter, job_id)
        if job is None or not job.dead:
            raise click.ClickException(f"no job {job_id} was given up; `chengma jobs list` lists them")
        from backend.jobs.celery import CeleryQueue

        await asyncio.to_thread(CeleryQueue(settings).publish, Job(job.task, job.arguments, job.id))
        with suppress(Conflict):  # it failed again meanwhile, and stays
            await store.delete(job)
        return job

    with report_errors():
        click.echo(f"{in_store(settings, take).task} is tried again.")


@click.command("worker")
@click.option("--name", default="worker", show_default=True, help="Its name in the log; give each its own.")
def worker(name: str) -> None:
    """Do background jobs until interrupted; needs CHENGMA_BROKER. Start several for more."""
    settings = _with_broker()
    from backend.operations.access_log import log_as_json_lines
    from backend.worker import work

    log_as_json_lines()
    work(settings, name)


@click.command("beat")
def beat() -> None:
    """Start the sweeps at their times until interrupted; needs CHENGMA_BROKER. Start one of it."""
    settings = _with_broker()
    from backend.operations.access_log import log_as_json_lines
    from backend.worker import beat as run

    log_as_json_lines()
    run(settings)


def _with_broker() -> Settings:
    from backend.app import facts_of
    from backend.cli.preflight import check_before_serving

    settings = load_settings()
    if not settings.broker:
        raise click.ClickException("CHENGMA_BROKER is empty: the server does background work itself, without workers")
    with report_errors():
        services = discover_services()
        check_before_serving(settings, documents_of(services), facts_of(services), find_migrations())
    return settings
