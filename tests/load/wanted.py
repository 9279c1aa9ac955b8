"""What must hold under overload, next to what was found with each store and driver."""

import operator
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from tests.load.figures import Figures

Found = Mapping[str, Figures]
"""The figures of each scenario."""


class Wanted(Struct, frozen=True):
    """A figure of a scenario, and its bound: at least or at most."""

    what: str
    scenario: str
    figure: str
    bound: float
    side: Literal["at least", "at most"] = "at most"
    unit: str = ""

    def is_met(self, value: float) -> bool:
        holds: Callable[[float, float], bool] = operator.ge if self.side == "at least" else operator.le
        return holds(value, self.bound)

    def text(self, value: float) -> str:
        return f"{value:,.0f}{self.unit}" if self.unit or self.bound == 0 else f"{value:.2f}"


WANTED = (
    Wanted("3x open loop, 1,900 connections: served of capacity", "overload", "served_of_capacity", 0.6, "at least"),
    Wanted("p99 of what is served, from due time", "overload", "served_p99_ms", 150, unit=" ms"),
    Wanted("p99 of refusals, from due time", "overload", "refused_p99_ms", 100, unit=" ms"),
    Wanted("seconds until nothing is refused afterwards", "overload", "recovery_seconds", 0.3),
    Wanted("1,000 connections that never pause: served of capacity", "kept", "served_of_capacity", 0.6, "at least"),
    Wanted("p99 of what is served to them", "kept", "served_p99_ms", 250, unit=" ms"),
    Wanted("3,800 connections that never pause: served of capacity", "storm", "served_of_capacity", 0.5, "at least"),
    Wanted("500 newcomers in 10 s: served at their first request", "newcomers", "served_first", 0.95, "at least"),
    Wanted("p99 of newcomers", "newcomers", "served_p99_ms", 400, unit=" ms"),
    Wanted("200 newcomers at once: the last answer", "newcomers_at_once", "last_ms", 500, unit=" ms"),
    Wanted("in flight after 1,000 hang-ups", "hang_ups", "in_flight", 0),
    Wanted("processor time of a refusal", "refusals", "refusal_microseconds", 12, unit=" us"),
    Wanted("loss of the peak by admission", "peak", "loss", 0.03),
)
FOR_COMPARISON = (
    ("capacity per second, before the open loop", "overload", "capacity_per_second", ""),
    ("3x open loop: share of the processor time for what is served", "overload", "served_of_processor_time", ""),
    ("processor time of a display at its peak", "peak", "display_microseconds", " us"),
    ("processor time of a bare uvicorn application's answer", "refusals", "bare_app_microseconds", " us"),
    ("processor time of an answer without reading the request", "refusals", "unread_microseconds", " us"),
)


def wanted(found: Mapping[str, Found]) -> str:
    """Return a Markdown table with a row for each wish and a column for each store; what is missed is marked."""
    lines = [f"| figure | wanted | {' | '.join(found)} |", f"|{' --- |' * (len(found) + 2)}"]
    for one in WANTED:
        values = [of[one.scenario][one.figure] for of in found.values()]
        cells = [one.text(value) if one.is_met(value) else f"**{one.text(value)}** (missed)" for value in values]
        lines.append(f"| {one.what} | {one.side} {one.text(one.bound)} | {' | '.join(cells)} |")
    for what, scenario, figure, unit in FOR_COMPARISON:
        values = [of[scenario][figure] for of in found.values()]
        cells = [f"{value:,.0f}{unit}" if value >= 1 else f"{value:.2f}" for value in values]
        lines.append(f"| {what} | | {' | '.join(cells)} |")
    return "\n".join(lines)
