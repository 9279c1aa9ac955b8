"""The figures of the load generator are those of the answers."""

from tests.load.client import LOST, NOT_SENT, Answers
from tests.load.figures import outcome, percentile, table
from tests.load.wanted import FOR_COMPARISON, WANTED, wanted


def test_a_percentile_is_a_value_that_the_share_does_not_exceed() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([], 0.99) == 0


def test_answers_are_told_apart_by_status() -> None:
    answers = [(200, 0.010), (201, 0.030), (503, 0.002), (401, 1.0), (LOST, 1.0), (NOT_SENT, 1.0)]
    figures = outcome(answers, 2)
    assert (figures["served_per_second"], figures["refused_per_second"], figures["other"]) == (1, 0.5, 3)
    assert figures["served_p99_ms"] == 30
    assert figures["refused_p99_ms"] == 2
    assert "| storm | served per second | 1.00 |" in table({"storm": figures})


def test_the_time_of_an_answer_begins_when_its_request_was_due() -> None:
    answers = Answers()
    answers.note(200, answers_due := 0.0)
    ended, seconds = answers.ended[0], answers.seconds[0]
    assert seconds == ended - answers_due
    assert list(answers.between(ended, ended + 1)) == [(200, seconds)]
    assert not list(answers.between(ended - 1, ended))


def test_a_figure_beyond_its_bound_is_marked_as_missed() -> None:
    good: dict[str, dict[str, float]] = {}
    for one in WANTED:
        good.setdefault(one.scenario, {})[one.figure] = one.bound
    for _, scenario, figure, _ in FOR_COMPARISON:
        good[scenario][figure] = 0.5
    assert "missed" not in wanted({"file": good})
    bad = good | {"storm": {"served_of_capacity": 0.49}, "refusals": good["refusals"] | {"refusal_microseconds": 12.6}}
    rows = wanted({"file": good, "motor": bad}).splitlines()
    missed = [row for row in rows if "missed" in row]
    assert missed == [
        "| 3,800 connections that never pause: served of capacity | at least 0.50 | 0.50 | **0.49** (missed) |",
        "| processor time of a refusal | at most 12 us | 12 us | **13 us** (missed) |",
    ]
