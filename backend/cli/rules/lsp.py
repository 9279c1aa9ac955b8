"""`chengma rules lsp`: a language server for rule modules and their cases, over standard input and output."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.errors import load_settings
from backend.cli.language import AuthorCommand, AuthorError, AuthorOption
from backend.i18n import Text


@click.command(
    cls=AuthorCommand,
    zh="""为编辑器提供服务：边写边检查、补全、含义、定义、改名、案例和快速修正。

由编辑器启动，见 docs/rules/editors.zh.md。需要 make authors。""",
)
@click.option(
    "--rules",
    "folder",
    type=click.Path(path_type=Path),
    cls=AuthorOption,
    help="The folder of the rules.",
    zh="规则文件夹。",
)
def lsp(folder: Path | None) -> None:
    """Serve an editor: faults as you type, completion, meanings, definitions, renames, cases and quick fixes.

    Editors start it; docs/rules/editors.md shows how. It needs `make authors`.
    """
    try:
        from backend.cli.rules.language_server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise AuthorError(
            Text(
                zh="语言服务需要作者工具：请运行 make authors",
                en="the language server needs the authors' tools: run `make authors`",
            )
        ) from error
    serve(load_settings(), folder)
