"""The cores that a busy day needs follow from what a core was measured to do."""

from tests.load.days import DAYS, cores
from tests.load.scenarios import SCENARIOS


def test_seven_tenths_of_each_core_are_used() -> None:
    assert cores((700, 1_000)) == 1
    assert cores((701, 1_000)) == 2


def test_requests_of_different_kinds_share_the_cores() -> None:
    assert cores((7_000, 10_000), (70, 100), (35, 100)) == 3


def test_a_day_has_a_name_of_its_own_and_says_what_happens() -> None:
    assert not DAYS.keys() & SCENARIOS.keys()
    assert all(scenario.__doc__ for scenario in DAYS.values())
