"""`chengma rules explain`: what a module decides for given facts, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast
from zoneinfo import ZoneInfo

import click
from msgspec import Struct

from backend.cli.errors import load_settings
from backend.cli.rules.loading import load, rulebook_in_force
from backend.rulebook.editor.reference import span_text
from backend.rulebook.language.explainer import Failure, Step
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import parse_instant
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import read_document
from backend.rulebook.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backend.rulebook import Verdict
    from backend.rulebook.modules.module import Module, Rule


def instant(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Read the instant of an option."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except EvaluationError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("module")
@click.option(
    "--facts",
    "given",
    required=True,
    type=click.File(encoding="utf-8"),
    help="The facts, in YAML or JSON; - reads them from standard input.",
)
@click.option("--at", callback=instant, help="The instant to decide for, with its offset from UTC (default: now).")
@click.option(
    "--on", type=click.DateTime(["%Y-%m-%d"]), help="Use the rules in force on this day (default: the day of --at)."
)
@click.option("--rules", "folder", type=click.Path(path_type=Path), help="Use the rules in this folder instead.")
@click.option("--rule", "only_rule", help="Explain only this rule, whether or not it fired.")
def explain(
    module: str, given: TextIO, at: datetime | None, on: datetime | None, folder: Path | None, only_rule: str | None
) -> None:
    """Show what MODULE (such as health_code.colour) decides for given facts, and why, step by step.

    The law is the release in force, or the city's own folder of rules if none was published.
    """
    settings = load_settings()
    rulebook = load(settings, folder, strict=False) if folder is not None else rulebook_in_force(settings)
    if module not in rulebook.modules:
        raise click.ClickException(f"there is no module {module!r}; use one of: {', '.join(sorted(rulebook.modules))}")
    facts = read_facts(SourceFile(given.name, given.read(), []), rulebook.modules[module])
    at = at or datetime.now(UTC)
    day = on.date() if on else None
    printer = _Printer(ZoneInfo(settings.time_zone))
    verdict = rulebook.evaluate(module, facts, at, on=day)
    explained = rulebook.explain(module, facts, at, on=day)
    if only_rule is None:
        click.echo("\n".join(printer.verdict(verdict)))
    elif only_rule not in {rule.id for rule, _ in explained}:
        known = ", ".join(rule.id for rule, _ in explained) or "none"
        raise click.ClickException(f"no rule {only_rule!r} of {module} is in force at that time; in force: {known}")
    for rule, step in explained:
        if only_rule in (None, rule.id):
            click.echo("\n".join(printer.rule(rule, step, detailed=step.value is True or only_rule is not None)))


@dataclass(frozen=True)
class _Printer:
    """Prints verdicts and steps in the city's time zone."""

    zone: ZoneInfo

    def verdict(self, verdict: Verdict) -> Iterator[str]:
        yield f"{verdict.module} at {self.value(verdict.at)}: {self.value(verdict.result)} by {verdict.rule}"
        yield f"  {verdict.because.zh}"
        yield f"  {verdict.because.en}"
        if verdict.remedy is not None:
            yield f"  → {verdict.remedy.zh}"
            yield f"  → {verdict.remedy.en}"
        until = "never" if verdict.changes_at is None else self.value(verdict.changes_at)
        yield f"  changes with the same facts: {until}"
        yield f"  rulebook {verdict.rulebook[:16]}"
        yield ""

    def rule(self, rule: Rule, step: Step, *, detailed: bool) -> Iterator[str]:
        yield f"{'✓' if step.value is True else '·'} {rule.id} → {rule.then}"
        if detailed:
            yield f"    source: {rule.source}"
            yield from self.steps(step, "    ")

    def steps(self, step: Step, margin: str) -> Iterator[str]:
        yield f"{margin}{' '.join(step.text.split())}  =  {self.value(step.value)}"
        for inner in step.steps:
            if inner.text.strip("'\"") != self.value(inner.value):
                yield from self.steps(inner, margin + "  ")

    def value(self, value: object) -> str:
        match value:
            case None:
                return "absent"
            case bool():
                return str(value).lower()
            case str():
                return value
            case datetime():
                return value.astimezone(self.zone).isoformat(timespec="auto")
            case timedelta():
                return span_text(value)
            case list() | tuple():
                return f"[{', '.join(map(self.value, cast('Sequence[object]', value)))}]"
            case Struct():
                fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
                return f"{{{', '.join(f'{name}: {self.value(item)}' for name, item in fields if item is not None)}}}"
            case Failure():
                return f"fails: {value.reason}"
            case _:
                return str(value)


def read_facts(file: SourceFile, module: Module) -> Struct:
    """Read the facts of one person. Prints each fault, and exits with 1."""
    root = read_document(file)
    facts = None if root is None else StructReader(file).struct(root, module.facts)
    if facts is None:
        click.echo("\n".join(map(str, file.faults)), err=True)
        raise click.ClickException(f"the facts are not valid {module.facts.__name__}")
    return facts
