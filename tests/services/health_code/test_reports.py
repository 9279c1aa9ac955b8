from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from backend.services.health_code.facts import MAX_FACTS, Case, Contact, Declaration, Isolation, LabTest, Stay, Symptom
from backend.services.health_code.reports import (
    MAX_REPORTS,
    CaseEnded,
    CaseReported,
    CheckedIn,
    ContactReported,
    DoseGiven,
    Event,
    HealthDeclared,
    IsolationEnded,
    IsolationOrdered,
    Report,
    SampleTested,
    StayReported,
    append_reports,
    derive_facts,
)
from backend.store.time import in_utc, instants


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2022, 4, number, hour, tzinfo=UTC)


def by_officer(*events: Event) -> list[Report]:
    return [Report(event, f"key-{number}") for number, event in enumerate(events)]


def by_person(*events: StayReported | HealthDeclared | CheckedIn) -> list[Report]:
    return [Report(event) for event in events]


def test_a_case_ends_when_a_doctor_discharges_the_person() -> None:
    facts = derive_facts(None, by_officer(CaseReported("confirmed", day(1)), CaseEnded(day(10))))
    assert facts.cases == (Case("confirmed", day(1), day(10)),)


def test_a_case_that_a_doctor_rules_out_at_once_has_ended() -> None:
    facts = derive_facts(None, by_officer(CaseReported("suspected", day(1)), CaseEnded(day(1))))
    assert facts.cases == (Case("suspected", day(1), day(1)),)


def test_an_end_does_not_end_a_case_that_came_later() -> None:
    facts = derive_facts(
        None, by_officer(CaseReported("suspected", day(1)), CaseEnded(day(3)), CaseReported("confirmed", day(5)))
    )
    assert facts.cases == (Case("suspected", day(1), day(3)), Case("confirmed", day(5)))


def test_a_result_replaces_the_awaited_test() -> None:
    awaited = SampleTested("pcr", "awaiting", day(1))
    facts = derive_facts(None, by_officer(awaited, SampleTested("pcr", "negative", day(1), day(2))))
    assert facts.tests == (LabTest("pcr", "negative", day(1), day(2)),)


def test_a_result_is_not_replaced_by_the_same_test_reported_as_awaited_afterwards() -> None:
    positive = SampleTested("pcr", "positive", day(1), day(2))
    facts = derive_facts(None, by_officer(positive, SampleTested("pcr", "awaiting", day(1))))
    assert facts.tests == (LabTest("pcr", "positive", day(1), day(2)),)


def test_samples_of_two_sources_at_one_instant_are_two_samples() -> None:
    positive, negative = (SampleTested("pcr", result, day(1)) for result in ("positive", "negative"))
    reports = [Report(positive, "a", "lab-a"), Report(negative, "b", "lab-b")]
    expected = {LabTest("pcr", "positive", day(1)), LabTest("pcr", "negative", day(1))}
    for order in (reports, reports[::-1]):
        assert set(derive_facts(None, order).tests) == expected


def test_a_sample_whose_time_is_corrected_is_one_sample() -> None:
    wrong, right = SampleTested("pcr", "positive", day(5)), SampleTested("pcr", "negative", day(3))
    facts = derive_facts(None, [Report(wrong, "a", "sample-1"), Report(right, "b", "sample-1")])
    assert facts.tests == (LabTest("pcr", "negative", day(3)),)


def test_a_test_without_a_sample_id_is_encoded_as_in_earlier_editions() -> None:
    """The digest of this text tells a repeated event from a changed one."""
    assert msgspec.json.encode(SampleTested("pcr", "negative", day(1))) == (
        b'{"kind":"test","test":"pcr","result":"negative","sampled_at":"2022-04-01T12:00:00Z","reported_at":null}'
    )


def test_leaving_an_area_is_reported_as_the_same_stay() -> None:
    facts = derive_facts(None, by_officer(StayReported("high", day(1)), StayReported("high", day(1), day(4))))
    assert facts.stays == (Stay("high", day(1), day(4)),)


def test_a_persons_declaration_does_not_replace_an_officers_report() -> None:
    reports = [*by_officer(StayReported("high", day(1))), *by_person(StayReported("high", day(1), day(2)))]
    assert derive_facts(None, reports).stays == (Stay("high", day(1)), Stay("high", day(1), day(2)))


def test_a_declaration_without_symptoms_means_that_the_person_is_well() -> None:
    facts = derive_facts(None, by_person(HealthDeclared(day(1), ("fever", "cough")), HealthDeclared(day(2), ())))
    assert facts.symptoms == (Symptom("fever", day(1)), Symptom("cough", day(1)))
    assert facts.declarations == (Declaration(day(1), well=False), Declaration(day(2), well=True))


