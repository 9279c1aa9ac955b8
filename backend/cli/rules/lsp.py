"""`chengma rules lsp`: a language server for rule modules and their cases, over standard input and output."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.errors import load_settings


@click.command()
@click.option("--rules", "folder", type=click.Path(path_type=Path), help="The folder of the rules.")
def lsp(folder: Path | None) -> None:
    """Serve an editor: faults as you type, completion, meanings, definitions, renames, cases and quick fixes.

    Editors start it; docs/rules/editors.md shows how. It needs `make authors`.
    """
    try:
        from backend.cli.rules.language_server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        message = "the language server needs the authors' tools: run `make authors`"
        raise click.ClickException(f"{message}\n语言服务需要作者工具：请运行 make authors") from error
    serve(load_settings(), folder)
