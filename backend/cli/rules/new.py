"""`chengma rules new`: a module with a first rule and its cases, ready to edit."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

import click

from backend.cli.errors import load_settings
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.author_files import write_file
from backend.cli.rules.loading import needed_modules
from backend.i18n import Text
from backend.rulebook import CASES, InvalidRulebook, read_rules
from backend.rulebook.editor.new_module import NewModule, copied_terms, first_day
from backend.rulebook.language.types import terms_of
from backend.rulebook.needs import RuleModule, facts_of

if TYPE_CHECKING:
    from datetime import date

    from msgspec import Struct

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63})+")


@click.command(
    cls=AuthorCommand,
    zh="""新建模块 MODULE（如 medical_credit.limit）：一条规则及其案例，能通过 check 和 test。

从不覆盖已有的文件。""",
)
@click.argument("module")
@click.option(
    "--facts",
    "facts_name",
    cls=AuthorOption,
    help="The Struct of the facts (default: as other modules of the service).",
    zh="事实的名称（默认：与该服务的其他模块相同）。",
)
@click.option(
    "--rules",
    "folder",
    type=click.Path(path_type=Path),
    cls=AuthorOption,
    help="Write to this folder of rules instead.",
    zh="改为写入此规则文件夹。",
)
def new(module: str, facts_name: str | None, folder: Path | None) -> None:
    """Create MODULE (such as medical_credit.limit): a first rule and its cases, which pass `check` and `test`.

    Existing files are never overwritten.
    """
    settings = load_settings()
    where = folder or Path(settings.rules)
    if not _NAME.fullmatch(module):
        raise AuthorError(
            Text(
                zh=f"“{module}”不是模块名：请写“文件夹.文件名”，只用小写字母、数字和 _",
                en=f"{module!r} is not the name of a module: write folder.file, with lower-case letters, digits and _",
            )
        )
    path = where.joinpath(*module.split(".")).with_suffix(".yaml")
    cases = path.with_name(f"{path.stem}{CASES}.yaml")
    for existing in (path, cases):
        if existing.exists():
            raise AuthorError(
                Text(zh=f"{existing} 已存在，未写入", en=f"{existing} exists already; nothing was written")
            )
    need = _need(module, facts_name)
    zone = ZoneInfo(settings.time_zone)
    since = first_day(datetime.now(UTC).astimezone(zone))
    made = NewModule(
        module,
        need.facts,
        cast("tuple[str, ...] | tuple[int, int]", need.results) or ("no", "yes"),
        need.collects,
        since,
        zone,
        _terms(where, need.facts, since),
        language(),
    )
    write_file(path, made.module_text())
    write_file(cases, made.cases_text())
    click.echo(f"{path}\n{cases}")


def _need(module: str, facts_name: str | None) -> RuleModule:
    """Return what the services need of a module of this name; with `facts_name`, on those facts."""
    needed = needed_modules()
    known = {struct.__name__: struct for struct in facts_of(needed)}
    if facts_name is not None and facts_name not in known:
        raise AuthorError(
            Text(
                zh=f"没有名为“{facts_name}”的事实；可用的有：{'、'.join(sorted(known))}",
                en=f"there are no facts {facts_name!r}; use one of: {', '.join(sorted(known))}",
            )
        )
    covering = [need for need in needed if need.covers(module)]
    if covering:
        return covering[0]
    if facts_name is not None:
        return RuleModule(module, known[facts_name])
    service = module.partition(".")[0]
    same_service = [need for need in needed if need.name.partition(".")[0] == service]
    if not same_service:
        raise AuthorError(
            Text(
                zh=f"没有名为“{service}”的服务：请用 --facts 指定事实：{'、'.join(sorted(known))}",
                en=f"no service is named {service!r}: choose facts with --facts, one of: {', '.join(sorted(known))}",
            )
        )
    return RuleModule(module, same_service[0].facts)


def _terms(folder: Path, facts: type[Struct], since: date) -> str:
    """Return terms for facts that need them, as simple as the simplest of a module on the same facts."""
    if terms_of(facts) is None:
        return ""
    try:
        texts = [file.text for file in read_rules(folder).values()]
    except InvalidRulebook:
        texts = []
    found = copied_terms([text for text in texts if f"facts: {facts.__name__}\n" in text], since)
    if not found:
        raise AuthorError(
            Text(
                zh=f"以 {facts.__name__} 为事实的模块须有 `terms`，而没有其他模块可以照抄",
                en=f"a module on {facts.__name__} needs `terms`, and no other module has them to copy",
            )
        )
    return found
