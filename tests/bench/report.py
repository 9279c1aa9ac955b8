"""Measure the figures of benchmarks, and write them to RESULTS.md."""

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

RESULTS = Path(__file__).with_name("RESULTS.md")


class Table(Struct):
    """The result of a benchmark: its title, what was measured, and the table of figures."""

    title: str
    description: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """Return it as a section of RESULTS.md."""
        lines = [f"## {self.title}", "", self.description, "", f"| {' | '.join(self.head)} |"]
        lines.append(f"|{' --- |' * len(self.head)}")
        lines.extend(f"| {' | '.join(row)} |" for row in self.rows)
        return "\n".join(lines) + "\n"


def machine() -> str:
    """Return a description of the machine."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}"


def alternate(rounds: int, one: Callable[[], object], other: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Time two functions alternately, so that other load affects both; return the seconds of each round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, taken in zip((one, other), seconds, strict=True):
            begin = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begin)
    return seconds


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return our speed relative to theirs: the median of the ratios of the rounds."""
    return statistics.median(their / our for our, their in zip(ours, theirs, strict=True))


def write_section(file: Path, title: str, text: str) -> None:
    """Replace the section `# title` of a Markdown file, or append it; the other sections stay."""
    sections = re.split(r"(?m)^(?=# )", file.read_text(encoding="utf-8")) if file.exists() else []
    kept = [
        section.rstrip() + "\n" for section in sections if section.strip() and not section.startswith(f"# {title}\n")
    ]
    written = f"# {title}\n\n{text.rstrip()}\n"
    place = 0 if title == "Benchmarks" else len(kept)
    file.write_text("\n".join([*kept[:place], written, *kept[place:]]), encoding="utf-8")
