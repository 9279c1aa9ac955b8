"""The rules of the grants to reading circles."""

from collections.abc import Iterator
from pathlib import Path


def write_rules(folder: Path, budget_fen: int) -> Path:
    """Write the rules of the grants, each with this budget for a year."""
    (folder / "reading_circles" / "grants").mkdir(parents=True)
    for name, text in rule_modules(budget_fen):
        (folder / "reading_circles" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def rule_modules(budget_fen: int) -> Iterator[tuple[str, str]]:
    for name, own in GRANTS.items():
        yield f"grants/{name}", _GRANT.format(name=name, budget=budget_fen, terms=own)
    yield "audit", _AUDIT


GRANTS = {
    "evenings": """\
    times_at_most: 3
    cooldown: 5d
    quota: 3
    after_withdrawal: stop
    excludes: [{benefit: books, within: 10d}]
    instalments: [{percent: 33}, {percent: 33, evenings: 3}, {percent: 34, evenings: 12}]""",
    "books": """\
    times_at_most: 4
    cooldown: 1d
    amount: up_to
    base: {of: spent_fen}""",
}

_GRANT = """\
module: reading_circles.grants.{name}
title: {{zh: 读书会资助{name}, en: Grant for {name}}}
facts: CircleFacts
result: {{at_least: 0, at_most: 100000000}}
strategy: first
terms:
  - from: 2019-01-01
    subject: firm
    gives: money
    budget_fen: {budget}
{terms}
    source: "assumption [A]: a test"
rules:
  - id: large
    from: 2019-01-01
    when: facts.members >= 20
    then: 9999
    because: {{zh: 会员20人以上, en: It has 20 members or more}}
    source: "assumption [A]: a test"
  - id: small
    from: 2019-01-01
    when: facts.members >= 5
    then: 5001
    because: {{zh: 会员5人以上, en: It has 5 members or more}}
    source: "assumption [A]: a test"
otherwise: {{then: 0, because: {{zh: 会员不足5人, en: It has fewer than 5 members}}}}
"""

_AUDIT = """\
module: reading_circles.audit
title: {zh: 抽查, en: Audits}
facts: CircleAuditFacts
result: [skip, audit]
strategy: most_severe
rules:
  - id: most
    from: 2019-01-01
    when: facts.draw < 700
    then: audit
    because: {zh: 已抽中, en: It was drawn}
    remedy: {zh: 您无需办理, en: You need not do anything}
    source: "assumption [A]: a test"
otherwise: {then: skip, because: {zh: 未抽中, en: It was not drawn}}
"""
