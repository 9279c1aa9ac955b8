"""The three-colour health code: a colour to trust, the reason for it, and a QR code that proves it at a gate."""

from backend.city.service import CodeFormat, Service
from backend.i18n import Text
from backend.services.health_code import api, gate, officer
from backend.services.health_code.code import AUDIENCE, read_offline
from backend.services.health_code.demo import demo
from backend.services.health_code.facts import HealthFacts
from backend.services.health_code.invention import synthesize
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, ScanClaim, Visit

service = Service(
    name="health_code",
    title=Text(zh="健康码", en="Health code"),
    routes=[
        api.show_health_code,
        api.show_history,
        api.show_svg,
        api.show_png,
        api.declare_health,
        api.check_in,
        gate.verify_code,
        officer.report_health_events,
    ],
    documents=[HealthRecord, HealthEventReceipt, Visit, ScanClaim],
    facts=[HealthFacts],
    roles=["gate", "health_officer"],
    synthesize=synthesize,
    codes=[CodeFormat(AUDIENCE, read_offline)],
    demo=demo,
)
