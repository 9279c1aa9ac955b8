"""The talent code: one code for a talent, a class with reasons, and benefits that pay in seconds."""

from backend.service import Service
from backend.services.talent_code.facts import AuditFacts, BenefitFacts, TalentFacts, TalentTermAsked
from backend.text import Text

service = Service(
    name="talent_code",
    title=Text(zh="人才码", en="Talent code"),
    routes=[],
    facts=[TalentFacts, BenefitFacts, AuditFacts, TalentTermAsked],
)
