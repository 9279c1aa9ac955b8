"""The rule modules that the health code evaluates."""

from typing import Literal, get_args

from backend.rulebook.needs import RuleModule
from backend.services.health_code.facts import HealthFacts

COLOUR = "health_code.colour"
FRAME = "health_code.frame"

Colour = Literal["green", "yellow", "red"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

RULE_MODULES = [
    RuleModule(COLOUR, HealthFacts, COLOURS),
    RuleModule(FRAME, HealthFacts, ("none", "gold"), best="last"),
]
