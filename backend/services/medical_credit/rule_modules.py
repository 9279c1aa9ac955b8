"""The rule modules that medical credit evaluates."""

from typing import Literal, get_args

from backend.rulebook.needs import NUMBERS, RuleModule
from backend.services.medical_credit.facts import CreditFacts, StandingFacts, TermAsked

LIMIT = {"outpatient": "medical_credit.limit", "inpatient": "medical_credit.inpatient_limit"}
STANDING = "medical_credit.standing"
TERMS = "medical_credit.terms"

Standing = Literal["good", "exception", "exhausted", "suspended", "ineligible"]

RULE_MODULES = [
    *(RuleModule(module, CreditFacts, NUMBERS) for module in LIMIT.values()),
    RuleModule(STANDING, StandingFacts, get_args(Standing)),
    RuleModule(TERMS, TermAsked, NUMBERS),
]
