"""Conformance checks of a hospital's system before it is connected, and the report of a run.

A check is an async function; the first line of its docstring is the description in the report. It raises CheckFailed
with the expected and the actual result. Connection and decoding errors are reported as the actual result too.
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


class CheckFailed(Exception):
    """A check failed."""

    def __init__(self, expected: str, actual: object) -> None:
        super().__init__(f"expected {expected}, got {actual}")
        self.expected = expected
        self.actual = str(actual)[:500]


class Check(Struct, frozen=True):
    """A check; `severity` says whether it is mandatory."""

    name: str
    description: str
    severity: Severity
    run: Callable[[Any], Awaitable[None]]


class Result(Struct, frozen=True):
    """The result of a check."""

    interface: Literal["mllp", "fhir"]
    name: str
    description: str
    severity: Severity
    passed: bool
    expected: str
    actual: str
    duration_ms: int


class Report(Struct, frozen=True):
    """The results of a run against a target."""

    target: str
    at: datetime
    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        """The mandatory checks that failed."""
        return [one for one in self.results if not one.passed and one.severity == "must"]


def expect(condition: object, expected: str, actual: object) -> None:
    """Raise CheckFailed unless the condition is true."""
    if not condition:
        raise CheckFailed(expected, actual)


class CheckSuite:
    """The checks of one interface, in the order in which they were registered."""

    def __init__(self, interface: Literal["mllp", "fhir"]) -> None:
        self.interface: Literal["mllp", "fhir"] = interface
        self.checks: list[Check] = []

    def must(self, check: Callable[[B], Awaitable[None]]) -> Callable[[B], Awaitable[None]]:
        """Register a mandatory check."""
        return self._add(check, "must")

    def should(self, check: Callable[[B], Awaitable[None]]) -> Callable[[B], Awaitable[None]]:
        """Register a recommended check."""
        return self._add(check, "should")

    def _add(self, check: Callable[[B], Awaitable[None]], severity: Severity) -> Callable[[B], Awaitable[None]]:
        description = (check.__doc__ or "").splitlines()[0].rstrip(".")
        self.checks.append(Check(check.__name__, description, severity, check))
        return check

    def names(self) -> dict[str, str]:
        """Return the description of each check by its name."""
        return {one.name: one.description for one in self.checks}

    async def run(self, tester: object, only: Sequence[str] = ()) -> list[Result]:
        """Run all checks, or those that `only` names, one after the other."""
        return [await self._run_check(check, tester) for check in self.checks if not only or check.name in only]

    async def _run_check(self, check: Check, tester: object) -> Result:
        started = time.monotonic()
        expected = actual = ""
        try:
            async with asyncio.timeout(MAX_SECONDS):
                await check.run(tester)
            passed = True
        except CheckFailed as failure:
            passed, expected, actual = False, failure.expected, failure.actual
        except (OSError, TimeoutError, ValueError, LookupError, EOFError) as error:
            passed, expected, actual = False, "a response", f"{type(error).__name__}: {error}"[:500]
        duration_ms = int((time.monotonic() - started) * 1_000)
        return Result(
            self.interface, check.name, check.description, check.severity, passed, expected, actual, duration_ms
        )


def summary(report: Report) -> str:
    """Return one sentence with the number of checks that passed, and of mandatory checks that failed."""
    passed = sum(one.passed for one in report.results)
    return f"{passed} of {len(report.results)} checks passed, {len(report.failed)} mandatory checks failed."


def as_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    lines = [
        f"# Conformance of {report.target}",
        "",
        f"{report.at:%Y-%m-%d %H:%M:%S} UTC: {summary(report)}",
        "",
        "| interface | check | mandatory | passed | expected | actual | ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in report.results:
        cells = (
            one.interface,
            one.description,
            "yes" if one.severity == "must" else "no",
            "yes" if one.passed else "**no**",
            _cell(one.expected),
            _cell(one.actual),
            str(one.duration_ms),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ")


def as_json(report: Report) -> bytes:
    """Return the report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)
