"""How many examples a property test draws: few in `make test`, many in `make soak`."""

import os

SOAK = os.environ.get("CHENGMA_SOAK") == "1"


def draws(quick: int, soak: int) -> int:
    """Return how many examples to draw: `quick` in `make test`, `soak` in `make soak`."""
    return soak if SOAK else quick
