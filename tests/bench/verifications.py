"""Scans at gates per second: a code verified, the colour found, the visit recorded, on each store."""

import asyncio
import statistics

from tests.bench.health_code_read import ask, free_port, rate_of_core, server
from tests.bench.report import Table
from tests.load.city import STORES, served
from tests.load.visitors import scans

ROUNDS, OF_A_ROUND, WARM_UP = 5, 1_000, 200


def compare() -> Table:
    """Compare verifications with a bare route that decodes and encodes the same JSON."""
    rows = [_measure(store) for store in STORES]
    return Table(
        "verifications",
        f"`POST /v1/verifications` of {ROUNDS * OF_A_ROUND:,} codes, each of another person and scanned once, at fifty "
        "gates: token, signature, replays, colour by the rules, durable record of the visit; compared with a bare "
        "Litestar route that decodes the same body and returns the same JSON from a Struct. One uvicorn worker each, "
        f"32 connections, by the processor time of the server, {ROUNDS} alternating rounds. Targets: 0.28 on the file, "
        "1,400 per second of a core on MongoDB.",
        ("store", "verifications per second of a core", "the bare route's", "ratio"),
        rows,
    )


def _measure(store: str) -> tuple[str, ...]:
    with served(store) as city:
        prepared = asyncio.run(scans(city, WARM_UP + ROUNDS * OF_A_ROUND))
        bare, answer = free_port(), city.folder / "answer.json"
        answer.write_bytes(ask(city.port, prepared[:WARM_UP])[1])
        command = ["-m", "tests.bench.bare_verification", str(answer), str(bare)]
        with server(command, bare, city.environment, city.folder / "bare.log") as pid:
            ask(bare, prepared[:WARM_UP])
            rates: list[tuple[float, float]] = []
            for begin in range(WARM_UP, len(prepared), OF_A_ROUND):
                some = prepared[begin : begin + OF_A_ROUND]
                rates.append((rate_of_core(city.port, city.pid, some), rate_of_core(bare, pid, some)))
    ours, theirs = zip(*rates, strict=True)
    ratio = statistics.median(one / other for one, other in rates)
    return store, f"{statistics.median(ours):,.0f}", f"{statistics.median(theirs):,.0f}", f"**{ratio:.2f}**"
