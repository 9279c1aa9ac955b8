"""School lookup: which schools may admit a child, by household registration and home.

A parent enters the family, or lets the city read it from its registers, and gets every possible school with the batch,
the reason, the chance of admission, the documents to bring, and what would change the result.

Read `facts` and `plan` first (what is known of a family and of a district), then `addresses`, `atlas` and `geocoding`
(which catchments a place belongs to), `admission` (what the rules decide), and `lookup`, which assembles the result.
`addresses` reads with `address_text`, `numerals` and `divisions`: characters, numbers, and cities and districts.
`editions` stores plans and holds those in force in memory; `plan_check` checks a plan before it is imported.
"""

from backend.city.person import Person
from backend.city.service import Service, StoredFacts, routes_of
from backend.i18n import Text
from backend.services.school_lookup.api import lookups, plans
from backend.services.school_lookup.model import SchoolCatchments, SchoolEdition, SchoolPlan
from backend.services.school_lookup.rule_modules import AGE, RULE_MODULES
from backend.services.school_lookup.stored_children import AGES, gather_children, stored_age_facts
from backend.services.school_lookup.synthetic import synthesize

service = Service(
    name="school_lookup",
    title=Text(zh="入学查询", en="School lookup"),
    routes=routes_of(lookups, plans),
    documents=[SchoolEdition, SchoolCatchments, SchoolPlan],
    rule_modules=RULE_MODULES,
    stored_facts=[
        StoredFacts(
            kind=Person,
            modules=[AGE],
            gather=gather_children,
            derive=stored_age_facts,
            groups=AGES,
            by_district=True,
        )
    ],
    synthesize=synthesize,
)
