"""Which school: a parent enters household registration and home, and knows in one tap."""

from backend.city.service import Service
from backend.i18n import Text
from backend.services.school_lookup.api import public as api
from backend.services.school_lookup.facts import AdmissionFacts, AgeFacts, MigrantFacts, ParentFacts, SeatFacts
from backend.services.school_lookup.model import SchoolEdition, SchoolPlan, SchoolZones
from backend.services.school_lookup.synthetic import synthesize

service = Service(
    name="school_lookup",
    title=Text(zh="入学查询", en="School lookup"),
    routes=[
        api.look_up_schools,
        api.list_plans,
        api.show_schools_map,
        api.show_zones_map,
        api.show_schools_table,
        api.show_past_table,
    ],
    documents=[SchoolEdition, SchoolZones, SchoolPlan],
    facts=[AgeFacts, AdmissionFacts, MigrantFacts, ParentFacts, SeatFacts],
    synthesize=synthesize,
)
