"""How property tests draw examples: few in `make test`, many in `make soak`, and as slowly as the machine is."""

import os

from hypothesis import HealthCheck, Phase, settings

SOAK = os.environ.get("CHENGMA_SOAK") == "1"

settings.register_profile("any machine", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("any machine")
if SOAK:  # a failure is reported at once: a run that is stopped while it shrinks one would look as if it had passed
    settings.register_profile("soak", phases=(Phase.explicit, Phase.reuse, Phase.generate))
    settings.load_profile("soak")


def draws(quick: int, soak: int) -> int:
    """Return how many examples to draw: `quick` in `make test`, `soak` in `make soak`."""
    return soak if SOAK else quick
