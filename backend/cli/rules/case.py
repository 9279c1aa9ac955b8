"""`chengma rules case`: facts, such as a counterexample or a sample of a preview, become a case."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from backend.cli.errors import load_settings
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.author_files import write_file
from backend.cli.rules.explain import read_facts
from backend.cli.rules.instants import instant
from backend.cli.rules.loading import OTHER_RULES, load, needed_modules, unknown_module
from backend.i18n import Text
from backend.rulebook import CASES, read_file
from backend.rulebook.modules.case_reader import read_cases
from backend.rulebook.modules.case_writer import case_yaml, end_of_cases, is_block_list, without_personal_data
from backend.rulebook.modules.cases import Personas
from backend.rulebook.modules.yaml_document import YamlMapping, read_document
from backend.rulebook.needs import facts_of
from backend.rulebook.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backend.rulebook.modules.case_reader import Persona
    from backend.rulebook.modules.module import Module


_PERSONAL = Text(
    zh="结论取决于字段“{field}”中的自由文本，案例不得包含它：请换成虚构的文本",
    en="the verdict depends on a free text in {field!r}, which a case must not contain: replace it by an invented one",
)
_NO_FILE = Text(zh="{path} 不是可以追加案例的文件", en="{path} is not a file of cases to which one can be added")
_UNCHANGED = Text(zh="{path} 未改动", en="{path} was not changed")


@click.command(
    cls=AuthorCommand,
    zh="""把一组事实写成 MODULE 的案例，预期为规则现在的结论；或追加到案例文件。

案例不含个人信息：模块的规则不读取的字段和自由文本一律略去；结论不变时，时间和金额取整。
请先核对预期再保留：它是规则现在得出的结论，不一定就是法律的规定。""",
)
@click.argument("module")
@click.option(
    "--facts",
    "given",
    cls=AuthorOption,
    required=True,
    type=click.File(encoding="utf-8"),
    help="The facts, in YAML or JSON; - reads them from standard input.",
    zh="事实，YAML或JSON；写 - 时从标准输入读取。",
)
@click.option(
    "--at",
    cls=AuthorOption,
    callback=instant,
    help="The day to decide for, or the instant with its offset from UTC (default: now).",
    zh="判定的日期，或写明与UTC时差的时刻（默认：现在）。",
)
@click.option(
    "--on",
    cls=AuthorOption,
    type=click.DateTime(["%Y-%m-%d"]),
    help="Use the rules in force on this day.",
    zh="使用该日有效的规则。",
)
@click.option(
    "--name", cls=AuthorOption, required=True, help="What the case shows, as a sentence.", zh="用一句话说明案例。"
)
@click.option(
    "--exact",
    cls=AuthorOption,
    is_flag=True,
    help="Do not round instants and amounts: the facts are of an invented person.",
    zh="时间和金额不取整：事实属于虚构的人。",
)
@click.option(
    "--write",
    cls=AuthorOption,
    is_flag=True,
    help="Append the case to the module's file of cases.",
    zh="追加到模块的案例文件。",
)
@OTHER_RULES
def case(
    module: str,
    given: TextIO,
    at: datetime | None,
    on: datetime | None,
    name: str,
    *,
    exact: bool,
    write: bool,
    folder: Path | None,
) -> None:
    """Print facts as a case of MODULE that expects the verdict on them, or append it to the file of cases.

    The case has no personal data: fields that no rule of the module reads and free texts are left out, and instants and
    amounts are rounded if the verdict stays the same. Check the expectation before you keep it: it is what the rules
    decide today, not necessarily what the law says.
    """
    settings = load_settings()
    where = folder or Path(settings.rules)
    rulebook = load(settings, where, strict=False)
    if module not in rulebook.modules:
        raise unknown_module(module, rulebook)
    found = rulebook.modules[module]
    moment = at or datetime.now(UTC).replace(microsecond=0)
    day = on.date() if on else None
    facts = read_facts(given, found)
    try:
        plain = without_personal_data(rulebook, found, facts, moment, on=day, exact=exact)
    except ValueError as error:
        field = str(error)
        raise AuthorError(_PERSONAL.format(field=field)) from error
    verdict = rulebook.evaluate(module, plain, moment, on=day)
    text = case_yaml(name, plain, verdict, rulebook.time_zone, on=day)
    if not write:
        click.echo(text, nl=False)
        return
    path = where.joinpath(*module.split(".")).with_suffix(f"{CASES}.yaml")
    personas = Personas(where, [*facts_of(needed_modules()), found.facts]).of(path)
    line = _append(path, found, personas, name, text)
    click.echo(f"{path}:{line}: {name}")


def _append(path: Path, module: Module, personas: Mapping[str, Persona], name: str, text: str) -> int:
    """Add a case to a file of cases, or begin the file. Returns the line of the case."""
    if not path.exists():
        write_file(path, f"module: {module.name}\ncases:\n{text}")
        return 3
    file = read_file(path)
    root = read_document(file)
    if (
        not isinstance(root, YamlMapping)
        or "cases" not in root.entries
        or not is_block_list(root.entries["cases"].value)
    ):
        raise AuthorError(_NO_FILE.format(path=str(path)))
    lines = file.text.split("\n")
    end = end_of_cases(root, file.text)
    changed = "\n".join([*lines[:end], text.rstrip("\n"), *lines[end:]])
    changed = changed if changed.endswith("\n") else f"{changed}\n"
    after = SourceFile(str(path), changed, [])
    if name not in {each.name for each in read_cases(after, module, personas)} or after.faults:
        click.echo("\n".join(fault.in_language(language()) for fault in after.faults), err=True)
        raise AuthorError(_UNCHANGED.format(path=str(path)))
    write_file(path, changed)
    return end + 1
