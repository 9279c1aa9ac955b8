"""The table of capacity in docs/operating.md, made from RESULTS.md, so that both always say the same."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.report import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
BEGIN, END = "<!-- capacity: made by `make bench` -->\n", "<!-- end of capacity -->\n"

Results = Mapping[str, Mapping[str, Sequence[str]]]
"""The rows of each benchmark by their first cell."""

Cell = tuple[str, str, int]
"""A benchmark, its row and its column."""

FILE, MOTOR, PYMONGO = "embedded file", "MongoDB, motor", "MongoDB, pymongo"
SHOWN = "`GET /v1/me/health-code`"
RATES: Mapping[str, Sequence[Cell | None]] = {
    "display of the code": (
        ("health_code_read", SHOWN, 1),
        ("mongodb_health_code", "motor", 1),
        ("mongodb_health_code", "pymongo", 1),
    ),
    "verification at a gate": tuple(("verifications", store, 1) for store in ("file", "motor", "pymongo")),
    "sign-in by a phone that is known": tuple(("sign_ins", store, 2) for store in ("file", "motor", "pymongo")),
    "sign-in by a new phone": tuple(("sign_ins", store, 1) for store in ("file", "motor", "pymongo")),
    "hospital visit from opening to bill": tuple(("visits", store, 1) for store in (FILE, MOTOR, PYMONGO)),
    "charge of a hospital over FHIR": (("fhir_charge_item", "in the common form", 1), None, None),
    "claim of a benefit": tuple(("claims", store, 1) for store in (FILE, MOTOR, PYMONGO)),
    "school lookup by address": (("school_lookups", "address", 2), None, None),
}


def read_results(text: str) -> Results:
    """Return the tables of the benchmarks in a text such as RESULTS.md."""
    found: dict[str, dict[str, Sequence[str]]] = {}
    for section in re.split(r"(?m)^##? ", text)[1:]:
        title = section.partition("\n")[0]
        lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
        found[title] = {row[0]: row for row in rows}
    return found


def capacity(results: Results) -> str:
    """Return the table of requests per second and core on each store; `-` is what was not measured."""
    lines = [
        "| each second, one core | embedded file | MongoDB, motor | MongoDB, PyMongo |",
        "| --- | --- | --- | --- |",
    ]
    for what, cells in RATES.items():
        lines.append(f"| {what} | {' | '.join(_cell(results, cell) for cell in cells)} |")
    space = list(results.get("space", {}).values())
    if space:
        lines += ["", "| collection | bytes of a document and its indexes | documents per GB |", "| --- | --- | --- |"]
        for name, document, indexes, each in space:
            together = int(document.replace(",", "")) + int(indexes.replace(",", ""))
            lines.append(f"| {name} | {together:,} | {each} |")
    return "\n".join(lines) + "\n"


def _cell(results: Results, cell: Cell | None) -> str:
    if cell is None:
        return "-"
    benchmark, row, column = cell
    cells = results.get(benchmark, {}).get(row)
    return cells[column].strip("*") if cells else "-"


def write_page() -> None:
    """Write the table into docs/operating.md."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table = capacity(read_results(RESULTS.read_text(encoding="utf-8")))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
