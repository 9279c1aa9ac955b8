"""Random edits of thresholds, dates and operators: the prover agrees with a search over many small people."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import pytest
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, Verdict, make_rulebook
from backend.rulebook.modules.struct_reader import StructReader
from backend.rulebook.modules.yaml_document import read_document
from backend.rulebook.prover.claims import Added, Apart, Changed, Claim, Compared, Decided, Never, Subject
from backend.rulebook.prover.proof import prove_editions
from backend.rulebook.prover.report import Counterexample
from backend.services.health_code.facts import HealthFacts
from backend.services.medical_credit.facts import CreditFacts, StandingFacts
from backend.services.school_lookup.facts import AdmissionFacts, ParentFacts, SeatFacts
from backend.services.talent_code.facts import AuditFacts, BenefitFacts
from tests.conftest import ROOT
from tests.rulebook.prover.small_people import SmallPeople, edited
from tests.rulebook.tram import CITY, FARE, REFUND, Delay, Rider

SOAK = os.environ.get("CHENGMA_SOAK") == "1"
GROUPS, EDITS = (20, 100) if SOAK else (10, 10)
"""2,000 edits in a soak, 100 otherwise."""

PEOPLE = 120
FACTS: list[type[Struct]] = [Rider, Delay, HealthFacts, CreditFacts, StandingFacts]
FACTS += [AdmissionFacts, ParentFacts, SeatFacts, AuditFacts, BenefitFacts]

PASSES = FARE.replace(
    "otherwise:",
    """\
  - id: returned
    from: 2020-01-01
    when: facts.passes.exists(p, has(p.returned_at) && p.returned_at - p.bought_at < lasts) && facts.waits >= lasts
    then: free
    because: {zh: 已退票, en: Returned}
    source: "[S] council"
  - id: many
    from: 2021-01-01
    when: size(facts.passes.filter(p, p.kind == "year")) >= 2 || facts.home == "east" && facts.age >= 70
    then: half
    because: {zh: 多张年票, en: Several year passes}
    source: "[S] council"
  - id: all-returned
    from: 2021-01-01
    when: size(facts.passes) > 1 && facts.passes.all(p, p.kind == "day" || has(p.returned_at))
    then: full
    because: {zh: 均已退票, en: All returned}
    source: "[S] council"
