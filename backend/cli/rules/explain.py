"""`chengma rules explain`: what a module decides for given facts, why, and the smallest way to a better result."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from zoneinfo import ZoneInfo

import click
import msgspec

from backend.cli.errors import load_settings
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.instants import instant
from backend.cli.rules.loading import OTHER_RULES, load, needed_modules, rulebook_in_force, unknown_module
from backend.cli.rules.printed_explanation import Printer
from backend.i18n import Text
from backend.rulebook.explanation.details import explanation_details
from backend.rulebook.explanation.explanation import Explanation, explain_verdict
from backend.rulebook.explanation.plain import sentences
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import read_document
from backend.rulebook.needs import best_end
from backend.rulebook.source import SourceFile

if TYPE_CHECKING:
    from msgspec import Struct

    from backend.rulebook.modules.module import Module


_ZH = """说明 MODULE（如 health_code.colour）对给定事实的决定、理由，以及怎样可以改变。

依据现行有效的规则；尚未发布规则的，依据本市自己的规则文件夹。
"""


@click.command(cls=AuthorCommand, zh=_ZH)
@click.argument("module")
@click.option(
    "--facts",
    "given",
    cls=AuthorOption,
    type=click.File(encoding="utf-8"),
    help="The facts, in YAML or JSON; - reads them from standard input.",
    zh="事实文件（YAML 或 JSON）；- 表示从标准输入读取。",
)
@click.option(
    "--person",
    cls=AuthorOption,
    help="Use the present facts of this person: the city's id of them, as in the samples of a preview and in the audit "
    "log, or the id of their code; not an identity card's number. It is logged, and the person sees it.",
    zh="使用此人目前的事实：填写本市的人员编号（见预览的样例和审计日志）或其码的编号，不是身份证号。查询会记入日志，本人可见。",
)
@click.option(
    "--at",
    cls=AuthorOption,
    callback=instant,
    help="The day to decide for, or the instant with its offset from UTC (default: now).",
    zh="以哪一日或哪一时刻决定，时刻须带时区（默认：现在）。",
)
@click.option(
    "--on",
    cls=AuthorOption,
    type=click.DateTime(["%Y-%m-%d"]),
    help="Use the rules in force on this day (default: the day of --at).",
    zh="使用这一天有效的规则（默认：--at 当天）。",
)
@OTHER_RULES
@click.option(
    "--rule",
    "only_rule",
    cls=AuthorOption,
    help="Explain only this rule, whether or not it fired.",
    zh="只说明这一条规则，不论其是否成立。",
)
@click.option(
    "--to",
    "wanted",
    cls=AuthorOption,
    help="The result to reach, a word or a number (default: any better one).",
    zh="想要达到的结果，词或数（默认：任何更好的结果）。",
)
@click.option(
    "--for",
    "reader",
    cls=AuthorOption,
    type=click.Choice(["author", "citizen"]),
    default="author",
    help="Who reads it.",
    zh="给谁看：author 规则编制人员，citizen 市民。",
)
@click.option(
    "--language",
    "chosen",
    cls=AuthorOption,
    type=click.Choice(["zh", "en"]),
    help="The language (default: CHENGMA_LANGUAGE, or the terminal's).",
    zh="语言（默认：CHENGMA_LANGUAGE，或终端的语言）。",
)
@click.option(
    "--json", "as_json", cls=AuthorOption, is_flag=True, help="Print JSON for machines.", zh="输出 JSON，供程序使用。"
)
def explain(
    module: str,
    given: TextIO | None,
    person: str | None,
    at: datetime | None,
    on: datetime | None,
    folder: Path | None,
    only_rule: str | None,
    wanted: str | None,
    reader: str,
    chosen: str | None,
    *,
    as_json: bool,
) -> None:
    """Show what MODULE (such as health_code.colour) decides for given facts, why, and what would change it.

    The law is the release in force, or the city's own folder of rules if none was published.
    """
    settings = load_settings()
    rulebook = load(settings, folder, strict=False) if folder is not None else rulebook_in_force(settings)
    if module not in rulebook.modules:
        raise unknown_module(module, rulebook)
    facts = _facts(rulebook.modules[module], given, person, at)
    at, day, zone = at or datetime.now(UTC), on.date() if on else None, ZoneInfo(settings.time_zone)
    chosen = chosen or language()
    if only_rule is not None:
        Printer(zone, chosen).only(rulebook, module, facts, at, day, only_rule)
        return
    explanation = explain_verdict(
        rulebook,
        module,
        facts,
        at,
        on=day,
        best=best_end(module, needed_modules()),
        wanted=_wanted(rulebook.modules[module], wanted),
    )
    _show(explanation, Printer(zone, chosen), reader, as_json=as_json)


def _show(explanation: Explanation, printer: Printer, reader: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(explanation_details(explanation))).decode())
    elif reader == "citizen":
        for sentence in sentences(explanation, printer.zone):
            click.echo(sentence.in_language(printer.language))
    else:
        printer.explanation(explanation)


def _wanted(module: Module, text: str | None) -> str | int | None:
    if text is None:
        return None
    if not module.numeric:
        words = [str(word) for word in module.result]
        if text not in words:
            raise AuthorError(
                Text(
                    zh=f"{text!r} 不是 {module.name} 的结果；可用的有：{'、'.join(words)}",
                    en=f"{text!r} is no result of {module.name}; use one of: {', '.join(words)}",
                )
            )
        return text
    try:
        return int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise AuthorError(
            Text(
                zh=f"{text!r} 不是整数；{module.name} 的结果是整数",
                en=f"{text!r} is not a whole number, as the results of {module.name} are",
            )
        ) from None


def _facts(module: Module, given: TextIO | None, person: str | None, at: datetime | None) -> Struct:
    if (given is None) == (person is None):
        raise AuthorError(
            Text(
                zh="请用 --facts 指定事实文件（- 表示标准输入），或用 --person 指定一人，两者选一",
                en="name a file of facts with --facts (- for standard input), or a person with --person",
            )
        )
    if given is not None:
        return read_facts(given, module)
    assert person is not None
    if at is not None:
        raise AuthorError(
            Text(zh="--person 使用目前的事实，请去掉 --at", en="--person uses the facts as of now; leave out --at")
        )
    from backend.cli.rules.present_facts import read_present_facts

    facts = read_present_facts(module.name, person)
    if not isinstance(facts, module.facts):
        raise AuthorError(
            Text(
                zh=f"{module.name} 的事实由本人填写，城市不留存；请用 --facts",
                en=f"{module.name} asks people for facts that the city does not keep; use --facts",
            )
        )
    return facts


def read_facts(given: TextIO, module: Module) -> Struct:
    """Read the facts of one person. Prints each fault, and exits with 1."""
    try:
        file = SourceFile(given.name, given.read().removeprefix("\ufeff"), [])
    except UnicodeDecodeError as error:
        raise AuthorError(
            Text(
                zh=f"{given.name} 不是 UTF-8 文本；请另存为 UTF-8 编码",
                en=f"{given.name} is not UTF-8 text; save it as UTF-8",
            )
        ) from error
    root = read_document(file)
    facts = None if root is None else StructReader(file).struct(root, module.facts)
    if facts is None:
        click.echo("\n".join(fault.in_language(language()) for fault in file.faults), err=True)
        name = module.facts.__name__
        raise AuthorError(Text(zh=f"事实不符合 {name}", en=f"the facts are not valid {name}"))
    return facts
