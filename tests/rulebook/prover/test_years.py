"""Claims about ages by the calendar are proved to the day."""

from datetime import datetime
from itertools import pairwise

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.prover.claims import Changed, Claim, Compared
from backend.rulebook.prover.proof import prove_editions
from backend.rulebook.prover.standing import read_claim_files
from tests.rulebook.tram import CITY

SUBSIDY = """\
module: subsidy.old_age
title: {zh: 高龄津贴, en: Old-age subsidy}
facts: Resident
result: {at_least: 0, at_most: 1000}
strategy: first
rules:
  - id: old
    from: 2026-01-01
    when: age(facts.born_at, now) >= 70
    then: 500
    because: {zh: 高龄, en: Old}
    source: "[S] council"
otherwise: {then: 0, because: {zh: 未到年龄, en: Too young}}
"""


class Resident(Struct, frozen=True):
    """A resident of the city."""

    born_at: datetime


def edition(text: str) -> Rulebook:
    return make_rulebook({"subsidy.old_age": SourceFile("old_age.yaml", text, [])}, [Resident], CITY)


def test_seventy_years_of_365_days_are_reached_earlier_than_the_seventieth_birthday() -> None:
    days = edition(SUBSIDY.replace("age(facts.born_at, now) >= 70", 'now - facts.born_at >= duration("613200h")'))
    report = prove_editions(days, edition(SUBSIDY))
    assert report.answer == "counterexample"
    found = report.results[0].counterexample
    assert found is not None
    assert found.before is not None
    assert (found.before.result, found.after.result) == ("500", "0")
    assert prove_editions(edition(SUBSIDY), days).answer == "holds"


def test_nobody_born_earlier_gets_less() -> None:
    name = Text(zh="出生更早的人不会少得", en="nobody born earlier gets less")
    claim = Claim("earlier", name, Changed("earlier", ("born_at",), "worse"), best_is_high=True)
    assert prove_editions(None, edition(SUBSIDY), {"subsidy.old_age": [claim]}).answer == "holds"


def test_a_lower_age_takes_from_nobody() -> None:
    claim = Claim("less", Text(zh="主张", en="claim"), Compared("worse"), best_is_high=True)
    younger = edition(SUBSIDY.replace(">= 70", ">= 65"))
    assert prove_editions(edition(SUBSIDY), younger, {"subsidy.old_age": [claim]}).answer == "holds"
    assert prove_editions(younger, edition(SUBSIDY), {"subsidy.old_age": [claim]}).answer == "counterexample"


AT_SEVENTY = """\
module: subsidy.old_age
claims:
  - id: at-seventy
    name: {zh: 年满七十周岁当日起有津贴, en: There is a subsidy from the seventieth birthday}
    from: 2026-01-01
    always: new.result == 500 || age(facts.born_at, now) < 70
    source: "[S] council"
"""


def test_ages_in_claims_are_of_the_citys_days_too() -> None:
    rulebook = edition(SUBSIDY)
    file = SourceFile("old_age.claims.yaml", AT_SEVENTY, [])
    ((_, found),) = read_claim_files({"subsidy.old_age": file}, rulebook).values()
    assert prove_editions(None, rulebook, {"subsidy.old_age": found.claims}).answer == "holds"


def test_who_loses_by_a_higher_age_is_shown_as_the_youngest_of_them() -> None:
    """The solver kept a distance that it had not been told to keep, and showed somebody months older."""
    claim = Claim("less", Text(zh="主张", en="claim"), Compared("worse"), best_is_high=True)
    editions = [edition(SUBSIDY.replace(">= 70", f">= {age}")) for age in range(60, 76)]
    for age, (younger, older) in enumerate(pairwise(editions), 60):
        found = prove_editions(younger, older, {"subsidy.old_age": [claim]}).results[0].counterexample
        assert found is not None
        assert found.facts == f'born_at: "{2026 - age}-01-01T00:00:00+08:00"'
