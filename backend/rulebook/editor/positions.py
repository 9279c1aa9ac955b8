"""Positions of editors: lines and UTF-16 units counted from 0, where faults count lines and characters from 1."""

from msgspec import Struct

from backend.rulebook.source import Location

_FIRST_OF_TWO_UNITS = 0x10000


class Position(Struct, frozen=True, order=True):
    """A place between two characters of a text: its line and UTF-16 unit, both counted from 0."""

    line: int
    unit: int


class Range(Struct, frozen=True):
    """The text from `start` until `end`."""

    start: Position
    end: Position


class Edit(Struct, frozen=True):
    """A range of one file, and the text that replaces it."""

    path: str
    range: Range
    text: str


def units(text: str) -> int:
    """Return the length of a text in UTF-16 units."""
    return len(text) + sum(ord(character) >= _FIRST_OF_TWO_UNITS for character in text)


def characters(line: str, unit: int) -> int:
    """Return how many characters of a line are before a UTF-16 unit; a unit beyond the end is the end."""
    passed = 0
    for index, character in enumerate(line):
        if passed >= unit:
            return index
        passed += units(character)
    return len(line)


def range_of(lines: list[str], location: Location) -> Range:
    """Return the range of a fault's location."""
    number = min(max(location.line - 1, 0), max(len(lines) - 1, 0))
    line = lines[number] if lines else ""
    begin = min(location.column - 1, len(line))
    end = min(begin + location.length, len(line))
    return Range(Position(number, units(line[:begin])), Position(number, units(line[: max(begin, end)])))
