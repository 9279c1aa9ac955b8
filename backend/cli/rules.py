"""The commands of rule authors: check, test, publish and explain rule modules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast
from zoneinfo import ZoneInfo

import click
from msgspec import Struct

from backend.city.releases import (
    IN_FORCE,
    RulebookPointer,
    activate_release,
    digest_in_force,
    release_named,
    released_rulebook,
    store_release,
)
from backend.city.service import discover_services, rule_modules_of
from backend.cli.errors import load_settings, report_errors
from backend.rulebook import load_rulebook, read_rules
from backend.rulebook.language.explainer import Failure, Step
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import parse_instant
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import read_document
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from backend.rulebook.source import SourceFile
from backend.store.connect import store_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backend.rulebook import Rulebook, Verdict
    from backend.rulebook.modules.module import Module, Rule
    from backend.settings import Settings
    from backend.store import Store

FOLDER = click.argument("folder", required=False, type=click.Path(path_type=Path))


@click.group(help="Check, test and explain the rule modules.")
def rules() -> None:
    """Run a command for rule authors."""


@rules.command()
@FOLDER
def check(folder: Path | None) -> None:
    """Check every rule module in FOLDER (default: the city's own folder of rules).

    Prints each fault with its file, line and column, and exits with 1 if there is one. A module that a service needs,
    and that is missing or has other facts or results, is a fault.
    """
    rulebook = _load(load_settings(), folder, strict=True)
    rulebook.compile()
    click.echo(f"{_count(rulebook)} are valid. Digest {rulebook.digest[:16]}")


@rules.command()
@FOLDER
def test(folder: Path | None) -> None:
    """Run the cases next to the rule modules in FOLDER (default: the city's own folder of rules).

    A failed case is printed with the expected result, the actual result and the reason. Every rule must fire in one
    case and not fire in another case of the same period. Exits with 1 if anything is wrong.
    """
    rulebook, cases = _test(load_settings(), folder)
    click.echo(f"{cases} cases pass and cover {_count(rulebook)}. Digest {rulebook.digest[:16]}")


@rules.command()
@FOLDER
def publish(folder: Path | None) -> None:
    """Put the rule modules in FOLDER in force in every running process, within seconds.

    They are checked and their cases are run first. The stored release is named by its digest and never changes.
    """
    from backend.cli.operations import with_store

    settings = load_settings()
    where = folder or Path(settings.rules)
    rulebook, cases = _test(settings, where)
    with report_errors():

        async def publish_release(store: Store) -> None:
            now = datetime.now(UTC).replace(microsecond=0)
            await store_release(store, read_rules(where), rulebook, now)
            await activate_release(store, rulebook.digest, now)

        with_store(settings, publish_release)
    click.echo(f"{cases} cases pass. {_count(rulebook)} are in force. Digest {rulebook.digest[:16]}")


@rules.command()
def releases() -> None:
    """List the releases that have been in force; the last one still is."""
    from backend.cli.operations import with_store

    with report_errors():
        pointer = with_store(load_settings(), lambda store: store.get(RulebookPointer, IN_FORCE))
    for entry in pointer.past if pointer is not None else ():
        click.echo(f"{entry.digest[:16]}  in force from {entry.since:%Y-%m-%d %H:%M:%S} UTC")
    if pointer is None:
        click.echo("No release has been published: each process uses its own folder of rules.")


@rules.command()
@click.argument("digest")
def rollback(digest: str) -> None:
    """Put an earlier release in force again; DIGEST is the beginning of its digest."""
    from backend.cli.operations import with_store

    settings = load_settings()

    async def activate(store: Store) -> str:
        full_digest = await release_named(store, digest)
        await released_rulebook(store, full_digest, _needed(), ZoneInfo(settings.time_zone))
        await activate_release(store, full_digest, datetime.now(UTC).replace(microsecond=0))
        return full_digest

    with report_errors():
        full_digest = with_store(settings, activate)
    click.echo(f"The rulebook {full_digest[:16]} is in force.")


def _instant(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except EvaluationError as error:
        raise click.BadParameter(str(error)) from error


@rules.command()
@click.argument("module")
@click.option(
    "--facts",
    "given",
    required=True,
    type=click.File(encoding="utf-8"),
    help="The facts, in YAML or JSON; - reads them from standard input.",
)
@click.option("--at", callback=_instant, help="The instant to decide for, with its offset from UTC (default: now).")
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
    rulebook = _load(settings, folder, strict=False) if folder is not None else _rulebook_in_force(settings)
    if module not in rulebook.modules:
        raise click.ClickException(f"there is no module {module!r}; use one of: {', '.join(sorted(rulebook.modules))}")
    facts = _read_facts(SourceFile(given.name, given.read(), []), rulebook.modules[module])
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
                return _span(value)
            case list() | tuple():
                return f"[{', '.join(map(self.value, cast('Sequence[object]', value)))}]"
            case Struct():
                fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
                return f"{{{', '.join(f'{name}: {self.value(item)}' for name, item in fields if item is not None)}}}"
            case Failure():
                return f"fails: {value.reason}"
            case _:
                return str(value)


def _span(span: timedelta) -> str:
    sign, span = ("-", -span) if span < timedelta() else ("", span)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(span.days, "d"), (hours, "h"), (minutes, "m")]
    text = "".join(f"{number}{unit}" for number, unit in parts if number)
    rest = seconds + span.microseconds / 1_000_000
    return sign + (text + (f"{rest:g}s" if rest else "") or "0s")


def _read_facts(file: SourceFile, module: Module) -> Struct:
    root = read_document(file)
    facts = None if root is None else StructReader(file).struct(root, module.facts)
    if facts is None:
        click.echo("\n".join(map(str, file.faults)), err=True)
        raise click.ClickException(f"the facts are not valid {module.facts.__name__}")
    return facts


def _load(settings: Settings, folder: Path | None, *, strict: bool) -> Rulebook:
    where, needed = folder or Path(settings.rules), _needed()
    with report_errors():
        rulebook = load_rulebook(where, facts_of(needed), ZoneInfo(settings.time_zone), strict=strict)
        if strict:
            check_needs(rulebook, needed, str(where))
        return rulebook


def _test(settings: Settings, folder: Path | None) -> tuple[Rulebook, int]:
    """Run all cases below a folder; return its rulebook and the number of cases."""
    where, needed = folder or Path(settings.rules), _needed()
    with report_errors():
        rulebook, cases = run_cases(where, facts_of(needed), ZoneInfo(settings.time_zone))
        check_needs(rulebook, needed, str(where))
        return rulebook, cases


def _needed() -> list[RuleModule]:
    return rule_modules_of(discover_services())


def _store_exists(settings: Settings) -> bool:
    file = store_file(settings.store)
    return file is None or file.exists()


def _rulebook_in_force(settings: Settings) -> Rulebook:
    """Return the release in force; without one, the rulebook of the city's own folder."""
    from backend.cli.operations import with_store

    async def read(store: Store) -> Rulebook | None:
        digest = await digest_in_force(store)
        if digest is None:
            return None
        return await released_rulebook(store, digest, _needed(), ZoneInfo(settings.time_zone))

    with report_errors():
        published = with_store(settings, read) if _store_exists(settings) else None
    return published or _load(settings, None, strict=False)


def _count(rulebook: Rulebook) -> str:
    count = sum(len(module.rules) for module in rulebook.modules.values())
    return f"{count} rules in {len(rulebook.modules)} modules"
