"""Load a city on this machine: `python -m tests.load [SCENARIO ...] [--store file|motor|pymongo] [--json]`.

`python -m tests.load --write` runs the scenarios of overload on each store and driver, and writes the section "Load" of
tests/bench/RESULTS.md; it takes some nine minutes.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import uvloop

from tests.bench.report import RESULTS, machine, write_section
from tests.load.city import STORES, served
from tests.load.days import DAYS
from tests.load.figures import table
from tests.load.scenarios import SCENARIOS
from tests.load.wanted import Found, wanted

CALM_SECONDS = 1.0
"""Between two scenarios on one server."""

ALL = {**SCENARIOS, **DAYS}


def main() -> None:
    """Run scenarios, all if none is named, and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"one of: {', '.join(ALL)}; all if none is named")
    parser.add_argument("--store", choices=STORES, default="file")
    parser.add_argument("--json", action="store_true", help="print JSON and no table")
    parser.add_argument("--write", action="store_true", help="run all overload on every store, and write RESULTS.md")
    arguments = parser.parse_args()
    names: list[str] = arguments.scenario or list(ALL)
    if unknown := set(names) - ALL.keys():
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}; use one of: {', '.join(ALL)}")
    if arguments.write:
        write()
        return
    found = run(names, arguments.store)
    print(json.dumps(found) if arguments.json else table(found))


def run(names: Sequence[str], store: str) -> Found:
    """Run scenarios one after the other on one server, each day on a server of its own; return their figures."""
    found: dict[str, dict[str, float]] = {}
    if overload := [name for name in names if name in SCENARIOS]:
        with served(store) as city:
            for name in overload:
                found[name] = uvloop.run(SCENARIOS[name](city))
                time.sleep(CALM_SECONDS)
    for name in names:
        if name in DAYS:
            with served(store) as city:
                found[name] = uvloop.run(DAYS[name](city))
    return found


def write() -> None:
    """Run all overload on all stores, print what was found, and write it."""
    began, load = datetime.now(UTC), os.getloadavg()[0]
    found: dict[str, Found] = {}
    for store in STORES:
        found[store] = run(list(SCENARIOS), store)
        print(f"{store}\n\n{table(found[store])}\n", flush=True)
    head = (
        f"Made by `python -m tests.load --write` on {began:%Y-%m-%d}: {machine()}; the load average was {load:.1f} "
        "before. One server process on the first core, the client (and MongoDB) on the last; 20,000 people, each "
        "request with its own token. Capacity is measured in the same run, before each scenario."
    )
    text = f"{head}\n\n{wanted(found)}"
    print(text)
    write_section(RESULTS, "Load", text)


if __name__ == "__main__":
    main()
