"""Measure benchmarks and write their results."""

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
    """The result of a benchmark: its title, a description, and a table."""

    title: str
    description: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """Return the table as Markdown for RESULTS.md."""
        lines = [f"## {self.title}", "", self.description, "", f"| {' | '.join(self.head)} |"]
        lines.append(f"|{' --- |' * len(self.head)}")
        lines.extend(f"| {' | '.join(row)} |" for row in self.rows)
        return "\n".join(lines) + "\n"


def machine() -> str:
    """Return a description of this machine."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}"


def processor_seconds(pid: int) -> float:
    """Return the processor time that the threads of a process have used, which other load hardly changes."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def alternate(rounds: int, one: Callable[[], object], other: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Time two functions in turn, so that other load affects both; return the seconds of each round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, durations in zip((one, other), seconds, strict=True):
            begin = time.perf_counter()
            work()
            durations.append(time.perf_counter() - begin)
    return seconds


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return our speed relative to theirs: the median over pairs of adjacent rounds."""
    return statistics.median(their / our for our, their in zip(ours, theirs, strict=True))


def write_section(file: Path, title: str, text: str) -> None:
    """Replace the section `# title` of a Markdown file, or append it; other sections are not changed."""
    sections = re.split(r"(?m)^(?=# )", file.read_text(encoding="utf-8")) if file.exists() else []
    others = [
        section.rstrip() + "\n" for section in sections if section.strip() and not section.startswith(f"# {title}\n")
    ]
    section_text = f"# {title}\n\n{text.rstrip()}\n"
    place = 0 if title == "Benchmarks" else len(others)
    file.write_text("\n".join([*others[:place], section_text, *others[place:]]), encoding="utf-8")
