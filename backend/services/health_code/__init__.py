"""The three-colour health code: citizens get a colour, the reason for it, and a QR code that proves it at a gate.

Read `facts` first (the input of the rules in `rules/health_code`), then `reports` (how facts are derived), `model`
(records, visits and decisions), `sources`, `proposals` and `quotas` (who may report, and what needs a second person),
`records` and `saga` (their use of the store), `code` (the QR payload), then the routes in `api`. `tasks` completes
interrupted events.
"""

from typing import get_args

from backend.city.service import CodeFormat, Service, StoredFacts, routes_of
from backend.i18n import Text
from backend.rulebook.preview.groups import Groups
from backend.services.health_code.api import approver, citizen, explanations, gate, officer, operator
from backend.services.health_code.code import AUDIENCE, STYLES, HealthCodeClaims
from backend.services.health_code.decisions import colour_decisions
from backend.services.health_code.demo import demo
from backend.services.health_code.model import (
    ColourChange,
    HealthEventReceipt,
    HealthRecord,
    ScanReservation,
    VenueVisit,
)
from backend.services.health_code.personal_data import personal_data
from backend.services.health_code.records import present_facts
from backend.services.health_code.rule_modules import COLOUR, FRAME, RULE_MODULES, Colour
from backend.services.health_code.sources import ReportCount, ReportingSource
from backend.services.health_code.synthetic import synthesize

AGES = Groups(title=Text(zh="年龄", en="age"), born="born_at", ages=(3, 18, 60))
"""The ages by which a preview counts people: small children, minors, adults, and the old."""

service = Service(
    name="health_code",
    title=Text(zh="健康码", en="Health code"),
    routes=routes_of(citizen, explanations, gate, officer, approver, operator),
    documents=[HealthRecord, HealthEventReceipt, ReportingSource, ReportCount, VenueVisit, ScanReservation],
    rule_modules=RULE_MODULES,
    stored_facts=[
        StoredFacts(
            kind=HealthRecord,
            modules=[COLOUR],
            history=("history", "colour"),
            history_item=ColourChange,
            history_results=get_args(Colour),
            groups=AGES,
            by_district=True,
        ),
        StoredFacts(kind=HealthRecord, modules=[FRAME], later_is_worse=False, groups=AGES, by_district=True),
    ],
    roles=["gate", "health_officer", "health_approver", "operator"],
    acts={
        "health_code.event_reported": Text(
            zh="报告了与您健康码有关的事件", en="Reported an event for your health code"
        ),
        "health_code.event_approved": Text(zh="批准了一项与您有关的报告", en="Approved a report about you"),
        "health_code.event_rejected": Text(zh="退回了一项与您有关的报告", en="Rejected a report about you"),
        "health_code.event_withdrawn": Text(zh="收回了一项未生效的报告", en="Took back a report before it had effect"),
        "health_code.proposal_read": Text(
            zh="审核时查看了与您有关的报告", en="Read a report about you, to decide on it"
        ),
    },
    authorities={
        "health_officer": Text(zh="卫生健康部门", en="The health authorities"),
        "health_approver": Text(zh="卫生健康部门审核人员", en="The health authorities' second officer"),
    },
    synthesize=synthesize,
    codes=[CodeFormat(AUDIENCE, HealthCodeClaims, lambda claims: STYLES[claims.colour].description)],
    demo=demo,
    decisions={COLOUR: colour_decisions},
    personal_data=personal_data,
    present_facts={COLOUR: present_facts, FRAME: present_facts},
)
