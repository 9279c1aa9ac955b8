"""Invariants of talent classes under all changes of the evidence, tested on the model."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.city.service import discover_services, rule_modules_of
from backend.i18n import Text
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.talent_code.facts import TALENT_CLASSES, Pay, TalentClass, TalentTerm
from backend.services.talent_code.model.evidence import Evidence, EvidenceState, Qualification
from backend.services.talent_code.model.grants import reassess
from backend.services.talent_code.model.talent import Grant, GrantEnd, Talent, TalentTerms, talent_facts
from backend.services.talent_code.rule_modules import CLASS_MODULE
from tests.conftest import ROOT
from tests.services.talent_code.scene import MASTER

CITY = ZoneInfo("Asia/Shanghai")
BEGIN = datetime(2018, 9, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(ROOT / "rules", facts_of(rule_modules_of(discover_services())), CITY)


def day(number: float) -> datetime:
    return BEGIN + timedelta(days=number)


# ── loss of a class ──


def with_classes(*classes: tuple[TalentClass, float, float, GrantEnd | None]) -> Talent:
    """Return a talent with these classes: letter, first day, last day and kind of end."""
    grants = tuple(
        Grant(letter, "rule", Text("因", "why"), day(begin), day(1_000), "digest", day(ended) if how else None, how)
        for letter, begin, ended, how in classes
    )
    return Talent(id="p1", code_id="c1", born_at=day(-10_000), grants=grants)


@pytest.mark.parametrize(
    ("since", "classes"),
    [
        (True, [("d", 0, 10, "withdrawn")]),
        (True, [("d", 0, 10, "withdrawn"), ("e", 10, 0, None)]),
        (True, [("d", 0, 10, "withdrawn"), ("d", 11, 0, None)]),
        (True, [("d", 0, 8, "renewed"), ("d", 8, 10, "withdrawn")]),
        (True, [("d", 0, 8, "upgraded"), ("c", 8, 10, "withdrawn"), ("e", 10, 0, None)]),
        (False, [("d", 0, 8, "upgraded"), ("c", 8, 10, "withdrawn"), ("d", 10, 0, None)]),
        (False, [("d", 0, 10, "withdrawn"), ("c", 10, 0, None)]),
        (False, [("d", 0, 10, "lapsed")]),
        (False, [("d", 0, 10, "upgraded"), ("c", 10, 0, None)]),
        (False, [("d", 0, 0, None)]),
        (False, [("d", 0, 5, "withdrawn")]),
        (False, [("d", 6, 10, "withdrawn")]),
        (False, []),
    ],
)
def test_the_class_of_the_fifth_day_is_lost_if_it_was_withdrawn_later_and_not_replaced_by_one_as_high(
    since: bool, classes: Sequence[tuple[TalentClass, float, float, GrantEnd | None]]
) -> None:
    assert with_classes(*classes).lost_class_since(day(5)) is since


# ── changes of evidence ──

QUALIFICATIONS: tuple[Qualification, ...] = (
    MASTER,
    Pay(2017, 50_000_000),
    Pay(2018, 90_000_000),
    replace(MASTER, level="doctor"),
)
TERMS: dict[str, int] = {"grant_days": 200, "review_days": 30}

Step = tuple[int, int, EvidenceState | Literal["asked again"]]
steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 29, 60, 169, 170, 199, 200, 500]),
        st.integers(0, len(QUALIFICATIONS) - 1),
        st.sampled_from(["declared", "confirmed", "refuted", "unconfirmed", "asked again"]),
    ),
    max_size=12,
)


class ShortTerms(TalentTerms, frozen=True):
    """Terms that end a class within the days of an example."""

    def __call__(self, term: TalentTerm) -> int:
        return TERMS[term]


def apply_step(talent: Talent, step: Step, now: datetime) -> Talent:
    """Return the talent after a registry's answer about one piece of evidence, or after a new request."""
    _, place, what = step
    evidence = talent.evidence[place]
    if what == "asked again":
        changed = replace(evidence, recheck=evidence.state == "confirmed", check_at=now)
    else:
        changed = replace(evidence, state=what, answered_at=now, recheck=False)
    return replace(talent, evidence=(*talent.evidence[:place], changed, *talent.evidence[place + 1 :]))


def ends(talent: Talent) -> Counter[str]:
    return Counter(grant.end for grant in talent.grants if grant.end is not None)


PAY_OF_2017, PAY_OF_2018 = 1, 2


@given(steps=steps)
@example(steps=[(0, PAY_OF_2017, "confirmed"), (169, PAY_OF_2018, "confirmed"), (0, PAY_OF_2017, "refuted")])
@effort(max_examples=200, deadline=None)
def test_a_class_is_what_the_rules_give_or_gave_and_is_withdrawn_only_if_its_evidence_fails(
    rulebook: Rulebook, steps: list[Step]
) -> None:
    evidence = tuple(
        Evidence(f"e{place}", qualification, BEGIN, BEGIN) for place, qualification in enumerate(QUALIFICATIONS)
    )
    talent, now = Talent(id="p1", code_id="c1", born_at=day(-10_000), evidence=evidence), BEGIN
    for step in steps:
        now += timedelta(days=step[0])
        before = apply_step(talent, step, now)
        terms = ShortTerms(rulebook, now)
        talent = reassess(before, now, terms)
        assert reassess(talent, now, terms) is talent, "a second reassessment changes nothing"
        in_force = [grant for grant in talent.grants if grant.is_in_force(now)]
        assert len(in_force) <= 1
        law = rulebook.evaluate(CLASS_MODULE, talent_facts(talent, now, CITY), now).result
        assert TALENT_CLASSES.index(talent.class_at(now)) >= TALENT_CLASSES.index(law), (
            "nobody has less than the rules give"
        )
        for grant in in_force:
            gave = rulebook.evaluate(
                CLASS_MODULE, talent_facts(talent, grant.granted_at, CITY), grant.granted_at
            ).result
            assert TALENT_CLASSES.index(gave) >= TALENT_CLASSES.index(grant.talent_class), (
                "nobody has more than the rules gave on the day of the grant"
            )
        if ends(talent)["withdrawn"] > ends(before)["withdrawn"]:
            assert step[2] in ("declared", "refuted", "unconfirmed"), "only refuted or missing evidence ends a class"
        begun = len(talent.grants) - ends(talent)["upgraded"] - ends(talent)["renewed"]
        assert Counter(notice.kind for notice in talent.notifications) == ends(talent) + Counter(granted=begun)
        for one, other in zip(talent.grants, talent.grants[1:], strict=False):
            assert one.ended_at is not None
            assert one.granted_at <= one.ended_at <= min(one.until, other.granted_at)
