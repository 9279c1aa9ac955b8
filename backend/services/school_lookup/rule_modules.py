"""The rule modules that the school lookup evaluates."""

from backend.rulebook.needs import NUMBERS, RuleModule
from backend.services.school_lookup.facts import AdmissionFacts, AgeFacts, MigrantFacts, ParentFacts, SeatFacts

AGE, MIGRANT, POINTS = "school_lookup.age", "school_lookup.migrant", "school_lookup.points"
TIES, DOCUMENTS = "school_lookup.ties", "school_lookup.documents"
TIE_CRITERIA = ("nothing", "registration", "pupil_on_property", "registered_apart", "share")
SEAT_WARNING = "school_lookup.seat_warning"

RULE_MODULES = [
    RuleModule(AGE, AgeFacts, ("admissible", "too_young", "too_old")),
    RuleModule("school_lookup.*_batch", AdmissionFacts),
    RuleModule(TIES, AdmissionFacts, TIE_CRITERIA, collects=True),
    RuleModule(DOCUMENTS, AdmissionFacts, collects=True),
    RuleModule(MIGRANT, MigrantFacts, collects=True),
    RuleModule(POINTS, ParentFacts, NUMBERS),
    RuleModule(SEAT_WARNING, SeatFacts, ("green", "yellow", "red")),
]
