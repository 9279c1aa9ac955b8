"""`chengma rules publish`, `releases` and `rollback`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from backend.city.releases import (
    IN_FORCE,
    RulebookPointer,
    activate_release,
    release_named,
    released_rulebook,
    store_release,
)
from backend.cli.errors import load_settings, report_errors
from backend.cli.rules.loading import FOLDER, count_rules, needed_modules, test_folder
from backend.rulebook import read_rules

if TYPE_CHECKING:
    from backend.store import Store


@click.command()
@FOLDER
def publish(folder: Path | None) -> None:
    """Put the rule modules in FOLDER in force in every running process, within seconds.

    They are checked and their cases are run first. The stored release is named by its digest and never changes.
    """
    from backend.cli.operations import with_store

    settings = load_settings()
    where = folder or Path(settings.rules)
    rulebook, cases = test_folder(settings, where)
    with report_errors():

        async def publish_release(store: Store) -> None:
            now = datetime.now(UTC).replace(microsecond=0)
            await store_release(store, read_rules(where), rulebook, now)
            await activate_release(store, rulebook.digest, now)

        with_store(settings, publish_release)
    click.echo(f"{cases} cases pass. {count_rules(rulebook)} are in force. Digest {rulebook.digest[:16]}")


@click.command()
def releases() -> None:
    """List the releases that have been in force; the last one still is."""
    from backend.cli.operations import with_store

    with report_errors():
        pointer = with_store(load_settings(), lambda store: store.get(RulebookPointer, IN_FORCE))
    for entry in pointer.past if pointer is not None else ():
        click.echo(f"{entry.digest[:16]}  in force from {entry.since:%Y-%m-%d %H:%M:%S} UTC")
    if pointer is None:
        click.echo("No release has been published: each process uses its own folder of rules.")


@click.command()
@click.argument("digest")
def rollback(digest: str) -> None:
    """Put an earlier release in force again; DIGEST is the beginning of its digest."""
    from backend.cli.operations import with_store

    settings = load_settings()

    async def activate(store: Store) -> str:
        full_digest = await release_named(store, digest)
        await released_rulebook(store, full_digest, needed_modules(), ZoneInfo(settings.time_zone))
        await activate_release(store, full_digest, datetime.now(UTC).replace(microsecond=0))
        return full_digest

    with report_errors():
        full_digest = with_store(settings, activate)
    click.echo(f"The rulebook {full_digest[:16]} is in force.")
