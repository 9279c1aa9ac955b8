"""`chengma rules facts`: what rules may read and call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec.structs import asdict

from backend.cli.errors import load_settings
from backend.cli.rules.loading import load, needed_modules, unknown_module
from backend.rulebook.editor.functions import FUNCTIONS, VARIABLES
from backend.rulebook.editor.reference import Fact, list_facts, parameter_values
from backend.rulebook.needs import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Struct

    from backend.rulebook.modules.module import Module


@click.command()
@click.argument("module", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--rules", "folder", type=click.Path(path_type=Path), help="Use the rules in this folder instead.")
def facts(module: str | None, *, as_json: bool, folder: Path | None) -> None:
    """List what rules may read, with meaning, unit, words and bounds, in Chinese and English.

    With MODULE (such as health_code.colour): its facts, its parameters with their values, and all functions.
    Without MODULE: the facts of every service.
    """
    if module is None:
        structs, chosen = facts_of(needed_modules()), None
    else:
        rulebook = load(load_settings(), folder, strict=False)
        if module not in rulebook.modules:
            raise unknown_module(module, rulebook)
        chosen = rulebook.modules[module]
        structs = [chosen.facts]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_document(structs, chosen)), indent=2).decode())
    else:
        click.echo("\n".join(_lines(structs, chosen)))


def _document(structs: list[type[Struct]], module: Module | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "facts": {struct.__name__: [_as_json(fact) for fact in list_facts(struct)] for struct in structs}
    }
    if module is not None:
        found["module"] = module.name
        found["parameters"] = {name: list(parameter_values(each)) for name, each in module.parameters.items()}
    found["functions"] = {name: asdict(function) for name, function in FUNCTIONS.items()}
    return found


def _as_json(fact: Fact) -> dict[str, Any]:
    return {
        key: value for key, value in asdict(fact).items() if value is not None and value is not False and value != ()
    }


def _lines(structs: list[type[Struct]], module: Module | None) -> Iterator[str]:
    if module is not None:
        yield f"{module.name}  {module.title.zh} · {module.title.en}"
    for struct in structs:
        yield f"{struct.__name__}"
        for fact in list_facts(struct):
            limits = fact.limits()
            yield f"  {fact.path}"
            yield f"      {fact.meaning.zh}（{fact.type.zh}{'；' if limits.zh else ''}{limits.zh}）"
            yield f"      {fact.meaning.en} ({fact.type.en}{'; ' if limits.en else ''}{limits.en})"
        yield ""
    if module is None:
        return
    for name, parameter in module.parameters.items():
        yield f"  {name}"
        yield from (f"      {value}" for value in parameter_values(parameter))
    yield ""
    for name, meaning in VARIABLES.items():
        yield f"  {name}  {meaning.zh} · {meaning.en}"
    for function in FUNCTIONS.values():
        yield f"  {function.signature}  {function.meaning.zh} · {function.meaning.en}"
