"""Refusals: what a language around ours says that our rules cannot express, and the reverse, with its place."""

from backend.i18n import Text
from backend.rulebook.source import NO_HELP, Location

UNREADABLE, INEXPRESSIBLE, CALENDAR, VALUE_SET, KIND = "R120", "R121", "R122", "R123", "R124"
"""Not a file of that language; no such form in the other; months or years of `now`; a missing list; an unclear type."""


class CannotExpress(Exception):
    """A part of a file cannot be expressed in the other language."""

    def __init__(self, location: Location, message: Text, help: Text = NO_HELP, code: str = INEXPRESSIBLE) -> None:  # noqa: A002  the term that authors read
        super().__init__(message.en)
        self.location = location
        self.message = message
        self.help = help
        self.code = code
