"""Sign-ins per second, by phones that are new to the city and by phones that it knows, on each store."""

import asyncio
import statistics

from tests.bench.health_code_read import rate_of_core
from tests.bench.report import Table
from tests.load.city import STORES, Served, served
from tests.load.visitors import sign_ins

ROUNDS, OF_A_ROUND = 4, 1_000


def measure() -> Table:
    """Sign in thousands of phones twice: the first time makes their accounts."""
    rows = [_measure(store) for store in STORES]
    return Table(
        "sign_ins",
        f"`POST /v1/sessions` by {ROUNDS * OF_A_ROUND:,} phones with the code that each was sent: attempts counted, "
        "the code checked durably, account found or made, session and tokens; then again by the same phones. One "
        f"uvicorn worker, 32 connections, by the processor time of the server, {ROUNDS} rounds. "
        "Target: 800 per second of a core on MongoDB.",
        ("store", "new phones per second of a core", "known phones per second of a core"),
        rows,
    )


def _measure(store: str) -> tuple[str, ...]:
    with served(store) as city:
        return store, *(f"{_rate(city):,.0f}" for _time in ("new", "known"))


def _rate(city: Served) -> float:
    prepared = asyncio.run(sign_ins(city, ROUNDS * OF_A_ROUND))
    parts = [prepared[begin : begin + OF_A_ROUND] for begin in range(0, len(prepared), OF_A_ROUND)]
    return statistics.median(rate_of_core(city.port, city.pid, some) for some in parts)
