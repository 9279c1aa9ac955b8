"""The kit that a hospital's system is tried with before it is connected: checks, and the report of a run.

A check is an async function whose first docstring line is the sentence that it checks. It raises Failed with what was
expected and what came; anything else that goes wrong is reported as what came too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

MAX_SECONDS = 60

B = TypeVar("B")
Severity = Literal["must", "should"]


class Failed(Exception):
    """A check did not hold."""

    def __init__(self, expected: str, came: object) -> None:
        super().__init__(f"expected {expected}, came {came}")
        self.expected = expected
        self.came = str(came)[:500]


class Check(Struct, frozen=True):
    """A sentence about a system, whether it must hold, and how that is tried."""

    name: str
    sentence: str
    severity: Severity
    run: Callable[[Any], Awaitable[None]]


class Result(Struct, frozen=True):
    """What a check found."""

    door: Literal["mllp", "fhir"]
    name: str
    sentence: str
    severity: Severity
    holds: bool
    expected: str
    came: str
    milliseconds: int


class Report(Struct, frozen=True):
    """A whole run, of the target that was tried."""

    target: str
    at: datetime
    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        """The checks that must hold and do not."""
        return [one for one in self.results if not one.holds and one.severity == "must"]


def expect(holds: object, expected: str, came: object) -> None:
    """Raise Failed unless it holds."""
    if not holds:
        raise Failed(expected, came)


class Kit:
    """The checks of one door, in the order in which they were added."""

    def __init__(self, door: Literal["mllp", "fhir"]) -> None:
        self.door: Literal["mllp", "fhir"] = door
        self.checks: list[Check] = []

    def must(self, check: Callable[[B], Awaitable[None]]) -> Callable[[B], Awaitable[None]]:
        """Add a check that must hold."""
        return self._add(check, "must")

    def should(self, check: Callable[[B], Awaitable[None]]) -> Callable[[B], Awaitable[None]]:
        """Add a check that ought to hold."""
        return self._add(check, "should")

    def _add(self, check: Callable[[B], Awaitable[None]], severity: Severity) -> Callable[[B], Awaitable[None]]:
        sentence = (check.__doc__ or "").splitlines()[0].rstrip(".")
        self.checks.append(Check(check.__name__, sentence, severity, check))
        return check

    async def run(self, bench: object, only: Sequence[str] = ()) -> list[Result]:
        """Try the checks, or those that are named, one after the other."""
        return [await self._try(check, bench) for check in self.checks if not only or check.name in only]

    async def _try(self, check: Check, bench: object) -> Result:
        begin = time.monotonic()
        expected = came = ""
        try:
            async with asyncio.timeout(MAX_SECONDS):
                await check.run(bench)
            holds = True
        except Failed as failed:
            holds, expected, came = False, failed.expected, failed.came
        except (OSError, TimeoutError, ValueError, LookupError, EOFError) as error:
            holds, expected, came = False, "an answer", f"{type(error).__name__}: {error}"[:500]
        took = int((time.monotonic() - begin) * 1_000)
        return Result(self.door, check.name, check.sentence, check.severity, holds, expected, came, took)


def as_markdown(report: Report) -> str:
    """Write a report for people."""
    held = sum(one.holds for one in report.results)
    lines = [
        f"# Conformance of {report.target}",
        "",
        f"{report.at:%Y-%m-%d %H:%M:%S} UTC: {held} of {len(report.results)} checks hold, {len(report.failed)} fail.",
        "",
        "| door | check | must | holds | expected | came | ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in report.results:
        cells = (
            one.door,
            one.sentence,
            "yes" if one.severity == "must" else "no",
            "yes" if one.holds else "**no**",
            _cell(one.expected),
            _cell(one.came),
            str(one.milliseconds),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ")


def as_json(report: Report) -> bytes:
    """Write a report for machines."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)
