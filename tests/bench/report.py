"""How a benchmark's figures are measured and written down."""

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
    """What one benchmark found: its title, what was done, and rows under a head."""

    title: str
    said: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """Write it for RESULTS.md."""
        lines = [f"## {self.title}", "", self.said, "", f"| {' | '.join(self.head)} |"]
        lines.append(f"|{' --- |' * len(self.head)}")
        lines.extend(f"| {' | '.join(row)} |" for row in self.rows)
        return "\n".join(lines) + "\n"


def machine() -> str:
    """Tell on what it was measured."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}"


def alternate(rounds: int, one: Callable[[], object], other: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Time two things in turn, so that whatever else the machine does meets both; give the seconds of each round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, taken in zip((one, other), seconds, strict=True):
            begin = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begin)
    return seconds


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Give how fast ours is, where theirs is 1: the median over the rounds, each compared with its neighbour."""
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
