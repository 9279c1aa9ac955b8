from datetime import UTC, datetime, timedelta
from random import Random
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from backend.problems import InvalidRequest
from backend.rulebook import Rulebook
from backend.services.health_code.facts import HealthFacts, SymptomKind
from backend.services.health_code.model import (
    EventInFuture,
    HealthRecord,
    apply_reports,
    check_plausible,
    colour_since,
    latest_pcr,
    new_record,
    next_colour,
    update_history,
    withdraw_report,
)
from backend.services.health_code.reports import (
    CaseEnded,
    CaseReported,
    CheckedIn,
    ContactReported,
    EntryReported,
    Event,
    FalseStatementFound,
    HealthDeclared,
    IsolationOrdered,
    MassTestMissed,
    Report,
    SampleTested,
    StayReported,
)
from backend.services.health_code.rule_modules import COLOUR

SECOND = timedelta(seconds=1)


def local(text: str) -> datetime:
    """Return an instant in the city, such as "2022-09-01 08:00"."""
    return datetime.fromisoformat(f"{text}+08:00").astimezone(UTC)


def empty_record(rulebook: Rulebook, at: datetime) -> HealthRecord:
    return new_record("p1", "c1", None, rulebook, at)


def with_events(rulebook: Rulebook, at: datetime, *events: Event | HealthDeclared) -> HealthRecord:
    reports = [Report(event, f"k{number}") for number, event in enumerate(events)]
    return apply_reports(empty_record(rulebook, at - timedelta(days=1)), reports, rulebook, at)


def colours(record: HealthRecord) -> list[tuple[datetime, str]]:
    return [(change.at, change.colour) for change in record.history]


def test_a_new_record_begins_green(rulebook: Rulebook) -> None:
    noon = local("2022-04-20 12:00")
    assert colours(empty_record(rulebook, noon)) == [(noon, "green")]


