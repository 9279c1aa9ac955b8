from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from msgspec import Struct

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Verdict, load_rulebook
from backend.rulebook.language.types import MICROSECOND
from backend.rulebook.needs import facts_of
from tests.draws import draws
from tests.rulebook.random_facts import first_days, instants_near, random_facts
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Pass, Rider, load

pytestmark = pytest.mark.slow

NOON = datetime(2021, 6, 1, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def rider(age: int = 30, *bought: datetime) -> Rider:
    return Rider(age, passes=tuple(Pass("day", at) for at in bought))


def test_a_verdict_has_result_reason_and_time_of_change(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    verdict = rulebook.evaluate("tram.fare", rider(30, NOON), NOON)
    assert (verdict.module, verdict.result, verdict.rule) == ("tram.fare", "free", "day-pass")
    assert verdict.because.en == "You have a day pass"
    assert verdict.fired == ("day-pass",)
    assert (verdict.at, verdict.changes_at) == (NOON, NOON + DAY)
    assert verdict.rulebook == rulebook.digest


def test_if_no_rule_fires_the_result_is_that_of_otherwise(tmp_path: Path) -> None:
    verdict = load(tmp_path).evaluate("tram.fare", rider(), NOON)
    assert (verdict.result, verdict.rule, verdict.fired, verdict.changes_at) == ("full", "otherwise", (), None)


def test_of_two_rules_that_fire_the_most_severe_decides(tmp_path: Path) -> None:
    verdict = load(tmp_path).evaluate("tram.fare", rider(13, NOON), NOON)
    assert (verdict.result, verdict.rule, verdict.fired) == ("free", "day-pass", ("child", "day-pass"))


def test_of_two_passes_the_later_one_decides_when_the_fare_changes(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    verdict = rulebook.evaluate("tram.fare", rider(30, NOON - timedelta(hours=5), NOON - timedelta(hours=2)), NOON)
    assert verdict.changes_at == NOON + timedelta(hours=22)


def test_the_timeline_has_each_verdict_from_its_first_instant(tmp_path: Path) -> None:
    found = load(tmp_path).timeline("tram.fare", rider(13, NOON), NOON)
    assert [(verdict.at, verdict.result) for verdict in found] == [(NOON, "free"), (NOON + DAY, "half")]


def test_new_law_begins_at_the_citys_midnight(tmp_path: Path) -> None:
    """A pass of 30 December at noon ran out on the 31st; by the law of 2022 it lasts until 1 January at noon."""
    bought = datetime(2021, 12, 30, 4, 0, tzinfo=UTC)
    found = list(load(tmp_path).timeline("tram.fare", rider(30, bought), bought))
    assert [(verdict.at, verdict.result) for verdict in found] == [
        (bought, "free"),
        (bought + DAY, "full"),
        (datetime(2021, 12, 31, 16, 0, tzinfo=UTC), "free"),
        (bought + 2 * DAY, "full"),
    ]


def test_before_its_first_day_a_rule_does_not_fire(tmp_path: Path) -> None:
    verdict = load(tmp_path).evaluate("tram.fare", rider(13), datetime(2019, 12, 31, 15, 59, 59, tzinfo=UTC))
    assert (verdict.result, verdict.changes_at) == ("full", datetime(2019, 12, 31, 16, 0, tzinfo=UTC))


def test_the_law_of_another_day_can_be_used(tmp_path: Path) -> None:
    rulebook, at = load(tmp_path), NOON + timedelta(hours=30)
    assert rulebook.evaluate("tram.fare", rider(30, NOON), at).result == "full"
    by_later_law = rulebook.evaluate("tram.fare", rider(30, NOON), at, on=date(2022, 1, 1))
    assert (by_later_law.result, by_later_law.changes_at) == ("free", NOON + 2 * DAY)
    assert rulebook.evaluate("tram.fare", rider(30, NOON), at, on=date(2019, 1, 1)).rule == "otherwise"


def test_a_verdict_can_be_replayed_to_the_same_answer(tmp_path: Path) -> None:
    verdict = load(tmp_path).evaluate("tram.fare", rider(13, NOON), NOON)
    assert load(tmp_path).evaluate("tram.fare", rider(13, NOON), verdict.at) == verdict


def test_an_unknown_module_and_an_impossible_instant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load(tmp_path).evaluate("tram.fair", rider(), NOON)
    with pytest.raises(ValueError, match="outside the years 1900 to 2149"):
        load(tmp_path).evaluate("tram.fare", rider(), datetime(1899, 12, 31, tzinfo=UTC))


def as_strategy(strategy: str, result: str, child: str, day_pass: str, otherwise: str) -> str:
    text = FARE.replace("strategy: most_severe", f"strategy: {strategy}")
    text = text.replace("result: [full, half, free]", f"result: {result}")
    text = text.replace("then: half", f"then: {child}").replace("then: free", f"then: {day_pass}")
    return text.replace("then: full", f"then: {otherwise}")


BONUS = "  bonus: [{from: 2020-01-01, value: 50, source: s}, {from: 2022-01-01, value: 80, source: s}]\n"


def with_bonus(strategy: str) -> str:
    """Return the module with the result 30 for a child, the bonus of the day for a pass, and 5 for everyone else."""
    text = as_strategy(strategy, "{at_least: 0, at_most: 100}", "30", "bonus", "5")
    return text.replace("rules:\n", f"{BONUS}rules:\n")


def test_under_first_the_first_rule_that_fires_decides(tmp_path: Path) -> None:
    text = as_strategy("first", "[full, half, free]", "half", "free", "full")
    verdict = load(tmp_path, text).evaluate("tram.fare", rider(13, NOON), NOON)
    assert (verdict.result, verdict.fired) == ("half", ("child", "day-pass"))


def test_under_collect_every_word_occurs_once(tmp_path: Path) -> None:
    rulebook = load(tmp_path, as_strategy("collect", "[adult, young, pass]", "young", "pass", "adult"))
    assert rulebook.evaluate("tram.fare", rider(13, NOON, NOON), NOON).result == ("young", "pass")
    assert rulebook.evaluate("tram.fare", rider(), NOON).result == ("adult",)


def test_under_sum_the_figures_of_the_rules_are_added_within_the_bounds(tmp_path: Path) -> None:
    rulebook = load(tmp_path, with_bonus("sum"))
    assert rulebook.evaluate("tram.fare", rider(13, NOON), NOON).result == 80
    later = datetime(2022, 6, 1, tzinfo=UTC)
    assert rulebook.evaluate("tram.fare", rider(13, later), later).result == 100
    assert rulebook.evaluate("tram.fare", rider(), NOON).result == 5


def test_under_first_a_module_answers_the_number_of_the_first_rule_that_fires(tmp_path: Path) -> None:
    rulebook = load(tmp_path, with_bonus("first"))
    both = rulebook.evaluate("tram.fare", rider(13, NOON), NOON)
    assert (both.result, both.rule, both.fired) == (30, "child", ("child", "day-pass"))
    assert rulebook.evaluate("tram.fare", rider(30, NOON), NOON).result == 50
    assert rulebook.evaluate("tram.fare", rider(30, NOON), NOON, on=date(2022, 1, 1)).result == 80
    assert rulebook.evaluate("tram.fare", rider(), NOON).result == 5


def test_under_unique_a_module_answers_the_number_of_the_one_rule_that_fires(tmp_path: Path) -> None:
    text = with_bonus("unique").replace("      facts.passes", "      facts.age >= 14 && facts.passes")
    rulebook = load(tmp_path, text)
    assert rulebook.evaluate("tram.fare", rider(13, NOON), NOON).result == 30
    assert rulebook.evaluate("tram.fare", rider(30, NOON), NOON).result == 50


def test_a_number_changes_at_the_midnight_at_which_its_figure_does(tmp_path: Path) -> None:
    rulebook = load(tmp_path, refund=REFUND)
    assert [(verdict.at, verdict.result) for verdict in rulebook.timeline("tram.refund", Delay(60), NOON)] == [
        (NOON, 300),
        (datetime(2021, 12, 31, 16, 0, tzinfo=UTC), 600),
    ]
    assert rulebook.evaluate("tram.refund", Delay(59), NOON).changes_at is None


def test_a_word_that_is_also_a_parameters_name_stays_a_word(tmp_path: Path) -> None:
    text = as_strategy("first", "[adult, bonus, lasts]", "bonus", "lasts", "adult")
    rulebook = load(tmp_path, text.replace("rules:\n", f"{BONUS}rules:\n"))
    assert rulebook.evaluate("tram.fare", rider(13, NOON), NOON).result == "bonus"
    assert rulebook.evaluate("tram.fare", rider(30, NOON), NOON).result == "lasts"


@pytest.mark.parametrize("strategy", ["first", "sum"])
def test_the_result_follows_from_the_numbers_of_the_rules_that_fire(tmp_path: Path, strategy: str) -> None:
    rulebook = load(tmp_path, with_bonus(strategy))
    days = some.dates(date(2019, 12, 1), date(2022, 3, 1))

    @settings(max_examples=200, deadline=None)
    @given(some.integers(0, 150), some.booleans(), days)
    def for_any_person(age: int, has_pass: bool, day: date) -> None:
        at = datetime.combine(day, time(12), CITY)
        verdict = rulebook.evaluate("tram.fare", rider(age, *[at] * has_pass), at)
        in_language = {"child": 30, "day-pass": 80 if day >= date(2022, 1, 1) else 50}
        numbers = [in_language[name] for name in verdict.fired] or [5]
        assert verdict.result == (numbers[0] if strategy == "first" else min(sum(numbers), 100))

    for_any_person()


def test_a_rule_that_cannot_fail_does_not_fail_at_the_ends_of_time(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    first, last = datetime(1900, 1, 1, tzinfo=UTC), datetime(2149, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    for at in (first, last):
        for bought in (first, last):
            assert rulebook.evaluate("tram.fare", rider(13, bought), at).result in ("full", "half", "free")


# ── exact to the microsecond, for random people ──

RULES = Path(__file__).parents[2] / "rules"
RULEBOOK = load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)


def decision(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.result, verdict.rule, verdict.fired


@pytest.mark.parametrize("name", sorted(RULEBOOK.modules))
def test_a_verdict_stays_the_same_until_changes_at_and_changes_then(name: str) -> None:
    module = RULEBOOK.modules[name]
    figures = [value.value for parameter in module.parameters.values() for value in parameter.values]
    spans = [figure for figure in figures if isinstance(figure, timedelta)]
    numbers = [figure for figure in figures if type(figure) is int]

    @settings(
        max_examples=draws(150, soak=4_000),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(some.data())
    def for_any_person(data: some.DataObject) -> None:
        days_before = data.draw(some.integers(0, 3))
        at = datetime.combine(data.draw(some.sampled_from(first_days(module))), time(12), CITY) - days_before * DAY
        facts: Struct = data.draw(random_facts(module.facts, instants_near(at, spans), numbers))
        verdict = RULEBOOK.evaluate(name, facts, at)
        end = verdict.changes_at or datetime(2149, 12, 31, tzinfo=UTC)
        assert end > at
        between = some.integers(0, (end - at) // MICROSECOND - 1).map(lambda ticks: at + ticks * MICROSECOND)
        boundaries = [end - MICROSECOND, *(instant for instant in turning_points(facts, spans) if at < instant < end)]
        for instant in [*data.draw(some.lists(between, max_size=5)), *boundaries]:
            assert decision(RULEBOOK.evaluate(name, facts, instant)) == decision(verdict)
        if verdict.changes_at is not None:
            assert decision(RULEBOOK.evaluate(name, facts, verdict.changes_at)) != decision(verdict)

    for_any_person()


def turning_points(facts: object, spans: list[timedelta]) -> list[datetime]:
    """Return the instants at which a comparison of a fact, a parameter and now may change."""
    if isinstance(facts, datetime):
        return [facts + span + tick for span in (timedelta(), *spans) for tick in (timedelta(), MICROSECOND)]
    held = (
        facts
        if isinstance(facts, tuple)
        else [getattr(facts, name) for name in getattr(facts, "__struct_fields__", ())]
    )
    return [instant for part in held for instant in turning_points(part, spans)]
