"""Years and birthdays in conditions: exact to the day, by the calendar of the city, with the instant of change."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec import Struct

from backend.rulebook import Rulebook, make_rulebook
from backend.rulebook.language.calendar import full_years
from backend.rulebook.language.checker import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.types import TIMESTAMP, Type
from backend.rulebook.source import InvalidRulebook, SourceFile
from tests.draws import draws
from tests.rulebook.cel_oracle import evaluate_with_cel

CITY = ZoneInfo("Asia/Shanghai")


class Stay(Struct, frozen=True):
    """A stay that began at an instant."""

    began_at: datetime


class Elder(Struct, frozen=True):
    """A person with a day of birth."""

    born_at: datetime
    least: int = 70
    stays: tuple[Stay, ...] = ()


CONDITIONS = {
    "seventy": "age(facts.born_at, now) >= 70",
    "over-seventy": "70 < age(facts.born_at, now)",
    "just-seventy": "age(facts.born_at, now) == 70",
    "not-seventy": "age(facts.born_at, now) != 70",
    "under-seventy": "age(facts.born_at, now) < 70",
    "up-to-seventy": "age(facts.born_at, now) <= 70",
    "born": "age(facts.born_at, now) >= 0",
    "never": "age(facts.born_at, now) > 9000000",
    "by-own-figure": "age(facts.born_at, now) >= facts.least",
    "by-the-day-after": 'age(facts.born_at, now - duration("24h")) >= 70',
    "within-a-list": "facts.stays.exists(s, age(s.began_at, now) >= 3 && age(facts.born_at, s.began_at) < 18)",
}


def rulebook_of(conditions: dict[str, str]) -> Rulebook:
    rules = "".join(
        f"  - id: {name}\n    when: >-\n      {when}\n    then: yes\n"
        "    because: {zh: 是, en: Yes}\n    source: '[S] x'\n"
        for name, when in conditions.items()
    )
    text = (
        "module: elders\ntitle: {zh: 老年, en: Elders}\nfacts: Elder\nresult: [no, yes]\nstrategy: first\n"
        f"rules:\n{rules}otherwise: {{then: no, because: {{zh: 否, en: No}}}}\n"
    )
    files = {"elders": SourceFile("elders.yaml", text, [])}
    return make_rulebook(files, [Elder], CITY)


RULEBOOKS = {name: rulebook_of({name: when}) for name, when in CONDITIONS.items()}


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CITY)


def test_a_person_is_seventy_from_the_first_instant_of_the_birthday() -> None:
    person, birthday = Elder(local("1950-05-01")), local("2020-05-01").astimezone(UTC)
    before = RULEBOOKS["seventy"].evaluate("elders", person, birthday - timedelta(microseconds=1))
    assert (before.result, before.changes_at) == ("no", birthday)
    after = RULEBOOKS["seventy"].evaluate("elders", person, birthday)
    assert (after.result, after.changes_at) == ("yes", None)


@pytest.mark.parametrize(
    ("years", "day"), [(17, "2021-03-01"), (18, "2022-03-01"), (20, "2024-02-29"), (96, "2100-03-01")], ids=str
)
def test_a_person_born_on_29_february_has_birthdays_on_1_march_in_common_years(years: int, day: str) -> None:
    born, birthday = local("2004-02-29"), local(day).astimezone(UTC)
    assert full_years(born, birthday, CITY) == years
    assert full_years(born, birthday - timedelta(microseconds=1), CITY) == years - 1


def test_a_birth_at_any_hour_has_its_birthday_at_midnight() -> None:
    assert full_years(local("2000-05-01T23:30"), local("2018-05-01T00:00"), CITY) == 18
    assert full_years(local("2000-05-01T23:30"), local("2018-04-30T23:59"), CITY) == 17


def test_age_follows_the_calendar_of_the_city_and_not_of_utc() -> None:
    last_hour = local("2018-05-01").astimezone(UTC) - timedelta(hours=1)
    assert full_years(local("2000-05-01"), last_hour, CITY) == 17
    assert full_years(local("2000-05-01"), last_hour, ZoneInfo("UTC")) == 18


def test_nobody_is_younger_than_zero() -> None:
    assert full_years(local("2020-05-01"), local("2019-05-01"), CITY) == 0


DAYS = some.dates(date(1905, 1, 1), date(2149, 1, 1))
INSTANTS = some.tuples(DAYS, some.integers(0, 86_399)).map(
    lambda pair: datetime(pair[0].year, pair[0].month, pair[0].day, tzinfo=UTC) + timedelta(seconds=pair[1])
)


@pytest.mark.parametrize("name", list(CONDITIONS), ids=list(CONDITIONS))
@given(
    born=INSTANTS | some.sampled_from([local("1940-02-29"), local("1952-02-29T12:00"), local("1988-07-01")]),
    shift=some.integers(-2, 2),
    years=some.sampled_from([0, 3, 69, 70, 71, 72]),
    stays=some.lists(INSTANTS, max_size=2),
)
@settings(max_examples=draws(40, soak=2_000), deadline=None, derandomize=True)
def test_function_explainer_and_cel_agree_and_nothing_changes_before_changes_at(
    name: str, born: datetime, shift: int, years: int, stays: list[datetime]
) -> None:
    person = Elder(born, stays=tuple(map(Stay, stays)))
    at = min(born + timedelta(days=years * 365.2425 + shift), datetime(2149, 6, 1, tzinfo=UTC))
    rulebook = RULEBOOKS[name]
    (explained,) = rulebook.explain("elders", person, at)
    verdict = rulebook.evaluate("elders", person, at)
    assert explained[1].value is (verdict.result == "yes")
    assert evaluate_with_cel([CONDITIONS[name]], {}, person, at) == [verdict.result == "yes"]
    if verdict.changes_at is not None:
        last, then = (
            rulebook.evaluate("elders", person, instant).result
            for instant in (verdict.changes_at - timedelta(microseconds=1), verdict.changes_at)
        )
        assert (last, then != last) == (verdict.result, True)


def test_the_timeline_of_a_birthday_is_found_without_trying_each_day() -> None:
    person = Elder(local("1950-05-01"))
    timeline = list(RULEBOOKS["just-seventy"].timeline("elders", person, local("1990-01-01")))
    assert [(one.result, one.at.astimezone(CITY).date()) for one in timeline] == [
        ("no", date(1990, 1, 1)),
        ("yes", date(2020, 5, 1)),
        ("no", date(2021, 5, 1)),
    ]


def test_age_never_falls_and_rises_by_one_on_each_birthday() -> None:
    born = local("1988-02-29")
    ages = [full_years(born, born + timedelta(days=day), CITY) for day in range(20_000)]
    assert {later - earlier for earlier, later in pairwise(ages)} == {0, 1}


def refusal(text: str) -> InvalidExpression:
    with pytest.raises(InvalidExpression) as refused:
        check(text, {"facts": Type("facts", struct=Elder), "now": TIMESTAMP}, zone=CITY)
    return refused.value


@pytest.mark.parametrize(
    "text",
    [
        "age(facts.born_at, now) + 1 >= 70",
        "age(facts.born_at, now) in [70, 80]",
        "age(facts.born_at, now) >= age(facts.stays[0].began_at, now)",
        "age(facts.born_at, now) >= 69.5",
        "(facts.least > 3 ? age(facts.born_at, now) : 4) > 2",
    ],
)
def test_an_age_that_changes_with_now_stands_alone_in_a_comparison(text: str) -> None:
    problem = refusal(text)
    assert "now" in problem.message.en or "can fail" in problem.message.en


def test_age_takes_two_instants() -> None:
    assert "not defined" in refusal("age(facts.born_at) >= 70").message.en
    assert "not defined" in refusal("age(70, now) >= 70").message.en
    assert "`now` allows only" in refusal("age(now, facts.born_at) >= 70").message.en


def test_ages_that_no_one_has_are_found_by_the_check() -> None:
    with pytest.raises(InvalidRulebook, match="can never fire"):
        rulebook_of({"contradiction": "age(facts.born_at, now) >= 80 && age(facts.born_at, now) < 70"})