def test_check_ins_belong_to_the_isolation_that_had_begun() -> None:
    reports = [
        *by_officer(IsolationOrdered("home", day(3))),
        *by_person(CheckedIn(day(1), day(1, 0)), CheckedIn(day(3, 20), day(3, 0)), CheckedIn(day(4), day(4, 0))),
    ]
    assert derive_facts(None, reports).isolations == (Isolation("home", day(3), None, (day(3, 0), day(4, 0))),)


def test_a_check_in_at_the_instant_at_which_an_isolation_began_belongs_to_it() -> None:
    reports = [*by_officer(IsolationOrdered("home", day(3))), *by_person(CheckedIn(day(3), day(3, 0)))]
    assert derive_facts(None, reports).isolations == (Isolation("home", day(3), None, (day(3, 0),)),)


def test_a_release_ends_the_isolations_that_had_begun() -> None:
    facts = derive_facts(
        None, by_officer(IsolationOrdered("central", day(1)), IsolationEnded(day(5)), IsolationOrdered("home", day(8)))
    )
    assert [isolation.released_at for isolation in facts.isolations] == [day(5), None]


events_of_any_kind = some.one_of(
    some.builds(CaseReported, some.sampled_from(["confirmed", "suspected"]), some.integers(1, 28).map(day)),
    some.builds(CaseEnded, some.integers(1, 28).map(day)),
    some.builds(ContactReported, some.just("close"), some.integers(1, 28).map(day)),
    some.builds(IsolationOrdered, some.just("home"), some.integers(1, 28).map(day)),
    some.builds(IsolationEnded, some.integers(1, 28).map(day)),
    some.builds(DoseGiven, some.integers(1, 28).map(day)),
)


@given(some.lists(events_of_any_kind, max_size=12), some.randoms(use_true_random=False))
def test_facts_do_not_depend_on_the_order_in_which_reports_arrive(events: list[Event], chance: Random) -> None:
    reports = by_officer(*{next(at for _, at in instants(event)): event for event in events}.values())
    shuffled = list(reports)
    chance.shuffle(shuffled)
    assert derive_facts(None, shuffled) == derive_facts(None, reports)


def test_years_of_tests_never_displace_the_report_that_keeps_a_person_red() -> None:
    case = Report(CaseReported("confirmed", day(1)), "case")
    tests = [Report(SampleTested("pcr", "negative", day(2) + timedelta(days=n)), f"test-{n}") for n in range(500)]
    kept = append_reports([case], tests)
    assert len(kept) == MAX_REPORTS
    assert kept[0] is case
    assert kept[1:] == tuple(tests[-MAX_REPORTS + 1 :])


def test_official_reports_and_own_reports_have_separate_limits() -> None:
    official = by_officer(*(ContactReported("close", day(1) + timedelta(hours=n)) for n in range(MAX_REPORTS)))
    own = [Report(ContactReported("close", day(20) + timedelta(hours=n))) for n in range(MAX_REPORTS + 1)]
    for order in ([*official, *own], [*own, *official]):
        assert append_reports((), order) == (*official, *own[1:])
        assert len(derive_facts(None, append_reports((), order)).contacts) == 2 * MAX_FACTS


@pytest.mark.parametrize("is_official", [True, False])
def test_many_reports_of_one_severity_displace_none_of_another(is_official: bool) -> None:
    key = "key" if is_official else None
    close = Report(ContactReported("close", day(1)), key)
    nearby = [Report(ContactReported("nearby", day(2) + timedelta(hours=n)), key) for n in range(500)]
    kept = append_reports([close], nearby)
    assert kept == (close, *nearby[-MAX_REPORTS + 1 :])
    assert derive_facts(None, kept).contacts[0] == Contact("close", day(1))


def test_a_report_that_comes_late_does_not_displace_a_newer_one() -> None:
    doses = [Report(DoseGiven(day(2) + timedelta(days=n)), f"dose-{n}") for n in range(MAX_REPORTS)]
    assert append_reports(doses, [Report(DoseGiven(day(1)), "late")]) == tuple(doses)


def test_instants_are_stored_in_utc_to_the_millisecond() -> None:
    local = datetime.fromisoformat("2022-04-20T12:00:00.123987+08:00")
    assert in_utc(ContactReported("close", local)).at.isoformat() == "2022-04-20T04:00:00.123000+00:00"
