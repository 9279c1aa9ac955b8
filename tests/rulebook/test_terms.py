"""Terms: Structs for the service in a rule module, dated like the rules; faults have a location."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Part, RefundTerms, faults, load

OF_2020 = RefundTerms(
    "cash", (Part(40), Part(60, timedelta(days=30))), 500_000, by_hand=True, desk="East 1", combines_with=("tram.fare",)
)
OF_2022 = RefundTerms("card")
NOON = datetime(2021, 6, 1, 4, 0, tzinfo=UTC)


def test_terms_are_read_into_the_struct_that_the_facts_name(tmp_path: Path) -> None:
    assert load(tmp_path, refund=REFUND).terms("tram.refund", NOON) == OF_2020


def test_terms_last_until_the_next_begin_at_the_citys_midnight(tmp_path: Path) -> None:
    rulebook, midnight = load(tmp_path, refund=REFUND), datetime(2021, 12, 31, 16, 0, tzinfo=UTC)
    assert rulebook.terms("tram.refund", midnight - timedelta(seconds=1)) == OF_2020
    assert rulebook.terms("tram.refund", midnight) == OF_2022


def test_the_terms_of_another_day_are_available(tmp_path: Path) -> None:
    assert load(tmp_path, refund=REFUND).terms("tram.refund", NOON, on=date(2022, 1, 1)) == OF_2022


def test_before_their_first_day_and_after_their_last_there_are_no_terms(tmp_path: Path) -> None:
    ending = REFUND.replace("from: 2022-01-01, paid", "from: 2022-01-01, until: 2023-01-01, paid")
    rulebook = load(tmp_path, refund=ending)
    for day, terms in [
        (date(2019, 12, 31), None),
        (date(2020, 1, 1), OF_2020),
        (date(2022, 12, 31), OF_2022),
        (date(2023, 1, 1), None),
    ]:
        assert rulebook.terms("tram.refund", NOON, on=day) == terms


def test_a_module_without_terms_has_none_in_force(tmp_path: Path) -> None:
    assert load(tmp_path).terms("tram.fare", NOON) is None


def test_an_unknown_module_and_an_impossible_instant_have_no_terms(tmp_path: Path) -> None:
    rulebook = load(tmp_path, refund=REFUND)
    with pytest.raises(KeyError):
        rulebook.terms("tram.refnud", NOON)
    with pytest.raises(ValueError, match="outside the years 1900 to 2149"):
        rulebook.terms("tram.refund", datetime(1899, 12, 31, tzinfo=UTC))


def test_new_terms_change_no_verdict(tmp_path: Path) -> None:
    """The figure of the law changes in 2022 as the terms do; in 2023 the terms change alone."""
    later = "  - {from: 2023-01-01, paid: cash, source: council}\nparameters:"
    rulebook = load(tmp_path, refund=REFUND.replace("parameters:", later))
    assert [verdict.result for verdict in rulebook.timeline("tram.refund", Delay(90), NOON)] == [300, 600]
    assert rulebook.terms("tram.refund", NOON, on=date(2023, 1, 1)) == RefundTerms("cash")


def test_at_any_instant_the_terms_are_those_of_the_citys_day(tmp_path: Path) -> None:
    rulebook = load(tmp_path, refund=REFUND)
    new_years_days = some.sampled_from([datetime(2020, 1, 1, tzinfo=CITY), datetime(2022, 1, 1, tzinfo=CITY)])

    @settings(max_examples=200, deadline=None)
    @given(new_years_days, some.integers(-200_000, 200_000))
    def at_any_time(new_year: datetime, seconds: int) -> None:
        at = new_year.astimezone(UTC) + timedelta(seconds=seconds)
        day = at.astimezone(CITY).date()
        expected = None if day < date(2020, 1, 1) else OF_2020 if day < date(2022, 1, 1) else OF_2022
        assert rulebook.terms("tram.refund", at) == rulebook.terms("tram.refund", NOON, on=day) == expected

    at_any_time()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("paid: cash", "payd: cash", "8:5: unknown key 'payd' in an item of `terms` (did you mean 'paid'?)"),
        ("    paid: cash\n", "", "7:5: an item of `terms` needs the key 'paid'"),
        ("paid: cash", "paid: cahs", "8:11: 'cahs' is not a value of this field (did you mean 'cash'"),
        ("by_hand: true", "by_hand: yes", "13:14: 'yes' is not a value of the rule language"),
        ("budget_fen: 500000", "budget_fen: 5.5", "12:17: expected a whole number"),
        ("budget_fen: 500000", "budget_fen: 1000001", "12:17: expected a whole number from 0 to 1000000"),
        ("after: 30d", "after: 30", "11:30: expected a duration such as 14d, 12h, 1h30m or 90s"),
        ("percent: 60", "percnt: 60", "11:10: unknown field 'percnt' of Part (did you mean 'percent'?)"),
        ("{percent: 40}", "{}", "10:9: Part needs the field 'percent'"),
        ("{percent: 40}", "40", "10:9: expected the fields of Part, or {} for none"),
        ("combines_with: [tram.fare]", "combines_with: tram.fare", "15:20: expected a list of string, such as [...]"),
        (
            '    source: "[S] council"\n  - {from: 2022',
            "  - {from: 2022",
            "7:5: an item of `terms` needs the key 'source'",
        ),
        ("from: 2022-01-01, paid", "from: 2022-02-30, paid", "17:12: '2022-02-30' is not a date such as 2020-02-11"),
        ("from: 2022-01-01, paid", "paid", "17:5: the values of 'terms' are not in the order of their dates"),
        ("    paid: cash", "    until: 2022-06-01\n    paid: cash", "18:5: two values of 'terms' are in force"),
        ("  - {from: 2022-01-01, paid: card, ", "  - card\n  - {", "17:5: expected an item of `terms` with"),
    ],
)
def test_each_fault_of_terms_has_its_location(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert REFUND.count(old) == 1
    found = faults(tmp_path, refund=REFUND.replace(old, new))
    assert any(line.startswith(fault) for line in found), found


def test_terms_that_contradict_themselves_are_rejected_with_the_message_of_their_struct(tmp_path: Path) -> None:
    assert faults(tmp_path, refund=REFUND.replace("percent: 60", "percent: 70")) == [
        "7:5: the parts add up to 110 percent, not to 100"
    ]
    assert faults(tmp_path, refund=REFUND.replace("30d", "100d")) == ["11:9: a part is paid within 99 days"]


def test_a_module_that_terms_name_is_one_of_the_rulebook(tmp_path: Path) -> None:
    assert faults(tmp_path, refund=REFUND.replace("[tram.fare]", "[tram.fair]")) == [
        "7:5: these terms name 'tram.fair', which is not a module (did you mean 'tram.fare'?)"
    ]


def test_a_module_that_terms_name_may_have_faults_of_its_own(tmp_path: Path) -> None:
    assert faults(tmp_path, FARE.replace("facts.age", "facts.agge"), refund=REFUND) == [
        "13:17: unknown field 'agge' of Rider (did you mean 'age'?)"
    ]


def test_a_module_has_terms_if_and_only_if_its_facts_declare_them(tmp_path: Path) -> None:
    without = REFUND[: REFUND.index("terms:")] + REFUND[REFUND.index("parameters:") :]
    assert faults(tmp_path, refund=without) == ["1:1: a module on Delay needs the key 'terms' (add `terms:`)"]
    assert faults(tmp_path, refund=without.replace("parameters:", "terms: []\nparameters:")) == [
        "6:8: 'terms' is a list: the terms with their dates (write [..., ...], or lines that begin with `- `)"
    ]
    assert faults(tmp_path, FARE.replace("parameters:", "terms: []\nparameters:"), refund=REFUND) == [
        "6:1: a module on Rider has no `terms` (remove `terms`)"
    ]


def test_the_digest_changes_with_the_terms(tmp_path: Path) -> None:
    assert load(tmp_path, refund=REFUND).digest != load(tmp_path, refund=REFUND.replace("30d", "31d")).digest
