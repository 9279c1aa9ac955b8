"""`chengma rules explain`: what a module decides for given facts, why, and the smallest way to a better result."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from zoneinfo import ZoneInfo

import click
import msgspec

from backend.cli.errors import load_settings
from backend.cli.rules.instants import instant
from backend.cli.rules.loading import load, needed_modules, rulebook_in_force
from backend.cli.rules.printed_explanation import Printer
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


@click.command()
@click.argument("module")
@click.option(
    "--facts",
    "given",
    type=click.File(encoding="utf-8"),
    help="The facts, in YAML or JSON; - reads them from standard input.",
)
@click.option("--person", help="Use the present facts of this person: their id, or that of their code. It is logged.")
@click.option("--at", callback=instant, help="The instant to decide for, with its offset from UTC (default: now).")
@click.option(
    "--on", type=click.DateTime(["%Y-%m-%d"]), help="Use the rules in force on this day (default: the day of --at)."
)
@click.option("--rules", "folder", type=click.Path(path_type=Path), help="Use the rules in this folder instead.")
@click.option("--rule", "only_rule", help="Explain only this rule, whether or not it fired.")
@click.option("--to", "wanted", help="The result to reach, a word or a number (default: any better one).")
@click.option("--for", "reader", type=click.Choice(["author", "citizen"]), default="author", help="Who reads it.")
@click.option(
    "--language", type=click.Choice(["zh", "en"]), help="The language (default: CHENGMA_LANGUAGE, or the terminal's)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
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
    language: str | None,
    *,
    as_json: bool,
) -> None:
    """Show what MODULE (such as health_code.colour) decides for given facts, why, and what would change it.

    The law is the release in force, or the city's own folder of rules if none was published.
    """
    settings = load_settings()
    rulebook = load(settings, folder, strict=False) if folder is not None else rulebook_in_force(settings)
    if module not in rulebook.modules:
        raise click.ClickException(f"there is no module {module!r}; use one of: {', '.join(sorted(rulebook.modules))}")
    facts = _facts(rulebook.modules[module], given, person, at)
    at, day, zone = at or datetime.now(UTC), on.date() if on else None, ZoneInfo(settings.time_zone)
    language = language or _language()
    if only_rule is not None:
        Printer(zone, language).only(rulebook, module, facts, at, day, only_rule)
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
    _show(explanation, Printer(zone, language), reader, as_json=as_json)


def _show(explanation: Explanation, printer: Printer, reader: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(explanation_details(explanation))).decode())
    elif reader == "citizen":
        for sentence in sentences(explanation, printer.zone):
            click.echo(sentence.in_language(printer.language))
    else:
        printer.explanation(explanation)


def _language() -> str:
    """Return the language of the terminal: CHENGMA_LANGUAGE, or the locale; English unless it is Chinese."""
    named = os.environ.get("CHENGMA_LANGUAGE") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh" if named.lower().startswith("zh") else "en"


def _wanted(module: Module, text: str | None) -> str | int | None:
    if text is None:
        return None
    if not module.numeric:
        words = [str(word) for word in module.result]
        if text not in words:
            raise click.ClickException(f"{text!r} is no result of {module.name}; use one of: {', '.join(words)}")
        return text
    try:
        return int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise click.ClickException(f"{text!r} is not a whole number, as the results of {module.name} are") from None


def _facts(module: Module, given: TextIO | None, person: str | None, at: datetime | None) -> Struct:
    if (given is None) == (person is None):
        raise click.UsageError("name a file of facts with --facts (- for standard input), or a person with --person")
    if given is not None:
        return read_facts(given, module)
    assert person is not None
    if at is not None:
        raise click.UsageError("--person uses the facts as of now; leave out --at")
    from backend.cli.rules.present_facts import read_present_facts

    facts = read_present_facts(module.name, person)
    if not isinstance(facts, module.facts):
        raise click.ClickException(f"{module.name} asks people for facts that the city does not keep; use --facts")
    return facts


def read_facts(given: TextIO, module: Module) -> Struct:
    """Read the facts of one person. Prints each fault, and exits with 1."""
    try:
        file = SourceFile(given.name, given.read().removeprefix("\ufeff"), [])
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{given.name} is not UTF-8 text; save it as UTF-8") from error
    root = read_document(file)
    facts = None if root is None else StructReader(file).struct(root, module.facts)
    if facts is None:
        click.echo("\n".join(map(str, file.faults)), err=True)
        raise click.ClickException(f"the facts are not valid {module.facts.__name__}")
    return facts
