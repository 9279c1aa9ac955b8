"""The settlements in a hospital's file: the city settles, so the hospital may leave them out, or their numbers."""

import pytest
from msgspec.structs import replace

from tests.services.medical_credit.test_every_difference import (
    CHARGE,
    CHARGE_2,
    COUNTER,
    CREDIT,
    NOON,
    SETTLEMENT,
    VISIT,
    Day,
    filed,
)

WITHOUT_SETTLEMENT = (CHARGE, CHARGE_2, CREDIT, COUNTER)
BY_HOSPITAL = replace(VISIT, settled_by="hospital", closed_at=NOON)
UNKNOWN = pytest.mark.parametrize("number", ["-", ""], ids=["a dash", "nothing"])


def with_settlement(row: str, day: Day | None = None) -> list[tuple[str, str]]:
    """Return the kind of each difference of a file with this settlement, and its sentence."""
    found = filed(*WITHOUT_SETTLEMENT, row)(day or Day()).differences()
    return [(one.kind, one.detail.en if one.detail is not None else "") for one in found]


def test_a_hospital_whose_visits_the_city_settles_files_no_settlements() -> None:
    assert filed(*WITHOUT_SETTLEMENT)(Day()).differences() == []


@UNKNOWN
def test_a_settlement_without_a_number_is_compared_by_its_amounts(number: str) -> None:
    assert with_settlement(SETTLEMENT.replace("S1", number)) == []
    ((kind, told),) = with_settlement(SETTLEMENT.replace("S1", number).replace("50.00", "49.00"))
    assert kind == "settlement_differs"
    assert told.endswith("the fund is 50.00 here and 49.00 at the hospital.")


@UNKNOWN
def test_a_settlement_without_number_and_day_belongs_to_the_day_on_which_the_city_made_it(number: str) -> None:
    assert VISIT.settlement is not None
    earlier = replace(VISIT, settlement=replace(VISIT.settlement, at=NOON.replace(day=1)))
    row = SETTLEMENT.replace("S1", number)
    assert with_settlement(row.replace("2026-03-02", ""), replace(Day(), visits=(earlier,))) == []
    ((kind, told),) = with_settlement(row, replace(Day(), visits=(earlier,)))
    assert (kind, "the day is 2026-03-01 here" in told) == ("settlement_differs", True)


@UNKNOWN
def test_a_settlement_without_a_number_can_be_cancelled_in_the_file(number: str) -> None:
    row = SETTLEMENT.replace("S1", number)
    cancelled = ",".join(f"-{cell}" if cell.endswith(".00") else cell for cell in row.split(","))
    found = filed(*WITHOUT_SETTLEMENT, row, cancelled)(Day()).differences()
    assert [one.kind for one in found] == ["settlement_cancelled_at_hospital"]


@UNKNOWN
def test_a_hospital_that_settles_itself_knows_the_number(number: str) -> None:
    ((kind, told),) = with_settlement(SETTLEMENT.replace("S1", number), replace(Day(), visits=(BY_HOSPITAL,)))
    assert kind == "settlement_differs"
    assert "the number is S1 here and - at the hospital" in told
