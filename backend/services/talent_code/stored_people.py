"""What is stored of everybody for a benefit, so that a preview can count a whole city: profiles, talents and claims."""

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from backend.benefits.answers import kept_answers
from backend.benefits.terms import MAX_FEN
from backend.city.person import Person
from backend.rulebook import Rulebook
from backend.rulebook.language.temporal import midnight
from backend.rulebook.modules.declared_facts import declared_facts
from backend.rulebook.preview.possible import PartlyKnown
from backend.services.talent_code.claims import unknown_figures
from backend.services.talent_code.declared import facts_on_profile
from backend.services.talent_code.facts import BenefitFacts, BenefitTerms, TalentFacts
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Talent, benefit_facts, talent_facts
from backend.store import Store


class StoredPerson(Struct, frozen=True):
    """A person, as a talent if they have opened the talent code, and their latest claim to a benefit."""

    person: Person
    talent: Talent | None
    claim: Claim | None
    derived: dict[tuple[type[Struct], bool, int], Any] = field(
        default_factory=dict[tuple[type[Struct], bool, int], Any]
    )
    """The facts of one who is no talent: they stay the same within a year, and are asked for thirty times."""

    def as_talent(self, zone: ZoneInfo) -> Talent:
        """Return the talent that the person is, or would be after opening the talent code."""
        if self.talent is not None:
            return self.talent
        assert self.person.born_on is not None, "others are not gathered"
        return Talent(id=self.person.id, code_id="", born_at=midnight(self.person.born_on, zone))


async def gather_people(
    store: Store, module: str, _at: datetime, people: Sequence[Person]
) -> list[StoredPerson | None]:
    """Read what a benefit's facts are derived from; None for people whose day of birth is not known.

    No benefit is open to them before they tell it.
    """
    benefit = module.removeprefix(BenefitTerms.module_prefix)
    talents = await store.get_many(Talent, [person.id for person in people])
    latest = {
        talent.id: past.claim for talent in talents.values() for past in talent.past_claims if past.benefit == benefit
    }
    claims = await store.get_many(Claim, list(latest.values()))
    return [
        StoredPerson(person, talents.get(person.id), claims.get(latest.get(person.id, "")))
        if person.id in talents or person.born_on is not None
        else None
        for person in people
    ]


def stored_benefit_facts(stored: StoredPerson, module: str, rulebook: Rulebook, at: datetime) -> Any:  # noqa: ANN401  facts, or a PartlyKnown
    """Return the facts that decide a benefit at an instant, or those that are known of them.

    As in the list of benefits, the person owns no home, and spends as much as a benefit takes that depends on it.
    Not known are figures of the social insurance and the tax bureau that were not asked for yet, and facts that the
    benefit declares, unless the profile has them or the person's latest claim to this benefit keeps them.
    """
    terms, zone = rulebook.terms(module, at), rulebook.time_zone
    struct = rulebook.modules[module].facts
    spends = isinstance(terms, BenefitTerms) and terms.depends_on_spending
    year = at.astimezone(zone).year
    key = (struct, spends, year)
    if key not in stored.derived:
        facts = _facts(stored, struct, zone, at, spends=spends, last_year=year - 1)
        if stored.talent is not None:
            return facts
        stored.derived[key] = facts
    return stored.derived[key]


def _facts(
    stored: StoredPerson, struct: type[Struct], zone: ZoneInfo, at: datetime, *, spends: bool, last_year: int
) -> Any:  # noqa: ANN401  facts, or a PartlyKnown
    talent = stored.as_talent(zone)
    facts = benefit_facts(talent, {"spent_fen": MAX_FEN} if spends else {}, at)
    unknown = unknown_figures(talent, last_year)
    if struct is BenefitFacts:
        return PartlyKnown(facts, frozenset(unknown)) if unknown else facts
    declared = _declared(stored, struct)
    unknown |= {fact.name for fact in declared_facts(struct) if fact.name not in declared}
    known = {name: getattr(facts, name) for name in BenefitFacts.__struct_fields__} | declared
    return PartlyKnown(SimpleNamespace(**known), frozenset(unknown)) if unknown else struct(**known)


def _declared(stored: StoredPerson, struct: type[Struct]) -> dict[str, Any]:
    """Return those of the facts that a benefit declares which are stored, by their names."""
    kept = {} if stored.claim is None else kept_answers(struct, stored.claim.declared)
    on_profile = [fact for fact in declared_facts(struct) if fact.source.startswith("profile.")]
    return kept | {fact.name: facts_on_profile(stored.person, fact) for fact in on_profile}


def stored_class_facts(talent: Talent, _module: str, rulebook: Rulebook, at: datetime) -> TalentFacts:
    """Return the facts that decide the class of a stored talent at an instant."""
    return talent_facts(talent, at, rulebook.time_zone)
