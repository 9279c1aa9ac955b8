from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.language.temporal import midnight
from backend.rulebook.needs import facts_of
from backend.services.talent_code.facts import (
    TALENT_CLASSES,
    AuditFacts,
    BenefitFacts,
    BenefitTerms,
    Instalment,
    TalentFacts,
    TalentTerm,
    TalentTermAsked,
)
from tests.rulebook.random_facts import instants_near, random_facts
from tests.rules import talent_by_hand as by_hand

pytestmark = pytest.mark.slow

BENEFIT_PREFIX = BenefitTerms.module_prefix
RULES = Path(__file__).parents[2] / "rules"
CITY = ZoneInfo("Asia/Shanghai")
CLASS = "talent_code.class"
EVIDENCE = ("prizes", "titles", "degrees", "posts", "pay")
SECOND, YEAR = timedelta(seconds=1), timedelta(days=365)
NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)
DAYS_OF_CHANGE = [by_hand.REVISED, by_hand.GRADUATES_REVISED, by_hand.HOMES_REVISED]
AROUND_CHANGES = [*(day + tick for day in DAYS_OF_CHANGE for tick in (-SECOND, timedelta())), NOON]
BORN = datetime(1990, 5, 1, tzinfo=UTC)

each_benefit = pytest.mark.parametrize("benefit", sorted(by_hand.BENEFITS))


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), CITY)


def terms_of(rulebook: Rulebook, benefit: str, at: datetime) -> BenefitTerms:
    terms = rulebook.terms(BENEFIT_PREFIX + benefit, at)
    assert isinstance(terms, BenefitTerms)
    return terms


# ── the class ──


@some.composite
def people_with_merits(draw: some.DrawFn) -> tuple[TalentFacts, datetime]:
    """Draw a person, mostly at the bounds of the catalogue, and an instant of one of its editions."""
    at = draw(some.sampled_from([by_hand.CATALOGUE_BEGINS, by_hand.REVISED - SECOND, by_hand.REVISED, NOON]))
    spans = [YEAR, timedelta(days=548), timedelta(days=12_784)]
    yuan = {*by_hand.PAY_OF_2018.values(), *by_hand.PAY_OF_2019.values()}
    return draw(random_facts(TalentFacts, instants_near(at, spans), [12, *(each * 100 for each in yuan)])), at


@settings(max_examples=300, deadline=None)
@given(people_with_merits())
def test_the_class_agrees_with_the_catalogue_written_by_hand_for_all_evidence_and_for_each_kind(
    rulebook: Rulebook, drawn: tuple[TalentFacts, datetime]
) -> None:
    facts, at = drawn
    parts = [{other: () for other in EVIDENCE if other != kind} for kind in EVIDENCE]
    for person in (facts, *(msgspec.structs.replace(facts, **without) for without in parts)):
        assert rulebook.evaluate(CLASS, person, at).result == by_hand.class_by_hand(person, at)


@settings(max_examples=100, deadline=None)
@given(people_with_merits(), people_with_merits())
def test_more_evidence_never_lowers_a_class(
    rulebook: Rulebook, drawn: tuple[TalentFacts, datetime], more: tuple[TalentFacts, datetime]
) -> None:
    (facts, at), (further, _) = drawn, more
    together = {name: getattr(facts, name) + getattr(further, name) for name in EVIDENCE}
    both = msgspec.structs.replace(facts, **together)
    alone, joined = (rulebook.evaluate(CLASS, person, at).result for person in (facts, both))
    assert TALENT_CLASSES.index(joined) >= TALENT_CLASSES.index(alone)


def one_of(kind: str, name: str) -> TalentFacts:
    """Return a person with this one prize, title or post, insured for a year."""
    since = {"prizes": "awarded_at", "titles": "granted_at", "posts": "since"}[kind]
    merit = {kind[:-1]: name, "type": kind[:-1], since: BORN + 25 * YEAR}
    return msgspec.convert({"born_at": BORN, "insured_months": 12, kind: [merit]}, TalentFacts)


