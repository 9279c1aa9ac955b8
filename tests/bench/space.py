"""What a city takes up: bytes of each kind of document and its indexes on MongoDB, and the memory of a server."""

import asyncio
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.bench.health_code_read import ask
from tests.bench.report import Table
from tests.load.city import served
from tests.load.visitors import scans, sign_ins

WRITTEN = 2_000
GIGABYTE = 10**9


def measure() -> Table:
    """Measure the collections after thousands of displays, scans and sign-ins."""
    with served("pymongo") as city:
        ask(city.port, city.displays[:WRITTEN])
        ask(city.port, asyncio.run(scans(city, WRITTEN)))
        ask(city.port, asyncio.run(sign_ins(city, WRITTEN)))
        status = Path(f"/proc/{city.pid}/status").read_text(encoding="ascii")
        memory = int(status.partition("VmHWM:")[2].split()[0]) * 1_024
        rows = _collections(city.environment["CHENGMA_STORE"])
    return Table(
        "space",
        f"Documents of MongoDB after {WRITTEN:,} displays, scans and sign-ins, before compression, and their indexes. "
        f"The server's memory was {memory / 10**6:,.0f} MB at most.",
        ("collection", "bytes of a document", "bytes of its indexes", "documents per GB"),
        rows,
    )


def _collections(url: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    with MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database("chengma")
        for name in sorted(database.list_collection_names()):
            found: dict[str, Any] = database.command("collStats", name)
            if found["count"] >= WRITTEN:
                document, indexes = found["size"] / found["count"], found["totalIndexSize"] / found["count"]
                each = GIGABYTE / (document + indexes)
                rows.append((f"`{name}`", f"{document:,.0f}", f"{indexes:,.0f}", f"{each:,.0f}"))
    return rows
