"""The invented district's plan of this year, for a synthetic city."""

from collections.abc import Iterator, Sequence
from random import Random

from backend.city.person import Person
from backend.city.service import City
from backend.services.school_lookup.editions import parts_of, plan_id
from backend.services.school_lookup.model import Imported, SchoolPlan
from backend.services.school_lookup.synthetic_district import invented_plan
from backend.store import Document


def synthesize(city: City, chance: Random, _profiles: Sequence[Person]) -> Iterator[Document]:
    """Make the documents of the invented district, whoever lives in the city."""
    plan = invented_plan(city.today().year, chance.randrange(1_000_000))
    parts = parts_of(plan)
    yield from parts
    yield SchoolPlan(id=plan_id(plan.heading), imported=(Imported(parts[-1].id, city.now()),))
