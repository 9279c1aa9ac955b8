"""The table of capacity in the documentation says what was measured."""

from tests.bench.capacity import BEGIN, END, PAGE, RATES, capacity, read_results
from tests.bench.report import RESULTS, Table

MEASURED = "\n".join(
    [
        Table("claims", "Claims.", ("store", "claims"), [("embedded file", "1,200")]).markdown(),
        Table("verifications", "Scans.", ("store", "scans"), [("file", "**2,100**"), ("motor", "900")]).markdown(),
    ]
)


def test_the_page_has_the_table_of_the_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition(BEGIN)[2].partition(END)[0]
    assert table.strip() == capacity(read_results(RESULTS.read_text(encoding="utf-8"))).strip()


def test_each_kind_of_request_has_a_row_with_what_was_measured() -> None:
    lines = capacity(read_results(MEASURED)).splitlines()
    assert "| verification at a gate | 2,100 | 900 | - |" in lines
    assert "| claim of a benefit | 1,200 | - | - |" in lines
    assert len(lines) == 2 + len(RATES)


def test_the_results_of_space_are_added_up() -> None:
    head = ("collection", "document", "indexes", "per GB")
    space = Table("space", "Space.", head, [("`sessions`", "1,400", "100", "666,667")]).markdown()
    soak = "\n# Soak\n\n| test | result | seconds |\n|---|---|---|\n| kills | passed | 7 |\n"
    assert capacity(read_results(space + soak)).splitlines()[-1] == "| `sessions` | 1,500 | 666,667 |"
