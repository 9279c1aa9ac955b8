"""A new benefit is one YAML file with its cases and needs no Python; a faulty file is refused."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import InvalidRulebook
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.needs import facts_of
from backend.settings import Settings
from tests.conftest import ROOT, Clock, SignIn
from tests.services.talent_code.scene import DOCTOR, Scene

MOVING = """\
module: talent_code.benefits.moving
title: {zh: 搬家补贴, en: Money for moving house}
facts: BenefitFacts
result: {at_least: 0, at_most: 1000000}
strategy: first
terms:
  - from: 2026-01-01
    source: "assumption [A]: 3,000 yuan once, and ten million yuan a year"
    subject: person
    gives: money
    budget_fen: 1000000000
parameters:
  moving_fen:
    - {from: 2026-01-01, value: 3_000 yuan, source: "assumption [A]: 3,000 yuan"}
rules:
  - id: owns-home
    from: 2026-01-01
    when: facts.homes > 0
    then: 0
    because: {zh: 您在本市有住房, en: You own a home in the city}
    source: "assumption [A]: people who own a home have moved already"
  - id: class-e
    from: 2026-01-01
    when: facts.talent_class == "e"
    then: moving_fen
    because: {zh: 您是E类人才, en: You are in class E}
    source: "assumption [A]: class E"
otherwise: {then: 0, because: {zh: 仅限E类人才, en: It is for class E}}
"""

CASES = """\
module: talent_code.benefits.moving
cases:
  - case: class E has 3,000 yuan
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1990-01-01T00:00:00+08:00", talent_class: e}
    expect: {result: 300000, rule: class-e}
  - case: people who own a home get nothing
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1990-01-01T00:00:00+08:00", talent_class: e, homes: 1}
    expect: {result: 0, rule: owns-home, fired: [owns-home, class-e]}
  - case: on the last second before it begins there is nothing
    at: 2025-12-31T23:59:59+08:00
    given: {born_at: "1990-01-01T00:00:00+08:00", talent_class: e}
    expect: {result: 0, rule: otherwise}
  - case: class E has 3,000 yuan from the first second
    at: 2026-01-01T00:00:00+08:00
    given: {born_at: "1990-01-01T00:00:00+08:00", talent_class: e}
    expect: {result: 300000, rule: class-e}
  - case: class D has nothing
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1990-01-01T00:00:00+08:00", talent_class: d}
    expect: {result: 0, rule: otherwise}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a copy of the city's rules with one more benefit and its cases."""
    folder = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", folder)
    benefits = folder / "talent_code" / "benefits"
    (benefits / "moving.yaml").write_text(MOVING, encoding="utf-8")
    (benefits / "moving.cases.yaml").write_text(CASES, encoding="utf-8")
    return folder


@pytest.fixture
def client(settings: Settings, clock: Clock, rules: Path) -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(replace(settings, rules=str(rules)), clock=clock)) as client:
        yield client


def count_passing_cases(rules: Path) -> int:
    _, cases = run_cases(rules, facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai"))
    return cases


def test_the_new_cases_pass_together_with_all_others(rules: Path) -> None:
    assert count_passing_cases(rules) == count_passing_cases(ROOT / "rules") + 5


def test_the_new_benefit_is_offered_claimed_and_paid(
    client: TestClient[Litestar], clock: Clock, sign_in: SignIn
) -> None:
    scene = Scene(client, clock, sign_in)
    person = scene.talent(DOCTOR)
    offered = {one["benefit"]: one for one in scene.benefits(person)["available"]}
    assert (offered["moving"]["title"]["en"], offered["moving"]["amount_fen"]) == ("Money for moving house", 300_000)
    claim = scene.claimed(person, "moving")
    assert (claim["stage"], claim["paid_fen"], claim["because"]["en"]) == ("paid", 300_000, "You are in class E")
    assert scene.claims(person, "moving").json()["type"] == "/problems/already-claimed"


@pytest.mark.parametrize(
    ("wrong", "right", "fault"),
    [
        (
            "    budget_fen: 1000000000\n",
            "    budget_fen: 1000000000\n    instalments: [{percent: 60}, {percent: 50, insured_months: 6}]\n",
            "7:5: the instalments add up to 110 percent, not to 100",
        ),
        (
            "    budget_fen: 1000000000\n",
            "    budget_fen: 1000000000\n    instalments: [{percent: 50, insured_months: 6}, {percent: 50}]\n",
            "7:5: each instalment must be due after more months of insurance than the one before",
        ),
        ("    budget_fen: 1000000000\n", "", "7:5: money needs `budget_fen`, and must not have `unit` or `partners`"),
        (
            "    budget_fen: 1000000000\n",
            "    budget_fen: 1000000000\n    excludes: [{benefit: monthly_rant}]\n",
            "7:5: these terms name 'talent_code.benefits.monthly_rant', which is not a module",
        ),
        (
            "    budget_fen: 1000000000\n",
            "    budget_fen: 1000000000\n    amount: share\n    base: {of: wealth_fen}\n",
            "7:5: 'wealth_fen' is not an amount in the facts: use one of income_fen, spent_fen, tax_fen",
        ),
        ("    subject: person\n", "    subject: persons\n", "9:14: 'persons' is"),
        ("    then: moving_fen\n", "    then: 2000000\n", "25:11: 2000000"),
        ('talent_class == "e"', 'talent_class == "f"', "24:33: 'f' is"),
    ],
)
def test_a_faulty_policy_file_is_refused_with_line_and_column(rules: Path, wrong: str, right: str, fault: str) -> None:
    file = rules / "talent_code" / "benefits" / "moving.yaml"
    file.write_text(MOVING.replace(wrong, right), encoding="utf-8")
    with pytest.raises(InvalidRulebook) as refused:
        count_passing_cases(rules)
    place, message = fault.split(": ", 1)
    assert re.search(rf"moving\.yaml:{re.escape(place)}: R\d{{3}} {re.escape(message)}", str(refused.value))


def test_a_failing_case_states_the_actual_result(rules: Path) -> None:
    cases = rules / "talent_code" / "benefits" / "moving.cases.yaml"
    cases.write_text(CASES.replace("result: 300000", "result: 500000"), encoding="utf-8")
    with pytest.raises(InvalidRulebook, match="result is 300000, expected 500000"):
        count_passing_cases(rules)
