"""Rulebooks with a few small benefits, whose figures are easy to check by hand."""

import shutil
from pathlib import Path

from tests.conftest import ROOT

_MODULE = """\
module: talent_code.benefits.{name}
title: {{zh: 测试政策{name}, en: Test benefit {name}}}
facts: BenefitFacts
result: {{at_least: 0, at_most: 100000000}}
strategy: first
terms:
  - from: 2019-01-01
    subject: person
    gives: money
    budget_fen: {budget}
{terms}
    source: "assumption [A]: a test"
rules:
  - id: owns-a-home
    from: 2019-01-01
    when: facts.homes > 0
    then: 0
    because: {{zh: 您在本市有住房, en: You own a home in the city}}
    remedy: {{zh: 无住房者可申领, en: It is for those who own none}}
    source: "assumption [A]: a test"
  - id: class-d
    from: 2019-01-01
    when: facts.talent_class == "d"
    then: {d}
    because: {{zh: 您是D类人才, en: You are of class D}}
    source: "assumption [A]: a test"
  - id: class-e
    from: 2019-01-01
    when: facts.talent_class == "e"
    then: {e}
    because: {{zh: 您是E类人才, en: You are of class E}}
    source: "assumption [A]: a test"
otherwise: {{then: 0, because: {{zh: 您的类别没有此项, en: Your class does not have this}}}}
"""

TERMS = {
    "plain": "    times_at_most: 5\n    cooldown: 2d",
    "halves": """\
    times_at_most: 2
    cooldown: 30d
    after_withdrawal: stop
    excludes: [{benefit: spent, within: 10d}]
    instalments:
      - {percent: 50}
      - {percent: 50, insured_months: 6}""",
    "thirds": """\
    times_at_most: 3
    cooldown: 5d
    quota: 3
    after_withdrawal: go_on
    instalments:
      - {percent: 33}
      - {percent: 33, insured_months: 3}
      - {percent: 34, insured_months: 12}""",
    "spent": "    times_at_most: 4\n    cooldown: 1d\n    amount: up_to\n    base: {of: spent_fen}",
}
AMOUNTS = {"plain": (70_01, 50_00), "halves": (101_01, 80_01), "thirds": (100_00, 99_99), "spent": (60_00, 40_00)}
"""The amount of each benefit for classes D and E."""


def write_rules(folder: Path, budget_fen: int, only: str | None = None) -> Path:
    """Write the city's rules with small benefits instead of its own, each with this budget for a year."""
    shutil.copytree(ROOT / "rules", folder, ignore=shutil.ignore_patterns("benefits"))
    benefits = folder / "talent_code" / "benefits"
    benefits.mkdir()
    terms, audit = folder / "talent_code" / "terms.yaml", folder / "talent_code" / "audit.yaml"
    _change(terms, "audit_days", "{from: 2018-01-01, value: 30", "{from: 2018-01-01, value: 3")
    _change(audit, "stated_draws", "value: 100", "value: 1000")
    _change(audit, "other_draws", "value: 20", "value: 500")
    for name, terms in TERMS.items():
        if only in (None, name):
            written = benefit(name, terms, budget_fen, *AMOUNTS[name])
            (benefits / f"{name}.yaml").write_text(written, encoding="utf-8")
    return folder


def _change(file: Path, parameter: str, old: str, new: str) -> None:
    """Change a figure of the city's own rules, so that audits are early and frequent."""
    before, name, after = file.read_text(encoding="utf-8").partition(f"\n  {parameter}:\n")
    assert old in after, f"{file} has changed"
    file.write_text(before + name + after.replace(old, new, 1), encoding="utf-8")


def benefit(name: str, terms: str, budget_fen: int, class_d_fen: int, class_e_fen: int) -> str:
    """Return the module of a small benefit as YAML."""
    return _MODULE.format(name=name, terms=terms, budget=budget_fen, d=class_d_fen, e=class_e_fen)