@pytest.mark.parametrize(
    ("kind", "name", "letter"),
    [
        (kind, name, letter)
        for kind, entries in (("prizes", by_hand.PRIZES), ("titles", by_hand.TITLES), ("posts", by_hand.POSTS))
        for name, letter in entries.items()
    ],
)
def test_each_prize_title_and_post_gives_its_class_from_its_year_by_an_entry_of_its_own_name(
    rulebook: Rulebook, kind: str, name: str, letter: str
) -> None:
    eve, first = by_hand.REVISED - SECOND, by_hand.REVISED
    facts = one_of(kind, name)
    before, after = (rulebook.evaluate(CLASS, facts, at) for at in (eve, first))
    assert before.result == ("none" if name in by_hand.NEW_IN_2019 else letter)
    assert (after.result, after.rule) == (letter, f"{kind[:-1]}-{name.replace('_', '-')}")
    assert rulebook.evaluate(CLASS, facts, NOON, on=date(2018, 12, 31)).result == before.result


def test_every_entry_of_the_catalogue_explains_which_evidence_it_needs(rulebook: Rulebook) -> None:
    for rule in rulebook.modules[CLASS].rules:
        assert rule.remedy is not None, rule.id
        assert "confirmed" in rule.remedy.en, rule.id
        assert "核实" in rule.remedy.zh, rule.id


@pytest.mark.parametrize("letter", by_hand.PAY_OF_2019)
def test_the_required_income_is_that_of_the_edition_in_force(rulebook: Rulebook, letter: str) -> None:
    for value in rulebook.modules[CLASS].parameters[f"pay_{letter}_fen"].values:
        assert value.since is not None
        in_force = rulebook.in_force(CLASS, midnight(value.since, rulebook.time_zone))
        rule = next(rule for rule in in_force if rule.id == f"pay-{letter}")
        assert rule.remedy is not None
        for text in (rule.because, rule.remedy):
            assert f"{value.value // 100:,}" in text.en
            assert f"{value.value // 1_000_000}万元" in text.zh


# ── the benefits ──


def test_every_benefit_is_checked_by_hand(rulebook: Rulebook) -> None:
    found = {name.removeprefix(BENEFIT_PREFIX) for name in rulebook.modules if name.startswith(BENEFIT_PREFIX)}
    assert found == by_hand.BENEFITS


@each_benefit
def test_each_class_and_degree_has_its_figure_before_and_after_each_change(rulebook: Rulebook, benefit: str) -> None:
    for at in AROUND_CHANGES:
        for letter in ("none", *by_hand.CLASSES):
            for degree in ("none", "bachelor", "master", "doctor"):
                facts = BenefitFacts(
                    born_at=BORN,
                    talent_class=msgspec.convert(letter, Any),
                    degree=msgspec.convert(degree, Any),
                    graduated_at=at - timedelta(days=100),
                    income_fen=2_000_000_00,
                    tax_fen=500_000_00,
                    spent_fen=40_000_00,
                )
                figure = by_hand.figure_by_hand(benefit, facts, at)
                assert rulebook.evaluate(BENEFIT_PREFIX + benefit, facts, at).result == figure
                law_of = at.astimezone(CITY).date()
                recent = msgspec.structs.replace(facts, graduated_at=NOON - timedelta(days=100))
                assert rulebook.evaluate(BENEFIT_PREFIX + benefit, recent, NOON, on=law_of).result == figure


@some.composite
def claimants(draw: some.DrawFn) -> tuple[BenefitFacts, datetime]:
    """Draw a person, mostly at the bounds of the benefits, and an instant on a side of a day of change."""
    at = draw(some.sampled_from(AROUND_CHANGES[1:]))
    bounds = [0, 1_000_000_00, 150_000_00]
    return draw(random_facts(BenefitFacts, instants_near(at, [YEAR, 3 * YEAR, 6 * YEAR]), bounds)), at


@each_benefit
def test_each_person_gets_the_benefit_or_all_objections(rulebook: Rulebook, benefit: str) -> None:
    against = {rule.id for rule in rulebook.modules[BENEFIT_PREFIX + benefit].rules if rule.then == 0}

    @settings(max_examples=200, deadline=None)
    @given(claimants())
    def for_any_person(drawn: tuple[BenefitFacts, datetime]) -> None:
        facts, at = drawn
        verdict = rulebook.evaluate(BENEFIT_PREFIX + benefit, facts, at)
        reasons = by_hand.reasons_against_by_hand(benefit, facts, at)
        figure = by_hand.figure_by_hand(benefit, facts, at)
        assert against & set(verdict.fired) == reasons
        assert verdict.result == (0 if reasons else figure)
        in_favour = set(verdict.fired) - against
        assert len(in_favour) == (1 if figure else 0), "one amount, whether or not there are objections"

    for_any_person()


