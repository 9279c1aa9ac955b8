"""`chengma rules schema`: the JSON schema of rule modules, cases and claims."""

from __future__ import annotations

import json

import click

from backend.cli.language import AuthorCommand
from backend.rulebook.editor import schema as editor_schema


def schema_text() -> str:
    """Return the schema as `rules/schema.json` has it."""
    return json.dumps(editor_schema.schema(), ensure_ascii=False, indent=2) + "\n"


@click.command(
    cls=AuthorCommand,
    zh="""输出规则模块、案例和主张的 JSON Schema，供编辑器使用：rules/schema.json。""",
)
def schema() -> None:
    """Print the JSON schema of rule modules, cases and claims, for editors: `rules/schema.json`."""
    click.echo(schema_text(), nl=False)
