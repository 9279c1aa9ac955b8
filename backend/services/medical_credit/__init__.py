"""See the doctor, pay later: what the insurance leaves to pay is paid once, at the end, on the city's credit."""

from backend.service import Service
from backend.services.medical_credit.facts import CreditFacts, StandingFacts, TermAsked
from backend.text import Text

service = Service(
    name="medical_credit",
    title=Text(zh="先看病后付费", en="See the doctor, pay later"),
    routes=[],
    documents=[],
    facts=[CreditFacts, StandingFacts, TermAsked],
)
