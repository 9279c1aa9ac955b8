"""A draft of the talent code's rules is previewed on the facts that follow from each stored talent."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.city.person import Person
from backend.city.preview import previewed, stored_facts_of
from backend.city.service import discover_services, rule_modules_of
from backend.i18n import Text
from backend.rulebook import Rulebook, SourceFile, make_rulebook, read_rules
from backend.rulebook.needs import facts_of
from backend.rulebook.preview.report import ModulePreview
from backend.services.talent_code.facts import Degree, Title
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.evidence import Evidence, Qualification
from backend.services.talent_code.model.talent import Figures, Grant, Talent, benefit_facts, talent_facts
from backend.services.talent_code.rule_modules import CLASS_MODULE
from backend.store.sqlite.store import SqliteStore
from tests.city.previews import only_module, report_of
from tests.conftest import ROOT
from tests.rulebook.test_agreement import CITY, RULEBOOK

NOW = datetime(2026, 11, 29, 4, tzinfo=UTC)
SERVICES = discover_services()
STORED = stored_facts_of(SERVICES)
RENT = "talent_code.benefits.graduate_rent"
LIMIT = "medical_credit.limit"


def talent(number: int, *qualifications: Qualification, grant_days: int | None = None) -> Talent:
    """Return a talent with confirmed qualifications, whose class E ends after so many days."""
    evidence = tuple(
        Evidence(f"{number}-{place}", one, NOW, NOW, state="confirmed") for place, one in enumerate(qualifications)
    )
    grants = ()
    if grant_days is not None:
        because = Text(zh="因为", en="because")
        grants = (Grant("e", "rule", because, NOW - timedelta(100), NOW + timedelta(grant_days), "0" * 64),)
    return Talent(
        id=f"talent-{number:03}",
        revision=1,
        code_id=f"code-{number:03}",
        born_at=NOW - timedelta(days=366 * (25 + number)),
        evidence=evidence,
        grants=grants,
        figures=Figures(NOW, 12, 2025, 20_000_000, 500_000),
    )


def talents() -> list[Talent]:
    degrees = [Degree(level, NOW - timedelta(days=300)) for level in ("bachelor", "master", "doctor")]
    return [
        *(talent(number, degree, grant_days=5 + number) for number, degree in enumerate(degrees)),
        talent(3, Title("professor", NOW - timedelta(days=700))),
        talent(4, Title("professor", NOW + timedelta(days=3))),
        talent(5),
    ]


def profile_of(one: Talent) -> Person:
    """Return the profile of a talent."""
    return Person(id=one.id, revision=1, id_number="x", id_digest=one.id, sex=None, born_on=None, created=NOW)


def draft(module: str, old: str, new: str) -> Rulebook:
    files = read_rules(ROOT / "rules")
    text = files[module].text
    assert old in text
    files[module] = SourceFile(files[module].path, text.replace(old, new), [])
    return make_rulebook(files, facts_of(rule_modules_of(SERVICES)), CITY, RULEBOOK)


def lower_professors() -> Rulebook:
    """Return the rules with professors in class E instead of D."""
    rule = 't.title == "professor")\n    then: '
    return draft(CLASS_MODULE, rule + "d", rule + "e")


def preview(folder: Path, new: Rulebook) -> ModulePreview:
    documents = [*talents(), *map(profile_of, talents())]
    opened = lambda: SqliteStore.open(folder / "city.db", [Talent, Person, Claim])  # noqa: E731  named for its type
    return only_module(report_of(opened, documents, STORED, (RULEBOOK, new), NOW))


def test_a_draft_of_the_catalogue_is_decided_on_the_evidence_of_each_talent(tmp_path: Path) -> None:
    new = lower_professors()
    module = preview(tmp_path, new)
    expected = {
        one.id: tuple(book.evaluate(CLASS_MODULE, talent_facts(one, NOW, CITY), NOW).result for book in (RULEBOOK, new))
        for one in talents()
    }
    assert {one.id: (one.old.result, one.new.result) for one in module.samples} == {
        name: pair for name, pair in expected.items() if pair[0] != pair[1]
    }
    assert (module.people, module.by) == (len(expected), "objects")
    assert module.changed == module.worse == 1
    assert module.better == module.again == 0


def test_what_is_in_the_evidence_for_a_later_day_counts_from_that_day(tmp_path: Path) -> None:
    module = preview(tmp_path, lower_professors())
    assert module.days[4].old["d"] == module.days[0].old["d"] + 1
    assert module.days[4].new["e"] == module.days[0].new["e"] + 1


def test_a_benefit_is_previewed_with_the_class_that_a_talent_has_on_each_day(tmp_path: Path) -> None:
    text = read_rules(ROOT / "rules")[RENT].text
    module = preview(tmp_path, draft(RENT, "title:", "title: "))
    assert "talent_class" in text or "degree" in text
    for day in module.days:
        counted = [RULEBOOK.evaluate(RENT, benefit_facts(one, {}, day.at), day.at).result for one in talents()]
        assert day.old == {str(result): counted.count(result) for result in sorted(set(counted))}
    assert module.changed == 0


@pytest.mark.parametrize(
    ("module", "where"),
    [("medical_credit.terms", "medical_credit/terms.yaml:"), ("school_lookup.points", "school_lookup/points.yaml:")],
)
def test_a_module_that_nobody_can_be_counted_for_is_refused_at_its_facts(module: str, where: str) -> None:
    found, (refused,) = previewed(RULEBOOK, RULEBOOK, STORED, [module])
    assert found == []
    assert refused.reason.en.startswith(where)
    assert refused.reason.zh.startswith(where)


def test_facts_that_a_module_other_than_a_benefit_declares_are_named_where_it_is_refused() -> None:
    files = read_rules(ROOT / "rules")
    text = files[LIMIT].text
    assert "facts: CreditFacts" in text
    declared = """facts:
  extends: CreditFacts
  income_band:
    type: words
    words: [low, high]
    from: person
    meaning: {zh: 家庭收入档次, en: Income band of the household}
"""
    files[LIMIT] = SourceFile(files[LIMIT].path, text.replace("facts: CreditFacts\n", declared), [])
    asking = make_rulebook(files, facts_of(rule_modules_of(SERVICES)), CITY, strict=False)
    _, (refused,) = previewed(asking, asking, STORED, [LIMIT])
    assert "income_band (person)" in refused.reason.en
