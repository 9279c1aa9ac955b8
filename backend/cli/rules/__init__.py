"""The commands of rule authors. Each is in a module of its own, which is imported when the command is used."""

from __future__ import annotations

import importlib
from keyword import iskeyword
from typing import cast

import click

from backend.cli.language import AuthorGroup

_COMMANDS = {
    "check": "check",
    "checks": "checks",
    "test": "check",
    "publish": "publish",
    "release": "release",
    "approve": "release",
    "activate": "release",
    "cancel": "release",
    "rollback": "release",
    "show": "release",
    "log": "release",
    "explain": "explain",
    "prove": "prove",
    "preview": "preview",
    "facts": "facts",
    "new": "new",
    "lsp": "lsp",
    "schema": "schema",
    "coverage": "coverage",
    "case": "case",
    "diff": "diff",
    "replay": "replay",
    "import": "exchange",
    "export": "exchange",
}
"""The module of each command; its function has the name of the command, with a `_` if it is a word of Python."""


class _RulesGroup(AuthorGroup):
    """Imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted([*super().list_commands(ctx), *_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"{__name__}.{_COMMANDS[cmd_name]}")
        return cast("click.Command", getattr(module, f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name))


@click.group(
    cls=_RulesGroup, help="Check, test, explain and publish the rule modules.", zh="检查、测试、说明和发布规则模块。"
)
def rules() -> None:
    """Run a command for rule authors."""
