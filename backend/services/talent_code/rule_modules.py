"""The rule modules that the talent code evaluates."""

from typing import get_args

from backend.rulebook.needs import NUMBERS, RuleModule
from backend.services.talent_code.facts import (
    AuditFacts,
    BenefitFacts,
    BenefitTerms,
    TalentClassOrNone,
    TalentFacts,
    TalentTermAsked,
)

CLASS_MODULE = "talent_code.class"
AUDIT_MODULE = "talent_code.audit"
TERMS_MODULE = "talent_code.terms"

RULE_MODULES = [
    RuleModule(CLASS_MODULE, TalentFacts, get_args(TalentClassOrNone), best="last"),
    RuleModule(f"{BenefitTerms.module_prefix}*", BenefitFacts, NUMBERS),
    RuleModule(AUDIT_MODULE, AuditFacts, ("skip", "audit")),
    RuleModule(TERMS_MODULE, TalentTermAsked, NUMBERS),
]
