"""What is written of a kernel: the lines of its loop, the columns it takes, and the values of its other arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from backend.rulebook.language.tree import Field, Node, Variable
from backend.rulebook.language.types import microseconds
from backend.rulebook.preview.layout import Layout, Path


class Unsupported(Exception):
    """An expression that columns cannot compute; the rules are then decided person by person."""


@dataclass(frozen=True)
class Record:
    """The facts, or an element of a list: the path of its fields, and its row."""

    path: Path
    row: str


@dataclass(frozen=True)
class Word:
    """The source of a number that stands for a word, or for a free text if `words` is None.

    The number of a constant is its place among its only word.
    """

    source: str
    words: tuple[str, ...] | None

    @classmethod
    def constant(cls, text: str) -> "Word":
        """Return a constant text."""
        return cls("0", (text,))


Binding = Record | str | Word


@dataclass
class Writer:
    """The lines of a kernel's loop so far, and its arguments."""

    layout: Layout
    parameters: Mapping[str, Any]
    lines: list[str] = field(default_factory=list[str])
    depth: int = 2
    arrays: set[str] = field(default_factory=set[str])
    numbers: list[int] = field(default_factory=list[int])
    doubles: list[float] = field(default_factory=list[float])
    texts: list[str] = field(default_factory=list[str])
    tables: list[Callable[[str], int]] = field(default_factory=list[Callable[[str], int]])
    zones: list[int] = field(default_factory=list[int])
    bound: dict[str, Binding] = field(default_factory=lambda: {"facts": Record((), "i")})
    count: int = 0

    # ── lines and arguments ──

    def line(self, text: str) -> None:
        """Write a line at the current depth."""
        self.lines.append("    " * self.depth + text)

    def name(self, prefix: str) -> str:
        """Return a new name."""
        self.count += 1
        return f"{prefix}{self.count}"

    def number(self, value: float) -> str:
        """Return the name of an argument that holds a number; each use has its own, so the source stays the same."""
        if isinstance(value, float):
            self.doubles.append(value)
            return f"d{len(self.doubles) - 1}"
        self.numbers.append(value)
        return f"n{len(self.numbers) - 1}"

    def constant(self, value: object) -> str:
        """Return the source of a constant."""
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, datetime | timedelta):
            return self.number(microseconds(value))
        if isinstance(value, int | float):
            return self.number(value)
        raise Unsupported(f"a constant {type(value).__name__}")

    def array(self, prefix: str, path: Path) -> str:
        """Return the name of an array of columns."""
        name = f"{prefix}_{'__'.join(path)}"
        self.arrays.add(name)
        return name

    def record(self, node: Node) -> Record:
        """Return where the fields of a Struct are."""
        if isinstance(node, Variable):
            found = self.bound.get(node.name)
            if isinstance(found, Record):
                return found
        if isinstance(node, Field):
            owner = self.record(node.operand)
            return Record((*owner.path, node.name), owner.row)
        raise Unsupported("a choice between Structs")

    def within(self, variable: str, element: Binding, work: Callable[[], Any]) -> Any:  # noqa: ANN401  what work returns
        """Return what `work` does while the variable of a macro is bound."""
        outer = self.bound
        self.bound = {**outer, variable: element}
        done = work()
        self.bound = outer
        return done
