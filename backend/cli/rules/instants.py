"""Instants as options of commands: with their offset from UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backend.cli.language import language
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import parse_instant

if TYPE_CHECKING:
    from datetime import datetime


def instant(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Return the instant of an option, None if it is not given. Raises BadParameter."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except EvaluationError as error:
        raise click.BadParameter(error.message.in_language(language())) from error
