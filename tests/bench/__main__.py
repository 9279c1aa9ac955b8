"""Run all benchmarks and write their results to RESULTS.md, or run only those that are named."""

import sys
from datetime import UTC, datetime

from tests.bench import (
    claims,
    fhir_charge_item,
    health_code_read,
    mllp,
    mongodb,
    rulebook,
    school_lookup,
    store,
    visits,
)
from tests.bench.report import RESULTS, machine, write_section

BENCHMARKS = {
    "health_code_read": health_code_read.read,
    "rulebook_evaluate": rulebook.evaluate,
    "rulebook_load": rulebook.load,
    "store": store.compare,
    "mongodb_health_code": mongodb.read_codes,
    "mongodb_bulk": mongodb.load_and_scan,
    "visits": visits.bill,
    "fhir_charge_item": fhir_charge_item.compare,
    "mllp": mllp.compare,
    "school_points": school_lookup.points,
    "school_lookups": school_lookup.lookups,
    "claims": claims.pay,
}


def main(names: list[str]) -> None:
    """Run benchmarks and print their results; store them if all were run."""
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    sections: list[str] = []
    for name in names or BENCHMARKS:
        sections.append(BENCHMARKS[name]().markdown())
        print(sections[-1])
    if not names:
        head = f"Measured by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.\n"
        write_section(RESULTS, "Benchmarks", "\n".join([head, *sections]))


if __name__ == "__main__":
    main(sys.argv[1:])
