"""Days and instants as options of commands."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from backend.cli.errors import load_settings
from backend.cli.language import language
from backend.i18n import Text
from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.temporal import midnight, parse_instant

if TYPE_CHECKING:
    from datetime import datetime


def instant(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    """Return the instant of an option, None if it is not given: that of its text, or the midnight that begins its day.

    Days are the city's; an instant has its offset from UTC. Raises BadParameter.
    """
    if text is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            text = midnight(date.fromisoformat(text), ZoneInfo(load_settings().time_zone)).isoformat()
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        no_day = Text(zh=f"没有“{text}”这一天", en=f"there is no day {text!r}")
        raise click.BadParameter(no_day.in_language(language())) from error
    except EvaluationError as error:
        raise click.BadParameter(error.message.in_language(language())) from error
