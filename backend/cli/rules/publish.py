"""`chengma rules publish`: a folder of rules in force in one step, on a laptop."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.city.releases import activate_release, store_release
from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorCommand, AuthorError, say
from backend.cli.rules.loading import FOLDER, count_rules, test_folder
from backend.i18n import Text
from backend.rulebook import read_rules

if TYPE_CHECKING:
    from backend.store import Store


@click.command(
    cls=AuthorCommand,
    zh="""使 FOLDER 中的规则模块在几秒内对所有运行中的进程施行。只用于本机开发。

先检查规则并运行案例。存下的版本以编号命名，不再改变。在城市中，由编制人提交规则，由另一人批准并施行。""",
)
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
        raise AuthorError(text)
    where = folder or Path(settings.rules)
    rulebook, cases = test_folder(settings, where)
    with report_errors():

        async def publish_release(store: Store) -> None:
            now = datetime.now(UTC).replace(microsecond=0)
            await store_release(store, read_rules(where), rulebook, now)
            await activate_release(store, rulebook.digest, now)

        with_store(settings, publish_release)
    say(
        Text(
            zh="{cases}个案例全部通过。{rules}已施行。编号 {digest}",
            en="{cases} cases pass. {rules} are in force. Digest {digest}",
        ),
        cases=cases,
        rules=count_rules(rulebook),
        digest=rulebook.digest[:16],
    )
