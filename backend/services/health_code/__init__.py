"""The three-colour health code: citizens get a colour, the reason for it, and a QR code that proves it at a gate.

Read `facts` first (the input of the rules in `rules/health_code`), then `reports` (how facts are derived), `model`
(records, visits and decisions), `records` and `saga` (their use of the store), `code` (the QR payload), then the
routes in `api`. `tasks` completes interrupted events.
"""

from typing import get_args

from backend.city.service import CodeFormat, Service, routes_of
from backend.i18n import Text
from backend.rulebook.needs import RuleModule
from backend.services.health_code.api import citizen, gate, officer
from backend.services.health_code.code import AUDIENCE, STYLES, Colour, HealthCodeClaims
from backend.services.health_code.demo import demo
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.model import (
    COLOUR,
    FRAME,
    HealthEventReceipt,
    HealthRecord,
    ScanReservation,
    VenueVisit,
)
from backend.services.health_code.personal_data import personal_data
from backend.services.health_code.synthetic import synthesize

service = Service(
    name="health_code",
    title=Text(zh="健康码", en="Health code"),
    routes=routes_of(citizen, gate, officer),
    documents=[HealthRecord, HealthEventReceipt, VenueVisit, ScanReservation],
    rule_modules=[
        RuleModule(COLOUR, HealthFacts, get_args(Colour)),
        RuleModule(FRAME, HealthFacts, ("none", "gold")),
    ],
    roles=["gate", "health_officer"],
    synthesize=synthesize,
    codes=[CodeFormat(AUDIENCE, HealthCodeClaims, lambda claims: STYLES[claims.colour].description)],
    demo=demo,
    personal_data=personal_data,
)