def test_history_has_the_exact_second_of_each_change_however_late_it_is_read(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    read = update_history(record, rulebook, local("2022-10-30 23:00"))
    assert colours(read) == [
        (local("2022-09-01 10:00"), "green"),
        (local("2022-09-02 10:00"), "red"),
        (local("2022-09-08 08:00"), "yellow"),
        (local("2022-09-11 08:00"), "green"),
    ]


def test_a_change_of_the_law_is_dated_to_its_midnight(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2023-01-05 10:00"), CaseReported("confirmed", local("2023-01-05 08:00")))
    assert colours(update_history(record, rulebook, local("2023-02-01 12:00")))[-1] == (
        local("2023-01-08 00:00"),
        "green",
    )


def test_reading_twice_adds_nothing(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    read = update_history(record, rulebook, local("2022-09-09 12:00"))
    assert update_history(read, rulebook, local("2022-09-09 12:00")) is read


def test_a_report_applies_from_its_acceptance_and_earlier_changes_keep_their_second(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    fever = Report(HealthDeclared(local("2022-09-20 07:30"), ("fever",)))
    record = apply_reports(record, [fever], rulebook, local("2022-09-20 07:30"))
    assert colours(record)[-2:] == [(local("2022-09-11 08:00"), "green"), (local("2022-09-20 07:30"), "yellow")]


def test_a_withdrawn_report_turns_the_code_back(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    record = withdraw_report(record, "k0", rulebook, local("2022-09-02 11:00"))
    assert record.facts == HealthFacts()
    assert [colour for _, colour in colours(record)] == ["green", "red", "green"]


def test_a_new_rulebook_does_not_rewrite_the_past(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    stricter = record.history[-1]
    before = replace(record, history=(*record.history[:-1], replace(stricter, colour="green", rulebook="older")))
    read = update_history(before, rulebook, local("2022-09-03 10:00"))
    assert colours(read)[1:] == [(local("2022-09-02 10:00"), "green"), (local("2022-09-03 10:00"), "red")]


def test_a_colour_keeps_its_start_while_only_the_reason_changes(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    case = Report(CaseReported("confirmed", local("2022-09-03 08:00")), "k9")
    record = apply_reports(record, [case], rulebook, local("2022-09-03 10:00"))
    assert [change.rule for change in record.history] == ["otherwise", "close-contact", "confirmed"]
    assert colour_since(record.history) == local("2022-09-02 10:00")


def test_the_next_colour_skips_changes_of_the_reason(rulebook: Rulebook) -> None:
    at = local("2022-09-02 10:00")
    record = with_events(
        rulebook,
        at,
        ContactReported("close", local("2022-09-01 08:00")),
        EntryReported("IT", local("2022-09-01 20:00")),
    )
    verdict = rulebook.evaluate(COLOUR, record.facts, at)
    assert verdict.changes_at == local("2022-09-08 08:00")
    assert next_colour(record.facts, verdict, rulebook) == (local("2022-09-08 20:00"), "yellow")


def test_the_latest_test_is_the_one_sampled_last_that_has_a_result(rulebook: Rulebook) -> None:
    record = with_events(
        rulebook,
        local("2022-09-05 10:00"),
        SampleTested("pcr", "negative", local("2022-09-03 08:00")),
        SampleTested("pcr", "negative", local("2022-09-01 08:00")),
        SampleTested("antigen", "negative", local("2022-09-04 08:00")),
        SampleTested("pcr", "awaiting", local("2022-09-05 08:00")),
    )
    latest = latest_pcr(record.facts)
    assert latest is not None
    assert latest.sampled_at == local("2022-09-03 08:00")


def test_a_time_in_the_future_is_refused_with_its_pointer() -> None:
    now = local("2022-09-02 10:00")
    events = [("/stays/0", StayReported("high", now, now + SECOND)), ("/stays/1", StayReported("low", now))]
    with pytest.raises(EventInFuture) as refused:
        check_plausible(events, now)
    assert [error.pointer for error in refused.value.errors] == ["/stays/0/left_at"]


def test_an_end_before_its_beginning_is_refused() -> None:
    now = local("2022-09-02 10:00")
    with pytest.raises(InvalidRequest) as refused:
        check_plausible([("/event", SampleTested("pcr", "negative", now, now - SECOND))], now)
    assert [error.pointer for error in refused.value.errors] == ["/event/reported_at"]


@pytest.mark.parametrize("year", ["0001", "1899", "2014"])
def test_a_time_long_ago_is_refused(year: str) -> None:
    long_ago = datetime.fromisoformat(f"{year}-01-01T00:00:00+14:00")
    with pytest.raises(InvalidRequest):
        check_plausible([("/event", ContactReported("close", long_ago))], local("2022-09-02 10:00"))


# ── Exact to the second, for any person ────────────────────────────────────────────────────────────────────────────

BEGIN, END = local("2020-02-01 00:00"), local("2026-12-31 00:00")


@some.composite
def stories(draw: some.DrawFn) -> list[tuple[datetime, Event | HealthDeclared | CheckedIn]]:
    """Draw the events of a person within some weeks, in order, each with the instant of its report."""
    now = BEGIN + timedelta(minutes=draw(some.integers(0, (END - BEGIN) // timedelta(minutes=1))))
    story: list[tuple[datetime, Event | HealthDeclared | CheckedIn]] = []
    for _ in range(draw(some.integers(1, 6))):
        now += timedelta(minutes=draw(some.integers(1, 20_000)))
        at = now - timedelta(minutes=draw(some.sampled_from([0, 1, 60, 1_440, 10_000])))
        story.append((now, draw(_events(at))))
    return story


def _events(at: datetime) -> some.SearchStrategy[Event | HealthDeclared | CheckedIn]:
    day = at.replace(hour=16, minute=0) - timedelta(days=1)
    return some.one_of(
        some.builds(CaseReported, some.sampled_from(["confirmed", "suspected", "asymptomatic"]), some.just(at)),
        some.builds(CaseEnded, some.just(at)),
        some.builds(ContactReported, some.sampled_from(["close", "secondary", "nearby"]), some.just(at)),
        some.builds(
            SampleTested,
            some.sampled_from(["pcr", "antigen"]),
            some.sampled_from(["positive", "negative", "awaiting"]),
            some.just(at),
        ),
        some.builds(
            StayReported,
            some.sampled_from(["high", "medium", "low"]),
            some.just(at - timedelta(days=1)),
            some.sampled_from([at, None]),
        ),
        some.builds(EntryReported, some.just("IT"), some.just(at)),
        some.builds(IsolationOrdered, some.sampled_from(["central", "home", "observation"]), some.just(at)),
        some.builds(MassTestMissed, some.just(at)),
        some.builds(FalseStatementFound, some.just(at)),
        some.builds(
            HealthDeclared, some.just(at), some.sampled_from([(), *((kind,) for kind in get_args(SymptomKind))])
        ),
        some.builds(CheckedIn, some.just(at), some.just(day)),
    )


@settings(max_examples=150, deadline=None)
@given(stories(), some.randoms(use_true_random=False))
def test_the_colour_of_a_history_is_what_the_rules_say_at_any_instant(
    rulebook: Rulebook, story: list[tuple[datetime, Event | HealthDeclared | CheckedIn]], chance: Random
) -> None:
    record = empty_record(rulebook, story[0][0] - timedelta(days=1))
    known = [(record.history[0].at, record.facts)]
    for number, (reported, event) in enumerate(story):
        key = None if isinstance(event, HealthDeclared | CheckedIn) else f"k{number}"
        record = apply_reports(record, [Report(event, key)], rulebook, reported)
        known.append((reported, record.facts))
    last = story[-1][0] + timedelta(days=40)
    record = update_history(record, rulebook, last)
    ends = [change.at for change in record.history[1:]] + [last]
    for change, end in zip(record.history, ends, strict=True):
        span = end - change.at
        instants = {
            change.at,
            *(change.at + span * chance.random() for _ in range(3)),
            max(change.at, end - SECOND / 1_000),
        }
        for at in instants:
            if change.at <= at < end:
                facts = next(facts for since, facts in reversed(known) if since <= at)
                verdict = rulebook.evaluate(COLOUR, facts, at)
                assert (verdict.result, verdict.rule) == (change.colour, change.rule), at


@settings(max_examples=150, deadline=None)
@given(stories(), some.randoms(use_true_random=False))
def test_a_verdict_is_the_same_until_the_instant_it_names(
    rulebook: Rulebook, story: list[tuple[datetime, Event | HealthDeclared | CheckedIn]], chance: Random
) -> None:
    reports = [
        Report(event, f"k{n}" if not isinstance(event, HealthDeclared | CheckedIn) else None)
        for n, (_, event) in enumerate(story)
    ]
    at = story[-1][0]
    facts = apply_reports(empty_record(rulebook, at - timedelta(days=1)), reports, rulebook, at).facts
    verdict = rulebook.evaluate(COLOUR, facts, at)
    end = verdict.changes_at or at + timedelta(days=400)
    last = end - SECOND / 1_000_000
    for instant in (min(last, at + (end - at) * chance.random()), last):
        later = rulebook.evaluate(COLOUR, facts, instant)
        assert (later.result, later.rule, later.fired) == (verdict.result, verdict.rule, verdict.fired)
    if verdict.changes_at is not None:
        after = rulebook.evaluate(COLOUR, facts, verdict.changes_at)
        assert (after.result, after.rule, after.fired) != (verdict.result, verdict.rule, verdict.fired)


def test_a_record_is_the_same_after_it_was_stored(rulebook: Rulebook) -> None:
    record = with_events(rulebook, local("2022-09-02 10:00"), ContactReported("close", local("2022-09-01 08:00")))
    assert msgspec.json.decode(msgspec.json.encode(record), type=HealthRecord) == record
