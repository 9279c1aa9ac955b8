"""Run the property tests with many examples and the kill tests in full, for an hour at most: `make soak`.

The results are written to RESULTS.md, with the commit.
"""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from tempfile import TemporaryFile

from tests.bench.report import RESULTS, machine, write_section

RUNS = {
    "medical credit: every fen is accounted for": ("tests/services/medical_credit/test_invariants.py", 8),
    "hospital messages: the bill is that of the accepted ones": (
        "tests/integrations/his/hl7v2/test_message_sequences.py",
        3,
    ),
    "hospital messages: a listener that is killed": ("tests/integrations/his/hl7v2/test_kills.py", 3),
    "hospital messages: mutations": ("tests/integrations/his/hl7v2/test_mutations.py", 1),
    "pay later: every fen is accounted for": ("tests/paylater/test_engine.py", 3),
    "benefits: every fen is accounted for": ("tests/benefits/test_reading_circles.py", 3),
    "talent code: every fen is accounted for": ("tests/services/talent_code/test_invariants.py", 5),
    "sagas with crashes": ("tests/jobs/test_saga_crashes.py", 1),
    "kills of servers, workers, MongoDB and Redis": ("tests/city/under_load/test_kills.py", 5),
    "load with a publication": ("tests/city/under_load/test_load.py", 2),
    "visits with kills": ("tests/city/under_load/test_visits.py", 3),
    "a store holds what a dict would hold": ("tests/store/test_model.py", 2),
    "a writer of the store that is killed": ("tests/store/test_killed_writer.py", 1),
    "the answers of concurrent callers have an order": ("tests/store/test_concurrent_model.py", 1),
    "three evaluators agree on every rule": ("tests/rulebook/test_agreement.py", 1),
    "five evaluators agree on 20,000 random modules": ("tests/rulebook/test_random_modules.py", 4),
    "verdicts change exactly when they say": ("tests/rulebook/test_verdict.py", 1),
    "the prover agrees with a search over 2,000 edits": ("tests/rulebook/prover/test_random_edits.py", 3),
    "the guide for authors in both languages": ("tests/rules/test_author_guide.py", 2),
    "each mistake that a machine can make in a module": ("tests/rules/test_mutants.py", 4),
    "the OpenAPI document against random requests": ("tests/web/test_openapi.py", 2),
    "no FHIR body is an error of the server": ("tests/integrations/his/fhir/test_mutated_bodies.py", 2),
}
"""What runs, and for how many minutes at most: an hour in all.

Random modules, mutants and kills take longer: the next run goes on where one stopped, as long as the sources are the
same.
"""

LONG = {
    "10,000 kills of the store's writer": ("tests/store/test_killed_writer.py", 30),
    "500 kills of a whole city": ("tests/city/under_load/test_kills.py", 30),
    "a million people with five million dated rows": ("tests/city/under_load/test_large_city.py", 60),
}
"""What runs only if it is named, such as by `python -m tests.soak 10,000 million`, and goes on likewise."""

START_SECONDS, STOP_SECONDS = 40, 120


def main(wanted: list[str]) -> int:
    """Run all soaks but the long ones, or those whose name contains one of the words; return 1 if one failed."""
    rows: list[str] = []
    for name, (path, minutes) in ({**RUNS, **LONG} if wanted else RUNS).items():
        if not wanted or any(word in name for word in wanted):
            rows.append(run(name, path, minutes))
            print(rows[-1], flush=True)  # noqa: T201  progress of a long run
    if not wanted:
        head = f"Last run of `make soak`: commit {commit()}, {datetime.now(UTC):%Y-%m-%d}, {machine()}.\n"
        table = ["| test | result | seconds |", "|---|---|---|", *rows]
        write_section(RESULTS, "Soak", "\n".join([head, *table]))
    return int(any("| failed" in row for row in rows))


def run(name: str, path: str, minutes: int) -> str:
    """Run one file of tests with many examples, and return its row of the table."""
    began = time.monotonic()
    arguments = [sys.executable, "-m", "pytest", "-x", "-s", path]  # ends at the first failure
    with TemporaryFile("w+") as output:
        seconds = (minutes * 60 - START_SECONDS) // 2  # most state machines run on two stores
        environment = {**os.environ, "CHENGMA_SOAK": "1", "CHENGMA_SOAK_SECONDS": str(seconds)}
        process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            process.wait(minutes * 60)
            stopped = ""
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that pytest stops the servers it started
            stopped = f"stopped after {minutes} minutes without a failure"
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        lines = output.read().splitlines()
    counts = [line for line in lines if " kills" in line]
    result = "; ".join([stopped or ("failed" if process.returncode else "passed"), *counts])
    if result.startswith("failed"):
        print("\n".join(lines[-60:]), flush=True)  # noqa: T201  what the table has no room for
    return f"| {name} | {result.replace('|', '/')} | {time.monotonic() - began:.0f} |"


def commit() -> str:
    """Return the short name of the commit that runs."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607  the caller's git
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
