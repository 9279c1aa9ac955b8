"""Places in an author's file, and the errors that point at them.

An author who reads an error must see the file, the line, the column and the words it means, so every part of a rule
module keeps its place in the text until the module is compiled.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from msgspec import Struct


class Place(Struct, frozen=True):
    """A run of `length` characters of a file, from `line` and `column`, both counted from 1."""

    line: int
    column: int
    length: int = 1


class Fault(Struct, frozen=True):
    """What is wrong at one place of one file, and what to do about it."""

    path: str
    place: Place
    message: str
    help: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        """Give the fault as an author reads it: place, message, the line with a caret under it, and the help."""
        number = str(self.place.line)
        margin = " " * len(number)
        before = "".join("\t" if c == "\t" else " " * _columns(c) for c in self.excerpt[: self.place.column - 1])
        marked = self.excerpt[self.place.column - 1 :][: self.place.length]
        carets = "^" * max(1, sum(map(_columns, marked)))
        lines = [
            f"{self.path}:{self.place.line}:{self.place.column}: {self.message}",
            f"  {number} | {self.excerpt}",
            f"  {margin} | {before}{carets}",
        ]
        if self.help:
            lines.append(f"  {margin} = {self.help}")
        return "\n".join(lines)


class InvalidRulebook(Exception):
    """One or more files of a rulebook are wrong; `faults` says where and how. Nothing of the rulebook was taken."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class SourceFile(Struct):
    """One file under check: its text, and the faults found in it so far."""

    path: str
    text: str
    faults: list[Fault]

    def fault(self, place: Place, message: str, help: str = "") -> None:  # noqa: A002  the word authors see
        """Note that something is wrong at `place`; checking goes on, so that an author sees all faults at once."""
        lines = self.text.split("\n")
        excerpt = lines[place.line - 1] if place.line <= len(lines) else ""
        self.faults.append(Fault(self.path, place, message, help, excerpt.rstrip("\r")))


def suggest(word: str, known: Iterable[str]) -> str:
    """Give "did you mean ...?" for a misspelt word, or the known words where none is near."""
    known = sorted(known)
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known here: " + ", ".join(known) if known else ""


def _columns(character: str) -> int:
    """Count the terminal columns of a character: CJK characters take two."""
    return 2 if "\u1100" <= character <= "\u115f" or "\u2e80" <= character <= "\uff60" else 1
