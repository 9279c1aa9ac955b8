"""A preview counts who could get a benefit whose facts nobody has told yet, and never fewer than would get it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.benefits.claim import PastClaim
from backend.city.person import Person
from backend.city.preview import TOO_MANY_ANSWERS, preview_editions, stored_facts_of
from backend.city.service import discover_services, rule_modules_of
from backend.i18n import Text
from backend.rulebook import Rulebook, SourceFile, make_rulebook, read_rules
from backend.rulebook.needs import facts_of
from backend.rulebook.preview import possible
from backend.rulebook.preview.report import ModulePreview
from backend.services.talent_code.facts import BenefitFacts, TalentClass
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Figures, Grant, Talent
from backend.store import Document, Store
from backend.store.sqlite.store import SqliteStore
from tests.city.previews import matrix, only_module, report_of
from tests.conftest import ROOT
from tests.rulebook.test_agreement import CITY, RULEBOOK
from tests.services.talent_code.old_age import MODULE
from tests.store.opener import opener

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)
STORED = stored_facts_of(discover_services())
OLD_AGE = "talent_code.benefits.old_age"
RENT = "talent_code.benefits.monthly_rent"

Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "mongodb-motor"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return opener(request, tmp_path, [Person, Talent, Claim])


def edition(**texts: str) -> Rulebook:
    """Return the city's rules with the benefits of these texts."""
    files = read_rules(ROOT / "rules")
    for name, text in texts.items():
        files[f"talent_code.benefits.{name}"] = SourceFile(name, text, [])
    return make_rulebook(files, facts_of(rule_modules_of(discover_services())), CITY, RULEBOOK)


WITH_SUBSIDY = edition(old_age=MODULE)


def person(number: int, born: int, *, district: str | None = "330106", sex: str = "female") -> Person:
    """Return a person of whom the city knows the birthday, on 1 May."""
    return Person(
        id=f"person-{number:03}",
        revision=1,
        id_number="x",
        id_digest=f"digest-{number}",
        sex="male" if sex == "male" else "female",
        born_on=date(born, 5, 1),
        created=NOW,
        division=district,
    )


def people() -> list[Person]:
    """Return one person of 69 years, three from 70, two from 80, one of 91, and one whose birthday is not known."""
    born = [1957, 1956, 1950, 1947, 1946, 1940, 1935]
    known = [person(number, year) for number, year in enumerate(born)]
    return [*known, replace(person(9, 1940), born_on=None)]


def preview(opened: Open, old: Rulebook, new: Rulebook, documents: Sequence[Document]) -> ModulePreview:
    report = report_of(opened, documents, STORED, (old, new), NOW)
    assert report.not_previewed == []
    return only_module(report)


def test_a_new_benefit_is_counted_by_the_best_answers(opened: Open) -> None:
    module = preview(opened, RULEBOOK, WITH_SUBSIDY, people())
    assert matrix(module) == {(0, 0): 1, (0, 6_000): 3, (0, 15_050): 2, (0, 30_000): 1}
    assert (module.people, module.better, module.worse) == (7, 6, 0)
    assert (module.old_sum, module.new_sum) == (0, 3 * 6_000 + 2 * 15_050 + 30_000)
    assert module.is_new
    assert module.in_yuan
    assert module.budget_fen == 5_000_000_000


def test_the_facts_that_nobody_has_told_are_named(opened: Open) -> None:
    module = preview(opened, RULEBOOK, WITH_SUBSIDY, people())
    assert module.unanswered == 6
    assert {one.name: one.people for one in module.open_facts} == {"district": 6, "income_band": 6, "moved_in_on": 6}


def test_a_benefit_that_ends_is_taken_from_those_who_could_have_it(opened: Open) -> None:
    module = preview(opened, WITH_SUBSIDY, RULEBOOK, people())
    assert matrix(module) == {(0, 0): 1, (6_000, 0): 3, (15_050, 0): 2, (30_000, 0): 1}
    assert module.is_removed
    assert module.worse == 6


