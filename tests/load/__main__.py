"""Load a city on this machine: `python -m tests.load SCENARIO ... [--store file|motor|pymongo] [--json]`."""

import argparse
import json

import uvloop

from tests.load.city import STORES, served
from tests.load.days import DAYS
from tests.load.figures import table
from tests.load.scenarios import SCENARIOS

ALL = {**SCENARIOS, **DAYS}


def main() -> None:
    """Run scenarios, all if none is named, and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"one of: {', '.join(ALL)}; all if none is named")
    parser.add_argument("--store", choices=STORES, default="file")
    parser.add_argument("--json", action="store_true", help="print JSON and no table")
    arguments = parser.parse_args()
    names: list[str] = arguments.scenario or list(ALL)
    if unknown := set(names) - ALL.keys():
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}; use one of: {', '.join(ALL)}")
    found: dict[str, dict[str, float]] = {}
    for name in names:
        with served(arguments.store) as city:
            found[name] = uvloop.run(ALL[name](city))
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
