"""Run all benchmarks and write RESULTS.md and the table of capacity, or run and print the named ones."""

import os
import sys
from datetime import UTC, datetime

from tests.bench import (
    claims,
    fhir_charge_item,
    health_code_read,
    hot_budget,
    mllp,
    mongodb,
    preview,
    rulebook,
    school_lookup,
    sign_ins,
    space,
    store,
    verifications,
    visits,
)
from tests.bench.capacity import write_page
from tests.bench.report import RESULTS, machine, write_section

BENCHMARKS = {
    "health_code_read": health_code_read.read,
    "rulebook_evaluate": rulebook.evaluate,
    "rulebook_load": rulebook.load,
    "rules_preview": preview.measure,
    "store": store.compare,
    "mongodb_health_code": mongodb.read_codes,
    "mongodb_bulk": mongodb.load_and_scan,
    "visits": visits.bill,
    "fhir_charge_item": fhir_charge_item.compare,
    "mllp": mllp.compare,
    "school_points": school_lookup.points,
    "school_lookups": school_lookup.lookups,
    "claims": claims.pay,
    "hot_budget": hot_budget.compare,
    "verifications": verifications.compare,
    "sign_ins": sign_ins.measure,
    "space": space.measure,
}


def main(names: list[str]) -> None:
    """Run and print benchmarks; a run of all of them is also written to RESULTS.md."""
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        sys.exit(f"unknown benchmark: {', '.join(sorted(unknown))}; use one of: {', '.join(BENCHMARKS)}")
    found: list[str] = []
    cores = os.sched_getaffinity(0)
    for name in names or BENCHMARKS:
        os.sched_setaffinity(0, cores)  # many a benchmark leaves this process on one core
        found.append(BENCHMARKS[name]().markdown())
        print(found[-1])
    if not names:
        head = f"Made by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.\n"
        write_section(RESULTS, "Benchmarks", "\n".join([head, *found]))
        write_page()


if __name__ == "__main__":
    main(sys.argv[1:])
