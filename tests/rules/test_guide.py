"""The examples in docs/add-a-rule-module.md are true."""

import re
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Struct

from backend.benefits.claim import PastClaim
from backend.benefits.offers import split_into_instalments
from backend.rulebook import InvalidRulebook, Rulebook, load_rulebook, read_file
from backend.rulebook.modules.case_reader import read_cases
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.modules.declared_facts import declared_facts
from backend.rulebook.needs import facts_of
from backend.services.medical_credit import service as medical_credit
from backend.services.talent_code import service as talent_code
from backend.services.talent_code.facts import BenefitFacts, TalentClassOrNone
from backend.services.talent_code.model.benefit import near_miss, offers_of
from backend.services.talent_code.model.talent import Talent
from tests.rulebook.tram import CITY, Delay, Part, RefundTerms, Rider, faults

ROOT = Path(__file__).parents[2]
RULES = ROOT / "rules"
GUIDE = (ROOT / "docs" / "add-a-rule-module.md").read_text(encoding="utf-8")
MODULE, SUBSIDY, REFUND, CASES, BENEFIT, BENEFIT_CASES, OWN_FACTS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
NOON = datetime(2021, 6, 1, 4, 0, tzinfo=UTC)


def load(folder: Path) -> Rulebook:
    (folder / "tram").mkdir()
    for name, text in {"fare": MODULE, "refund": REFUND, "fare.cases": CASES}.items():
        (folder / "tram" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_rulebook(folder, [Rider, Delay], CITY)


def test_the_module_of_the_guide_loads_and_its_cases_pass(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    file = read_file(tmp_path / "tram" / "fare.cases.yaml")
    cases = read_cases(file, rulebook.modules["tram.fare"])
    assert (len(cases), file.faults) == (6, [])
    for case in cases:
        verdict = rulebook.evaluate("tram.fare", case.facts, case.at, on=case.on)
        for key, expected in case.expected.items():
            assert getattr(verdict, key) == expected.value


def test_the_cases_of_the_guide_cover_its_module_and_a_missing_case_gives_the_printed_fault(
    tmp_path: Path,
) -> None:
    (tmp_path / "tram").mkdir()
    (tmp_path / "tram" / "fare.yaml").write_text(MODULE, encoding="utf-8")
    cases = tmp_path / "tram" / "fare.cases.yaml"
    cases.write_text(CASES, encoding="utf-8")
    assert run_cases(tmp_path, [Rider], CITY)[1] == 6
    cases.write_text(CASES[: CASES.index("  - case: from 2022")], encoding="utf-8")
    with pytest.raises(InvalidRulebook) as refused:
        run_cases(tmp_path, [Rider], CITY)
    assert str(refused.value).replace(f"{tmp_path}/", "rules/") in GUIDE


class Veteran(Struct, frozen=True):
    """A passenger with a day of birth and an income."""

    born_at: datetime
    income_fen: int = 0


def test_the_guides_module_with_money_a_table_and_years_says_the_figures_of_the_day(tmp_path: Path) -> None:
    (tmp_path / "tram").mkdir()
    (tmp_path / "tram" / "subsidy.yaml").write_text(SUBSIDY, encoding="utf-8")
    rulebook = load_rulebook(tmp_path, [Veteran], CITY, strict=True)
    old = Veteran(datetime(1942, 6, 1, tzinfo=CITY))
    verdict = rulebook.evaluate("tram.subsidy", old, NOON)
    assert (verdict.result, verdict.because.zh) == (5_000, "年满70周岁，每月50元")
    assert verdict.changes_at == datetime(2022, 6, 1, tzinfo=CITY)
    rich = rulebook.evaluate("tram.subsidy", Veteran(old.born_at, 10**6), datetime(2022, 1, 1, tzinfo=CITY))
    assert rich.because.en == "Your income is over 5,500.50 yuan a month"


def test_the_guides_own_facts_are_those_of_a_benefit(tmp_path: Path) -> None:
    folder = tmp_path / "talent_code" / "benefits"
    folder.mkdir(parents=True)
    text = BENEFIT.replace("facts: BenefitFacts\n", OWN_FACTS).replace(
        "facts.homes > 0", 'facts.income_band == "high" || facts.owned > 0 || has(facts.moved_in_on)'
    )
    text = text.replace("    excludes: [{benefit: graduate_rent, within: 365d}]", "    ")
    (folder / "furnishing.yaml").write_text(text, encoding="utf-8")
    rulebook = load_rulebook(tmp_path, facts_of(talent_code.rule_modules), CITY, strict=True)
    declared = declared_facts(rulebook.modules["talent_code.benefits.furnishing"].facts)
    assert [fact.name for fact in declared] == ["income_band", "moved_in_on", "owned"]


def test_an_amount_that_differs_from_the_law_gives_the_fault_in_the_guide(tmp_path: Path) -> None:
    text = (RULES / "medical_credit" / "inpatient_limit.yaml").read_text(encoding="utf-8")
    folder = tmp_path / "medical_credit"
    folder.mkdir()
    (folder / "inpatient_limit.yaml").write_text(text.replace("{inpatient_fen}", "16,000元", 1), encoding="utf-8")
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(tmp_path, facts_of(medical_credit.rule_modules), CITY, strict=True)
    first, *_ = refused.value.faults
    assert str(first).replace(f"{tmp_path}/", "rules/") in GUIDE


def test_the_guides_module_with_terms_returns_a_number_and_its_instalments(tmp_path: Path) -> None:
    rulebook = load(tmp_path)
    assert rulebook.evaluate("tram.refund", Delay(60), NOON).result == 300
    parts = Part(40), Part(60, timedelta(days=30))
    assert rulebook.terms("tram.refund", NOON) == RefundTerms("cash", parts, combines_with=("tram.fare",))
    assert rulebook.terms("tram.refund", NOON, on=date(2022, 1, 1)) == RefundTerms("card")


def test_faulty_terms_give_the_fault_in_the_guide(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, refund=REFUND.replace("percent: 60", "percent: 70"))
    assert f"rules/tram/refund.yaml:{found.replace(': ', ': R028 ', 1)}\n" in GUIDE


# ── a benefit of the talent code ──

BORN = datetime(1990, 5, 1, tzinfo=UTC)
IN_JUNE = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The talent code's own rules, and the guide's benefit among them."""
    folder = tmp_path_factory.mktemp("city") / "rules"
    shutil.copytree(RULES / "talent_code", folder / "talent_code")
    for name, text in {"furnishing": BENEFIT, "furnishing.cases": BENEFIT_CASES}.items():
        (folder / "talent_code" / "benefits" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def rulebook(rules: Path) -> Rulebook:
    return load_rulebook(rules, facts_of(talent_code.rule_modules), CITY)


def test_the_benefit_of_the_guide_is_one_file_whose_cases_pass_and_cover_its_rules(rules: Path) -> None:
    rulebook, _ = run_cases(rules, facts_of(talent_code.rule_modules), CITY)
    assert "furnishing" in offers_of(rulebook).names()


def person(standing: TalentClassOrNone, months: int, homes: int = 0) -> BenefitFacts:
    return BenefitFacts(born_at=BORN, talent_class=standing, insured_months=months, homes=homes)


def test_the_benefit_of_the_guide_is_paid_in_two_instalments(rulebook: Rulebook) -> None:
    judged = offers_of(rulebook).judge("furnishing", person("e", 5), IN_JUNE)
    assert judged is not None
    parts = [(fen, one.milestone) for one, fen in split_into_instalments(judged.amount_fen, judged.terms.instalments)]
    assert parts == [(300_000, 0), (200_000, 12)]


@pytest.mark.parametrize(
    ("facts", "kind", "because"),
    [
        (person("e", 2), "one_condition", "You have been insured in the city for less than 3 months"),
        (person("e", 2, homes=1), None, None),
        (person("none", 5), "next_class", "This benefit is available from class E"),
        (person("c", 5), None, None),
    ],
    ids=["a newcomer", "a newcomer who owns a home", "without a class", "class C"],
)
def test_the_near_misses_of_the_guides_benefit_are_as_described(
    rulebook: Rulebook, facts: BenefitFacts, kind: str | None, because: str | None
) -> None:
    judged = offers_of(rulebook).judge("furnishing", facts, IN_JUNE)
    assert judged is not None
    assert not judged.is_entitled
    missed = near_miss(rulebook, judged, facts)
    assert (missed and missed.kind, missed and missed.because.en) == (kind, because)


def test_graduate_rent_excludes_the_benefit_of_the_guide_for_a_year(rulebook: Rulebook) -> None:
    in_may = IN_JUNE - timedelta(days=20)
    talent = Talent(id="p", code_id="c", born_at=BORN, past_claims=(PastClaim("claim", "graduate_rent", in_may),))
    restriction = offers_of(rulebook).restriction(talent, "furnishing", IN_JUNE)
    assert restriction is not None
    assert restriction.ends_at == in_may + timedelta(days=365)


def test_a_faulty_benefit_gives_the_fault_in_the_guide(rules: Path, tmp_path: Path) -> None:
    shutil.copytree(rules, tmp_path / "rules")
    wrong = tmp_path / "rules" / "talent_code" / "benefits" / "furnishing.yaml"
    wrong.write_text(BENEFIT.replace("percent: 40", "percent: 50"), encoding="utf-8")
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(tmp_path / "rules", facts_of(talent_code.rule_modules), CITY)
    printed = re.search(r"^rules/talent_code/benefits/furnishing.yaml:.*?\n```", GUIDE, re.DOTALL | re.MULTILINE)
    assert printed is not None
    assert (
        str(refused.value).strip() == printed[0].removesuffix("```").replace("rules/", f"{tmp_path}/rules/", 1).strip()
    )