def claim(of: Person, **answers: object) -> list[Document]:
    """Return a person who has claimed the subsidy with these answers, as a talent and with the claim."""
    born_at = datetime(of.born_on.year, 5, 1, tzinfo=CITY) if of.born_on else NOW
    at = NOW - timedelta(days=40)
    claimed = Claim(
        id=f"claim-{of.id}",
        revision=1,
        subject=of.id,
        benefit="old_age",
        title=Text(zh="高龄津贴", en="Old-age subsidy"),
        claimed_at=at,
        claimed_ms=0,
        rule="age-80",
        because=Text(zh="因为", en="because"),
        figure=15_050,
        amount_fen=15_050,
        rulebook="0" * 64,
        after_withdrawal="go_on",
        instalments=(),
        facts=BenefitFacts(born_at=born_at),
        stated=(),
        declared=answers,
    )
    past = (PastClaim(claimed.id, "old_age", at),)
    return [Talent(id=of.id, revision=1, code_id=of.id, born_at=born_at, past_claims=past), claimed]


def test_who_has_claimed_is_counted_by_the_answers_of_the_claim(opened: Open) -> None:
    eighty = person(1, 1946)
    known = claim(eighty, district="xihu", income_band="high", moved_in_on=None)
    module = preview(opened, RULEBOOK, WITH_SUBSIDY, [eighty, person(2, 1946), *known])
    assert matrix(module) == {(0, 0): 1, (0, 15_050): 1}
    assert module.unanswered == 1


def test_a_question_that_a_claim_did_not_answer_stays_open(opened: Open) -> None:
    eighty = person(1, 1946)
    module = preview(opened, RULEBOOK, WITH_SUBSIDY, [eighty, *claim(eighty, district="xihu", income_band="middling")])
    assert matrix(module) == {(0, 15_050): 1}
    assert {one.name for one in module.open_facts} == {"income_band", "moved_in_on"}


def test_a_change_of_an_amount_is_counted_by_old_and_new_amount(opened: Open) -> None:
    more = edition(old_age=MODULE.replace("value: 150.50 yuan", "value: 180 yuan"))
    module = preview(opened, WITH_SUBSIDY, more, people())
    assert matrix(module) == {(0, 0): 1, (6_000, 6_000): 3, (15_050, 18_000): 2, (30_000, 30_000): 1}
    assert (module.changed, module.is_new) == (2, False)
    assert {(one.old_rule, one.new_rule, one.people) for one in module.rules} == {("age-80", "age-80", 2)}


def test_age_explains_who_becomes_too_young_although_living_elsewhere_would_give_as_little(opened: Open) -> None:
    later = edition(old_age=MODULE.replace("{years: 70, amount", "{years: 75, amount"))
    module = preview(opened, WITH_SUBSIDY, later, people())
    assert (module.changed, module.worse) == (1, 1)
    assert [(one.old_rule, one.new_rule, one.people) for one in module.rules] == [("age-70", "otherwise", 1)]
    (sample,) = module.samples
    assert (sample.id, sample.old.rule, sample.new.rule) == ("person-001", "age-70", "otherwise")
    assert sample.new.because.en == "You are younger than 70"


def test_who_loses_an_amount_is_explained_by_the_same_answers(opened: Open) -> None:
    nothing = edition(old_age=MODULE.replace("value: 150.50 yuan", "value: 0 yuan"))
    module = preview(opened, WITH_SUBSIDY, nothing, people())
    assert {(one.old_rule, one.new_rule, one.people) for one in module.rules} == {("age-80", "age-80", 2)}
    assert {one.new.rule for one in module.samples} == {"age-80"}


def test_an_edition_that_asks_another_question_is_compared_with_one_that_does_not(opened: Open) -> None:
    question = (
        "  lives_alone: {type: bool, from: person, meaning: {zh: 是否独居, en: Whether the person lives alone}}\n"
    )
    rule = """  - id: not-alone
    from: 2026-01-01
    when: "!facts.lives_alone && age(facts.born_at, now) >= 90"
    then: 0
    because: {zh: 您与家人同住, en: You live with others}
    source: order
"""
    asking = MODULE.replace("  district:\n", question + "  district:\n", 1).replace(
        "  - table:\n", rule + "  - table:\n"
    )
    module = preview(opened, WITH_SUBSIDY, edition(old_age=asking), people())
    assert module.changed == 0
    assert {one.name: one.people for one in module.open_facts}["lives_alone"] == 6


