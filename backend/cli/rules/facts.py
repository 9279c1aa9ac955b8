"""`chengma rules facts`: what rules may read and call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec.structs import asdict

from backend.cli.errors import load_settings
from backend.cli.language import AuthorCommand, AuthorOption, language
from backend.cli.rules.loading import OTHER_RULES, load, needed_modules, unknown_module
from backend.rulebook.editor.functions import FUNCTIONS, VARIABLES
from backend.rulebook.editor.reference import Fact, list_facts, parameter_values
from backend.rulebook.needs import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Struct

    from backend.rulebook.modules.module import Module


@click.command(
    cls=AuthorCommand,
    zh="""列出规则可以读取的事实及其含义、单位、可取的词和范围。

指定 MODULE（如 health_code.colour）时：列出它的事实、参数及各个值，以及全部函数。
不指定时：列出全部服务的事实。""",
)
@click.argument("module", required=False)
@click.option("--json", "as_json", is_flag=True, cls=AuthorOption, help="Print JSON.", zh="输出 JSON。")
@OTHER_RULES
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
    spoken = language()
    opening, between, closing = ("（", "；", "）") if spoken == "zh" else (" (", "; ", ")")
    if module is not None:
        yield f"{module.name}  {module.title.in_language(spoken)}"
    for struct in structs:
        yield f"{struct.__name__}"
        for fact in list_facts(struct):
            limits = fact.limits().in_language(spoken)
            bounds = f"{between}{limits}" if limits else ""
            yield f"  {fact.path}"
            yield f"      {fact.meaning.in_language(spoken)}{opening}{fact.type.in_language(spoken)}{bounds}{closing}"
        yield ""
    if module is None:
        return
    for name, parameter in module.parameters.items():
        yield f"  {name}"
        yield from (f"      {value}" for value in parameter_values(parameter))
    yield ""
    for name, meaning in VARIABLES.items():
        yield f"  {name}  {meaning.in_language(spoken)}"
    for function in FUNCTIONS.values():
        yield f"  {function.signature}  {function.meaning.in_language(spoken)}"
