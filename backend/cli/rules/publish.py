"""`chengma rules publish`: a folder of rules in force in one step, on a laptop."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.city.releases import activate_release, store_release
from backend.cli.errors import load_settings, report_errors
from backend.cli.language import language
from backend.cli.rules.loading import FOLDER, count_rules, test_folder
from backend.i18n import Text
from backend.rulebook import read_rules

if TYPE_CHECKING:
    from backend.store import Store


@click.command()
@FOLDER
def publish(folder: Path | None) -> None:
    """Put the rule modules in FOLDER in force in every running process, within seconds. For development alone.

    They are checked and their cases are run first. The stored release is named by its digest and never changes. In a
    city, an author releases the rules and another person approves and activates them.
    """
    from backend.cli.operations import with_store

    settings = load_settings()
    if not settings.development:
        text = Text(
            zh="publish 只用于本机开发（CHENGMA_DEVELOPMENT=true）。正式发布请用：\n"
            "  chengma rules release，由另一人 chengma rules approve，再 chengma rules activate",
            en="publish is for development alone (CHENGMA_DEVELOPMENT=true). In a city, use:\n"
            "  chengma rules release; another person then uses chengma rules approve and chengma rules activate",
        )
        raise click.ClickException(text.in_language(language()))
    where = folder or Path(settings.rules)
    rulebook, cases = test_folder(settings, where)
    with report_errors():

        async def publish_release(store: Store) -> None:
            now = datetime.now(UTC).replace(microsecond=0)
            await store_release(store, read_rules(where), rulebook, now)
            await activate_release(store, rulebook.digest, now)

        with_store(settings, publish_release)
    click.echo(f"{cases} cases pass. {count_rules(rulebook)} are in force. Digest {rulebook.digest[:16]}")
