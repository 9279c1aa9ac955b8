"""This year's plan of the synthetic district, for a synthetic city."""

from collections.abc import Iterator, Sequence
from random import Random

from backend.city.person import Person
from backend.city.service import City
from backend.services.school_lookup.editions import documents_of, plan_id
from backend.services.school_lookup.model import Imported, SchoolPlan
from backend.services.school_lookup.synthetic_district import synthetic_plan
from backend.store import Document


def synthesize(city: City, rng: Random, _people: Sequence[Person]) -> Iterator[Document]:
    """Yield the documents of the synthetic district; they do not depend on the people."""
    plan = synthetic_plan(city.today().year, rng.randrange(1_000_000))
    documents = documents_of(plan)
    yield from documents
    yield SchoolPlan(id=plan_id(plan.heading), imported=(Imported(documents[-1].id, city.now()),))
