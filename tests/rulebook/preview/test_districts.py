"""People are counted by district, and no count points to one of them."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import pytest

from backend.rulebook.preview.districts import MAX_DISTRICTS, DistrictCount, district_counts
from backend.rulebook.preview.report import ModulePreview, PreviewReport
from backend.rulebook.preview.tally import COUNTED, Counted

Row = tuple[str, int, int, int, int]


def counted(rows: Iterable[Row]) -> list[DistrictCount]:
    counts: dict[tuple[str, Counted], int] = {
        (code, name): number for code, *numbers in rows for name, number in zip(COUNTED, numbers, strict=True)
    }
    return district_counts(counts, lambda code: f"district {code}")


def worse(rows: Iterable[Row]) -> dict[str, int | None]:
    return {one.district: one.worse for one in counted(rows)}


def test_districts_where_most_people_change_come_first() -> None:
    rows = counted([("330106", 100, 5, 0, 0), ("330110", 200, 20, 10, 5)])
    assert rows == [
        DistrictCount("330110", "district 330110", 200, 20, 10, 5),
        DistrictCount("330106", "district 330106", 100, 5, 0, 0),
    ]


@pytest.mark.parametrize("few", [1, 4])
def test_a_count_that_points_to_a_person_is_hidden_and_cannot_be_computed_from_the_sum(few: int) -> None:
    rows: list[Row] = [("a", 100, few, 0, 0), ("b", 100, 30, 0, 0), ("c", 100, 8, 0, 0), ("d", 100, 0, 0, 0)]
    assert worse(rows) == {"b": 30, "c": None, "a": None, "d": 0}


def test_two_hidden_counts_need_no_third() -> None:
    rows: list[Row] = [("a", 100, 1, 0, 0), ("b", 100, 2, 0, 0), ("c", 100, 8, 0, 0)]
    assert worse(rows) == {"c": 8, "b": None, "a": None}


def test_districts_with_a_handful_of_people_are_added_up() -> None:
    rows = counted([("a", 100, 9, 0, 0), ("b", 3, 3, 0, 0), ("c", 4, 4, 0, 0)])
    assert rows == [DistrictCount("a", "district a", 100, 9, 0, 0), DistrictCount("*", "", 7, 7, 0, 0)]


def test_a_city_of_many_districts_lists_the_most_concerned_and_adds_up_the_others() -> None:
    rows = counted((f"{place:06}", 10, place + 5, 0, 0) for place in range(MAX_DISTRICTS + 3))
    assert len(rows) == MAX_DISTRICTS + 1
    assert (rows[-1].district, rows[-1].people, rows[-1].worse) == ("*", 30, 5 + 6 + 7)


def test_a_preview_of_an_earlier_edition_is_still_read() -> None:
    made = datetime(2026, 11, 1, tzinfo=UTC).isoformat()
    report: dict[str, object] = {"old": "a", "new": "b", "at": made, "seconds": 1.0, "modules": [], "not_previewed": []}
    assert msgspec.convert(report, PreviewReport).as_of is None
    fields = {one.name: one for one in msgspec.structs.fields(ModulePreview)}
    assert not fields["districts"].required


def test_people_whose_district_nobody_knows_make_no_table() -> None:
    assert counted([("", 100, 9, 0, 0)]) == []