def test_a_sample_names_the_rule_of_the_best_answers(opened: Open) -> None:
    module = preview(opened, RULEBOOK, WITH_SUBSIDY, [person(1, 1946)])
    (sample,) = module.samples
    assert (sample.old.result, sample.new.result, sample.new.rule) == (0, 15_050, "age-80")
    assert sample.new.because.en == "You are 80 or older: 150.50 yuan a month"


def test_people_are_counted_by_district(opened: Open) -> None:
    west_lake = [person(number, 1946) for number in range(6)]
    shangcheng = [person(10 + number, 1990, district="330102") for number in range(5)]
    module = preview(opened, RULEBOOK, WITH_SUBSIDY, [*west_lake, *shangcheng])
    assert {one.district: (one.people, one.better) for one in module.districts} == {"330106": (6, 6), "330102": (5, 0)}


def test_what_the_profile_has_is_not_asked(opened: Open) -> None:
    declared = """  sex:
    {type: words, words: [female, male], optional: true, from: profile.sex, meaning: {zh: 性别, en: Sex}}
  homes_there: {type: number, at_least: 0, at_most: 9, from: property_register.homes, meaning: {zh: 房, en: Homes}}
  district:
"""
    rule = """  - id: not-for-men
    from: 2026-01-01
    when: has(facts.sex) && facts.sex == "male" || facts.homes_there > 1
    then: 0
    because: {zh: 仅限女性, en: It is for women}
    source: order
  - id: elsewhere
"""
    women = edition(old_age=MODULE.replace("  district:\n", declared, 1).replace("  - id: elsewhere\n", rule, 1))
    module = preview(opened, RULEBOOK, women, [person(1, 1946), person(2, 1946), person(3, 1946, sex="male")])
    assert matrix(module) == {(0, 0): 1, (0, 15_050): 2}
    assert {one.name: one.people for one in module.open_facts}["homes_there"] == 2


def talented(number: int, figures: Figures | None, talent_class: TalentClass = "b") -> list[Document]:
    """Return a person with a class, and these answers of the registers."""
    grant = Grant(talent_class, "x", Text(zh="因", en="why"), NOW - timedelta(99), NOW + timedelta(99), "0" * 64)
    born_at = datetime(1990, 5, 1, tzinfo=CITY)
    talent = Talent(
        id=f"person-{number:03}", revision=1, code_id=str(number), born_at=born_at, grants=(grant,), figures=figures
    )
    return [person(number, 1990), talent]


def test_figures_that_no_register_was_asked_for_can_be_the_best(opened: Open) -> None:
    reward = "talent_code.benefits.tax_reward"
    files = read_rules(ROOT / "rules")
    changed = edition(tax_reward=files[reward].text.replace("title:", "title: ", 1))
    asked = Figures(NOW, 0, NOW.year - 1, income_fen=0, tax_fen=0)
    module = preview(opened, RULEBOOK, changed, [*talented(1, asked), *talented(2, None)])
    assert matrix(module) == {(0, 0): 1, (95, 95): 1}
    assert {one.name: one.people for one in module.open_facts} == {"income_fen": 1, "tax_fen": 1}


def test_who_has_not_opened_the_talent_code_has_no_class(opened: Open) -> None:
    changed = edition(monthly_rent=read_rules(ROOT / "rules")[RENT].text.replace("title:", "title: ", 1))
    module = preview(opened, RULEBOOK, changed, [person(1, 1990), *talented(2, None, "e")])
    assert matrix(module) == {(0, 0): 1, (250_000, 250_000): 1}
    assert module.unanswered == 0


def test_a_benefit_with_too_many_combinations_of_answers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(possible, "MAX_ANSWERS", 3)

    async def refused() -> list[tuple[str, str]]:
        store = SqliteStore.open(tmp_path / "city.db", [Person, Talent, Claim])
        await store.restore(people())
        report = await preview_editions(store, STORED, RULEBOOK, WITH_SUBSIDY, NOW)
        await store.close()
        assert report.modules == []
        return [(one.module, one.reason.en) for one in report.not_previewed]

    assert asyncio.run(refused()) == [(OLD_AGE, TOO_MANY_ANSWERS.en)]