@each_benefit
def test_every_objection_to_a_benefit_explains_what_to_do(rulebook: Rulebook, benefit: str) -> None:
    module = rulebook.modules[BENEFIT_PREFIX + benefit]
    assert module.otherwise.then == 0
    assert module.otherwise.remedy is not None
    for rule in module.rules:
        assert rule.then != 0 or rule.remedy is not None, rule.id


# ── terms of the benefits ──


@each_benefit
def test_a_benefit_has_terms_from_the_day_on_which_it_begins(rulebook: Rulebook, benefit: str) -> None:
    assert rulebook.terms(BENEFIT_PREFIX + benefit, by_hand.REVISED - SECOND) is None
    for at in AROUND_CHANGES[1:]:
        assert rulebook.terms(BENEFIT_PREFIX + benefit, at) is not None


def test_new_graduates_are_paid_half_after_six_months_of_insurance_and_half_after_twelve(rulebook: Rulebook) -> None:
    for at in AROUND_CHANGES[1:]:
        terms = terms_of(rulebook, "graduate_allowance", at)
        assert terms.instalments == (Instalment(50, 6), Instalment(50, 12))
        assert terms.after_withdrawal == "go_on"


def test_graduates_are_paid_rent_for_three_years_and_since_the_extension_for_six(rulebook: Rulebook) -> None:
    for at, times in [(by_hand.GRADUATES_REVISED - SECOND, 3), (by_hand.GRADUATES_REVISED, 6)]:
        terms = terms_of(rulebook, "graduate_rent", at)
        assert (terms.times_at_most, terms.cooldown) == (times, YEAR)


def test_the_tax_of_a_year_is_not_rewarded_twice_even_in_a_leap_year(rulebook: Rulebook) -> None:
    cooldown = terms_of(rulebook, "tax_reward", NOON).cooldown
    for year in (2027, 2028):
        first, next_year = (datetime(each, 1, 1, tzinfo=CITY) for each in (year, year + 1))
        assert first + cooldown >= next_year


def test_everyone_who_meets_the_rules_of_the_tax_reward_has_an_amount_above_the_deduction(rulebook: Rulebook) -> None:
    base = terms_of(rulebook, "tax_reward", NOON).base
    assert base is not None
    assert base.less is not None
    asked = rulebook.modules[f"{BENEFIT_PREFIX}tax_reward"].parameters["over_percent"].on(date(2026, 6, 1))
    assert asked is not None
    assert (base.of, base.less.of, base.less.percent) == ("tax_fen", "income_fen", asked.value)


def test_every_kind_of_partner_offers_a_service(rulebook: Rulebook) -> None:
    terms = [terms_of(rulebook, benefit, NOON) for benefit in by_hand.BENEFITS]
    partners = {partner for each in terms for partner in each.partners}
    assert partners == {"hospital", "school", "park", "transport", "housing", "fund"}
    assert {each.gives for each in terms if each.partners} == {"service"}


# ── audits and terms ──


@pytest.mark.parametrize(
    ("amount_fen", "stated", "audited"),
    [(100_000_00, False, 1_000), (100_000_00 - 1, True, 100), (100_000_00 - 1, False, 20), (0, False, 20)],
)
def test_audits_select_all_large_claims_a_tenth_of_those_with_statements_and_a_fiftieth_of_the_rest(
    rulebook: Rulebook, amount_fen: int, audited: int, *, stated: bool
) -> None:
    draws = [AuditFacts(amount_fen=amount_fen, talent_class="e", stated=stated, draw=draw) for draw in range(1_000)]
    found = [rulebook.evaluate("talent_code.audit", claim, NOON).result for claim in draws]
    assert found.count("audit") == audited


@pytest.mark.parametrize("term", get_args(TalentTerm))
def test_every_term_is_set_by_exactly_one_rule_in_every_edition(rulebook: Rulebook, term: TalentTerm) -> None:
    for at in (by_hand.CATALOGUE_BEGINS, *AROUND_CHANGES):
        verdict = rulebook.evaluate("talent_code.terms", TalentTermAsked(term), at)
        assert verdict.fired == (term.replace("_", "-"),)
        assert verdict.result > 0
