"""Locations in an author's file, and the faults reported at them.

Each fault shows the file, line, column and text that it refers to, so every part of a rule module has a location
until the module is compiled.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from msgspec import Struct

from backend.i18n import Text

NO_HELP = Text(zh="", en="")

MAX_EXCERPT = 200
"""The most characters of a line that a fault shows."""


class Location(Struct, frozen=True):
    """A range of `length` characters in a file, from `line` and `column`, both counted from 1."""

    line: int
    column: int
    length: int = 1


class Fault(Struct, frozen=True):
    """An error at one location of one file, and how to fix it. `code` is the check that found it, such as R001."""

    path: str
    location: Location
    message: Text
    help: Text = NO_HELP
    excerpt: str = ""
    code: str = ""

    def __str__(self) -> str:
        """Return the fault in English."""
        return self.in_language("en")

    def in_language(self, language: str) -> str:
        """Return the fault as authors read it: location, message, the line with a caret under it, and the help."""
        number = str(self.location.line)
        margin = " " * len(number)
        column = self.location.column - 1
        begin = max(0, column - MAX_EXCERPT // 2) if len(self.excerpt) > MAX_EXCERPT else 0
        shown = self.excerpt[begin : begin + MAX_EXCERPT]
        before = "".join("\t" if c == "\t" else " " * _columns(c) for c in self.excerpt[begin:column])
        marked = shown[column - begin :][: self.location.length]
        carets = "^" * max(1, sum(map(_columns, marked)))
        code = f"{self.code} " if self.code else ""
        lines = [
            f"{self.path}:{self.location.line}:{self.location.column}: {code}{self.message.in_language(language)}",
            f"  {number} | {shown}",
            f"  {margin} | {before}{carets}",
        ]
        if self.help != NO_HELP:
            lines.append(f"  {margin} = {self.help.in_language(language)}")
        return "\n".join(lines)


class InvalidRulebook(Exception):
    """One or more files of a rulebook have faults, listed in `faults`. Nothing was loaded."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class SourceFile(Struct):
    """A file that is checked: its text, and the faults found so far."""

    path: str
    text: str
    faults: list[Fault]

    def fault(self, location: Location, message: Text, help: Text = NO_HELP, code: str = "") -> None:  # noqa: A002  the term that authors read
        """Add a fault at `location`. Checking continues, so that the author sees all faults at once.

        A text that several places of the file use has its fault once.
        `code` is that of a check in `backend.rulebook.checks`.
        """
        assert code, "each fault has the code of its check"
        lines = self.text.split("\n")
        excerpt = lines[location.line - 1] if location.line <= len(lines) else ""
        found = Fault(self.path, location, message, help, excerpt.rstrip("\r"), code)
        if found not in self.faults:
            self.faults.append(found)


def files_of(texts: Mapping[str, str]) -> dict[str, SourceFile]:
    """Return the texts of rule modules as files to check again, each with the module's name as its path."""
    return {name: SourceFile(name, text, []) for name, text in texts.items()}


def suggest(word: str, known: Iterable[str]) -> Text:
    """Return "did you mean ...?" for a misspelt word, or the known words if none is similar."""
    known = sorted(known)
    return _hint(next(iter(get_close_matches(word, known, n=1, cutoff=0.6)), None), known)


def _hint(near: str | None, known: Sequence[str]) -> Text:
    if near is not None:
        return Text(zh=f"是否应为“{near}”？", en=f"did you mean {near!r}?")
    return Text(zh="可用的有：" + "、".join(known), en="one of: " + ", ".join(known)) if known else NO_HELP


def nearest_key(written: str, known: Iterable[str]) -> str | None:
    """Return the key that an unknown one is meant to be, or None: one in capitals, or with a letter wrong.

    Keys are fewer and shorter than other names, so that only a closer one is taken for what the author meant.
    """
    known = sorted(known)
    if written.lower() in known:
        return written.lower()
    near = get_close_matches(written.lower(), known, n=1, cutoff=_OF_A_KEY)
    short = [key for key in known if len(key) == len(written) == 2 and key[0] == written[0].lower()]  # noqa: PLR2004  zh, en, id
    return near[0] if near else short[0] if len(short) == 1 else None


_OF_A_KEY = 0.7


def suggest_key(written: str, known: Iterable[str]) -> Text:
    """Return "did you mean ...?" for an unknown key, or the known keys if none is similar."""
    known = sorted(known)
    return _hint(nearest_key(written, known), known)


def _columns(character: str) -> int:
    """Return the terminal columns of a character: two for CJK."""
    return 2 if "\u1100" <= character <= "\u115f" or "\u2e80" <= character <= "\uff60" else 1
