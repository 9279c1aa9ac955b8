"""Positions of editors: lines and characters counted from 0, where faults count both from 1."""

from msgspec import Struct

from backend.rulebook.source import Location


class Position(Struct, frozen=True, order=True):
    """A place between two characters of a text: its line and the characters before it, both counted from 0."""

    line: int
    column: int


class Range(Struct, frozen=True):
    """The text from `start` until `end`."""

    start: Position
    end: Position


class Edit(Struct, frozen=True):
    """A range of one file, and the text that replaces it."""

    path: str
    range: Range
    text: str


def range_of(lines: list[str], location: Location) -> Range:
    """Return the range of a fault's location, within the lines that there are."""
    number = min(max(location.line - 1, 0), max(len(lines) - 1, 0))
    line = lines[number] if lines else ""
    begin = min(location.column - 1, len(line))
    return Range(Position(number, begin), Position(number, min(begin + location.length, len(line))))
