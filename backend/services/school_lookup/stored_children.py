"""The children whom the city knows, so that a preview can count who may enter school.

Nothing that a family tells for a lookup is stored. Only the age module decides on what profiles have.
"""

from collections.abc import Sequence
from datetime import datetime

from backend.city.person import Person, age
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.temporal import midnight
from backend.rulebook.preview.groups import Groups
from backend.services.school_lookup.facts import AgeFacts
from backend.store import Store

ADULT_YEARS = 18
SEPTEMBER = 9
AGES = Groups(title=Text(zh="年龄", en="age"), born="born_at", ages=(5, 6, 7, 8))


async def gather_children(_store: Store, _module: str, at: datetime, people: Sequence[Person]) -> list[Person | None]:
    """Return those who are children at an instant; None for others, and for people whose day of birth is not known."""
    day = at.date()
    return [
        person if person.born_on is not None and age(person.born_on, day) < ADULT_YEARS else None for person in people
    ]


def stored_age_facts(child: Person, _module: str, rulebook: Rulebook, at: datetime) -> AgeFacts:
    """Return the facts that decide whether a child may enter primary school on the next 1 September, not deferred."""
    assert child.born_on is not None, "others are not gathered"
    day = at.astimezone(rulebook.time_zone).date()
    year = day.year + (day.month >= SEPTEMBER)
    return AgeFacts(stage="primary", year=year, born_at=midnight(child.born_on, rulebook.time_zone))
