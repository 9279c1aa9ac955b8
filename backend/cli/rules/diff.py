"""`chengma rules diff`: what changed in meaning between two editions of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, language
from backend.cli.rules.editions import Edition, read_edition
from backend.i18n import Text
from backend.rulebook.diff import Change, ModuleDiff, RulebookDiff, case_changes, diff_rulebooks
from backend.rulebook.modules.cases import read_cases
from backend.rulebook.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.rulebook.modules.cases import Case
    from backend.rulebook.modules.module import Module

_EFFECTS = {
    "result": Text(zh="结果可能改变", en="results can change"),
    "wording": Text(zh="只改变规则名称或文字", en="only rules' names or texts change"),
    "none": Text(zh="含义不变", en="no change in meaning"),
}
_STATES = {
    "added": Text(zh="新增模块", en="module added"),
    "removed": Text(zh="删除模块", en="module removed"),
    "changed": Text(zh="", en=""),
}
_MARKS = {"result": "!", "wording": "~", "none": " "}


@click.command(
    cls=AuthorCommand,
    zh="""逐条规则显示从 OLD 版到 NEW 版含义的变化。

每一版可以是文件夹、git 版本（HEAD~1、v1:rules）或已提交版本编号的开头。
可能改变结果的标 !，只改变规则名称或文字的标 ~。""",
)
@click.argument("old")
@click.argument("new")
@click.option(
    "--module",
    cls=AuthorOption,
    help="Only this module, such as health_code.colour.",
    zh="只比较这个模块，如 health_code.colour。",
)
@click.option(
    "--json", "as_json", is_flag=True, cls=AuthorOption, help="Print JSON for machines.", zh="输出 JSON，供程序使用。"
)
def diff(old: str, new: str, module: str | None, as_json: bool) -> None:
    """Show what changed in meaning from the edition OLD to the edition NEW, rule by rule.

    An edition is a folder, a git revision (HEAD~1, v1:rules) or the beginning of a release's digest. A change that can
    alter a result is marked with !, one that alters only rules' names or texts with ~.
    """
    editions = read_edition(old), read_edition(new)
    found = _with_cases(diff_rulebooks(*(one.rulebook for one in editions)), editions)
    if module is not None:
        if all(module not in one.rulebook.modules for one in editions):
            raise AuthorError(
                Text(zh=f"{old} 和 {new} 中都没有模块“{module}”", en=f"there is no module {module!r} in {old} or {new}")
            )
        found = replace(found, modules=tuple(one for one in found.modules if one.module == module))
        found = replace(found, effect=found.modules[0].effect if found.modules else "none")
    click.echo(msgspec.json.encode(found) if as_json else "\n".join(diff_lines(found, language())))


def _with_cases(found: RulebookDiff, editions: tuple[Edition, Edition]) -> RulebookDiff:
    """Return the comparison with the cases of modules that are in both editions, unless one is a release."""
    old, new = editions
    if old.cases is None or new.cases is None:
        return found
    by_name = {one.module: one for one in found.modules}
    for name, module in new.rulebook.modules.items():
        if name in old.rulebook.modules:
            before, after = _cases(old, old.rulebook.modules[name]), _cases(new, module)
            changes = case_changes(before, after) if before is not None and after is not None else []
            if changes:
                one = by_name.get(name) or ModuleDiff(name, module.title, "changed", "none", ())
                by_name[name] = replace(one, changes=(*one.changes, *changes))
    return replace(found, modules=tuple(by_name[name] for name in sorted(by_name)))


def _cases(edition: Edition, module: Module) -> list[Case] | None:
    """Return the cases of a module; None if they have faults, which a draft may have."""
    stored = (edition.cases or {}).get(module.name)
    if stored is None:
        return []
    file = SourceFile(stored.path, stored.text, list(stored.faults))
    cases = read_cases(file, module, edition.personas.get(module.name))
    if file.faults:
        found = Text(zh=f"{file.path} 有误，未比较其用例", en=f"{file.path} has faults; its cases are not compared")
        click.echo(found.in_language(language()), err=True)
        return None
    return cases


def diff_lines(found: RulebookDiff, language: str) -> Iterator[str]:
    """Yield a comparison as authors read it, module by module, in "zh" or "en"."""
    for one in found.modules:
        state = _STATES[one.state].in_language(language)
        yield f"{one.module} ({one.title.in_language(language)}): {state or _EFFECTS[one.effect].in_language(language)}"
        if one.state == "changed" and not one.changes:
            yield "    " + Text(zh="只有排版或注释不同", en="only the layout or comments differ").in_language(language)
        yield from (_line(change, language) for change in one.changes)
        yield ""
    yield f"{found.old[:16]} → {found.new[:16]}: {_EFFECTS[found.effect].in_language(language)}"


def _line(change: Change, language: str) -> str:
    return f"  {_MARKS[change.effect]} {change.text.in_language(language)}"
