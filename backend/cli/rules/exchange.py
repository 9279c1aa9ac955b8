"""`chengma rules import` and `export`: rules from and to CertLogic JSON and CEL Policy YAML."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

import click

from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption, say
from backend.cli.rules.author_files import write_file
from backend.cli.rules.loading import load, unknown_module
from backend.i18n import Text
from backend.rulebook import InvalidRulebook, SourceFile, make_rulebook, read_file
from backend.rulebook.editor.new_module import first_day
from backend.rulebook.language.temporal import midnight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backend.rulebook import Rulebook
    from backend.rulebook.exchange.module_text import ImportedModule

CONFIG = "config.yaml"
_NOT_WRITTEN = Text(
    zh="未写入任何文件。导入得到的模块不能通过检查；所示各行在下列模块中：",
    en="Nothing was written. The imported modules do not pass the check; these lines are in them:",
)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(
    cls=AuthorCommand,
    name="import",
    zh="把 CertLogic 规则（.json）和 CEL 策略（.yaml）导入为规则模块。\n\n"
    "无法表达的部分指明位置后拒绝。不覆盖已有文件。",
)
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--to",
    "folder",
    required=True,
    type=_FOLDER,
    cls=AuthorOption,
    help="The folder of rules.",
    zh="写入的规则文件夹。",
)
@click.option(
    "--value-sets",
    type=_FILE,
    cls=AuthorOption,
    help="The lists of external.valueSets, as a JSON file.",
    zh="external.valueSets 的各个列表（JSON 文件）。",
)
@click.option(
    "--from",
    "since",
    type=click.DateTime(["%Y-%m-%d"]),
    cls=AuthorOption,
    help="The first day of a CEL policy's rules.",
    zh="CEL 策略的规则从哪一天起有效。",
)
def import_(files: tuple[Path, ...], folder: Path, value_sets: Path | None, since: datetime | None) -> None:
    """Import CertLogic rules (.json) and CEL policies (.yaml) as rule modules.

    The types of a policy's variables are in the config.yaml beside it. What our rules cannot express is refused with
    its place; then no file is written. Existing files are never overwritten.
    """
    zone = ZoneInfo(load_settings().time_zone)
    lists = _value_sets(value_sets)
    day = since or datetime.combine(first_day(datetime.now(UTC).astimezone(zone)), datetime.min.time())
    with report_errors():
        made = _imported(files, lists, day)
        texts = {module.name: SourceFile(str(_path(folder, module.name)), module.text(), []) for module in made}
        if len(texts) < len(made):
            raise AuthorError(Text(zh="两个文件会导入为同名模块", en="two files would become modules of the same name"))
        try:
            make_rulebook(texts, [], zone, strict=True)
        except InvalidRulebook:
            say(_NOT_WRITTEN)
            raise
    for file in texts.values():
        if Path(file.path).exists():
            raise AuthorError(
                Text(zh=f"{file.path} 已存在，未写入", en=f"{file.path} exists already; nothing was written")
            )
    for file in texts.values():
        write_file(Path(file.path), file.text)
        click.echo(file.path)


def _imported(files: Sequence[Path], lists: Mapping[str, Sequence[str]], since: datetime) -> list[ImportedModule]:
    """Return the module of each file. Raises InvalidRulebook with the faults of all."""
    from backend.rulebook.exchange.cel_policy_reader import read_cel_policy
    from backend.rulebook.exchange.certlogic_reader import read_certlogic

    made: list[ImportedModule] = []
    read: list[SourceFile] = []
    for path in files:
        file = _read(path)
        read.append(file)
        if path.suffix == ".json":
            module = read_certlogic(file, lists) if not file.faults else None
        else:
            beside = path.with_name(CONFIG)
            config = _read(beside) if beside.exists() and beside != path else None
            read += [config] if config is not None else []
            module = read_cel_policy(file, config, since.date()) if not file.faults else None
        made += [module] if module is not None else []
    faults = [fault for file in read for fault in file.faults]
    if faults:
        raise InvalidRulebook(faults)
    return made


def _read(path: Path) -> SourceFile:
    """Read a file of any name; one that is not UTF-8 has a fault."""
    file = read_file(path)
    file.faults = [fault for fault in file.faults if fault.code != "R002"]
    return file


def _path(folder: Path, module: str) -> Path:
    return folder.joinpath(*module.split(".")).with_suffix(".yaml")


def _value_sets(path: Path | None) -> dict[str, list[str]]:
    if path is None:
        return {}
    invalid = AuthorError(
        Text(zh=f"{path} 应为 JSON：名称与文本列表", en=f"{path} must be JSON: names with lists of texts")
    )
    try:
        found: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError:
        raise invalid from None
    if not isinstance(found, dict):
        raise invalid
    import msgspec

    try:
        return msgspec.convert(found, dict[str, list[str]])
    except msgspec.ValidationError:
        raise invalid from None


@click.command(
    cls=AuthorCommand,
    zh="把规则模块的条件导出为 CEL 策略或 CertLogic。\n\n无法表达的部分指明位置后拒绝。不指定 --to 时输出到屏幕。",
)
@click.argument("module")
@click.option(
    "--as",
    "language",
    required=True,
    type=click.Choice(["cel-policy", "certlogic"]),
    help="The language to write.",
    cls=AuthorOption,
    zh="导出为哪种语言。",
)
@click.option(
    "--rules",
    "rules_folder",
    type=_FOLDER,
    cls=AuthorOption,
    help="The folder of rules (default: the city's own).",
    zh="规则文件夹（默认：本市的）。",
)
@click.option(
    "--at",
    "at",
    type=click.DateTime(["%Y-%m-%d"]),
    cls=AuthorOption,
    help="Export the law of this day (default: today).",
    zh="导出这一天的规定（默认：今天）。",
)
@click.option(
    "--to",
    "folder",
    type=_FOLDER,
    cls=AuthorOption,
    help="Write files to this folder (default: print).",
    zh="写入此文件夹（默认：输出到屏幕）。",
)
def export(
    module: str,
    language: Literal["cel-policy", "certlogic"],
    rules_folder: Path | None,
    at: datetime | None,
    folder: Path | None,
) -> None:
    """Export the conditions of MODULE as a CEL policy or as CertLogic rules, by the law of one day.

    What the other language cannot express is refused with its place.
    """
    settings = load_settings()
    zone = ZoneInfo(settings.time_zone)
    rulebook = load(settings, rules_folder, strict=False)
    if module not in rulebook.modules:
        raise unknown_module(module, rulebook)
    with report_errors():
        written = _exported(rulebook, module, language, midnight(at.date(), zone) if at else datetime.now(UTC))
    for name, text in written.items():
        if folder is None:
            click.echo(text, nl=False)
        else:
            write_file(folder / name, text)
            click.echo(folder / name)


def _exported(
    rulebook: Rulebook, module: str, language: Literal["cel-policy", "certlogic"], at: datetime
) -> dict[str, str]:
    """Return the texts of the files by their names. Raises InvalidRulebook."""
    from backend.rulebook.exchange.cel_policy_writer import write_cel_policy
    from backend.rulebook.exchange.certlogic_writer import write_certlogic

    found, law = rulebook.modules[module], rulebook.law(module, at)
    file = SourceFile(f"{module.replace('.', '/')}.yaml", rulebook.texts[module], [])
    written: dict[str, str] = {}
    if language == "certlogic":
        for rule in write_certlogic(found, law, file) or ():
            written[f"{rule['Identifier']}.json"] = json.dumps(rule, ensure_ascii=False, indent=2) + "\n"
    else:
        made = write_cel_policy(found, law, file)
        written = dict(zip(("policy.yaml", CONFIG), made, strict=True)) if made is not None else {}
    if file.faults:
        raise InvalidRulebook(file.faults)
    return written