otherwise:""".replace('facts.home == "east"', 'has(facts.home) && facts.home == "east"'),
)
CITY_MODULES = (
    "health_code.frame",
    "medical_credit.inpatient_limit",
    "medical_credit.limit",
    "medical_credit.standing",
    "school_lookup.general_batch",
    "school_lookup.points",
    "school_lookup.seat_warning",
    "school_lookup.ties",
    "talent_code.audit",
    "talent_code.benefits.graduate_allowance",
    "talent_code.benefits.home_purchase",
    "talent_code.benefits.tax_reward",
)
TEXTS = {
    "tram.fare": PASSES,
    "tram.refund": REFUND.replace("    combines_with: [tram.fare]\n", ""),
    **{
        name: ROOT.joinpath("rules", *name.split(".")).with_suffix(".yaml").read_text(encoding="utf-8")
        for name in CITY_MODULES
    },
}
MODULES = (*["tram.fare"] * 4, *["tram.refund"] * 2, *CITY_MODULES)
NEVER: tuple[Never, ...] = ("worse", "better", "different")
PATHS: dict[str, tuple[Subject, ...]] = {
    "tram.fare": (
        Added(("passes",), None, "worse"),
        Changed("earlier", ("passes", "bought_at"), "worse"),
        Changed("later", ("passes", "bought_at"), "better"),
        Changed("less", ("age",), "worse"),
        Changed("more", ("waits",), "worse"),
        Apart("child", "many"),
        Decided(),
    ),
    "tram.refund": (Changed("more", ("minutes",), "worse"), Decided(), Apart("long-delay", "delay")),
    "health_code.frame": (Added(("doses",), None, "worse"),),
    "medical_credit.standing": (Added(("owing",), None, "better"), Changed("more", ("arrears_fen",), "better")),
    "school_lookup.general_batch": (Changed("earlier", ("registration", "since"), "worse"), Decided()),
}


@dataclass(frozen=True)
class Tried:
    """A claim, and the editions it is about."""

    name: str
    old: Rulebook
    new: Rulebook
    claim: Claim

    def verdicts(self, facts: Struct, other: Struct | None, at: datetime) -> tuple[Verdict, Verdict]:
        if other is not None:
            return self.new.evaluate(self.name, facts, at), self.new.evaluate(self.name, other, at)
        return self.old.evaluate(self.name, facts, at), self.new.evaluate(self.name, facts, at)

    def contradicted(self, facts: Struct, other: Struct | None, at: datetime) -> bool:
        """Return whether this person contradicts the claim, by the engine alone."""
        before, after = self.verdicts(facts, other, at)
        module = self.new.modules[self.name]
        match self.claim.subject:
            case Apart(one, two):
                return {one, two} <= {*after.fired}
            case Decided():
                return not after.fired
            case Compared(never=never) | Changed(never=never) | Added(never=never):
                pass
            case _:
                raise AssertionError
        if module.strategy == "collect":
            nothing = {module.otherwise.then}
            one, two = set(before.result) - nothing, set(after.result) - nothing
            return bool({"worse": two - one, "better": one - two, "different": one ^ two}[never])
        place: Callable[[Any], Any] = (lambda result: -result) if module.numeric else module.result.index
        lower, higher = place(before.result), place(after.result)
        return {"worse": higher > lower, "better": higher < lower, "different": higher != lower}[never]


def edition(name: str, text: str) -> Rulebook | None:
    file = SourceFile(f"rules/{name}.yaml", text, [])
    try:
        return make_rulebook({name: file}, FACTS, CITY)
    except InvalidRulebook:
        return None


def draw(random: Random) -> Tried:
    """Draw a module, an edit of it, and a claim about the two."""
    name = random.choice(MODULES)
    old = edition(name, TEXTS[name])
    assert old is not None
    new = None
    while new is None:
        text = TEXTS[name]
        for _ in range(random.choice([1, 1, 2])):
            text = edited(text, random)
        new = edition(name, text)
    subject: Subject = Compared(random.choice(NEVER))
    if name in PATHS and random.random() < 0.4:
        subject = random.choice(PATHS[name])
    return Tried(name, old, new, Claim("tried", Text(zh="主张", en="claim"), subject, new.modules[name].numeric))


def search(tried: Tried, random: Random) -> tuple[Struct, Struct | None, datetime] | None:
    """Search for a counterexample among small people."""
    people = SmallPeople([tried.old, tried.new], tried.name, random)
    subject = tried.claim.subject
    for _ in range(PEOPLE):
        at = people.draw_instant()
        facts = people.draw()
        other = None
        if isinstance(subject, Changed):
            other = _changed(people, facts, subject)
        elif isinstance(subject, Added):
            longer = people.draw()
            (field,) = subject.path
            more = getattr(longer, field)[:1]
            other = people.changed(facts, subject.path, (*getattr(facts, field), *more)) if more else None
        if isinstance(subject, Changed | Added) and other is None:
            continue
        if tried.contradicted(facts, other, at):
            return facts, other, at
    return None


def _changed(people: SmallPeople, facts: Struct, subject: Changed) -> Struct | None:
    value: Any = facts
    for name in subject.path:
        value = getattr(value[0] if isinstance(value, tuple) and value else value, name, None)
    donor: Any = people.draw()
    for name in subject.path:
        donor = getattr(donor[0] if isinstance(donor, tuple) and donor else donor, name, None)
    if value is None or donor is None or type(value) is not type(donor):
        return None
    lower = donor < value if subject.direction in ("earlier", "less") else donor > value
    return people.changed(facts, subject.path, donor) if lower else None


def facts_in(text: str, struct: type[Struct]) -> Struct:
    """Read the facts that a counterexample shows, as an author would."""
    file = SourceFile("facts.yaml", text, [])
    root = read_document(file)
    assert root is not None
    found = StructReader(file).struct(root, struct)
    assert found is not None, [str(fault) for fault in file.faults]
    return found


def shown_person_contradicts(tried: Tried, shown: Counterexample) -> bool:
    struct = tried.new.modules[tried.name].facts
    other = None if shown.changed is None else facts_in(shown.changed, struct)
    return tried.contradicted(facts_in(shown.facts, struct), other, shown.at)


@pytest.mark.parametrize("group", range(GROUPS), ids=lambda group: f"group-{group}")
def test_no_counterexample_is_spurious_and_none_is_missed(group: int) -> None:
    found = {"holds": 0, "counterexample": 0, "unknown": 0}
    for number in range(EDITS):
        random = Random(group * EDITS + number)
        tried = draw(random)
        (result,) = prove_editions(tried.old, tried.new, {tried.name: [tried.claim]}, 30).results
        found[result.answer] += 1
        where = f"edit {group * EDITS + number} of {tried.name}: {tried.claim.subject}"
        assert result.answer != "unknown", (where, result.left_out)
        if result.counterexample is not None:
            assert shown_person_contradicts(tried, result.counterexample), (where, result.counterexample)
        else:
            assert search(tried, random) is None, where
    assert found["counterexample"]


def test_the_search_itself_finds_what_the_prover_finds() -> None:
    """Otherwise it could not tell that a counterexample was missed."""
    both = 0
    for seed in range(12):
        random = Random(seed)
        tried = draw(random)
        (result,) = prove_editions(tried.old, tried.new, {tried.name: [tried.claim]}, 30).results
        both += result.counterexample is not None and search(tried, random) is not None
    assert both >= 3
