"""The prover: claims about a rule module, decided for every person instead of for the cases that an author thought of.

It needs the optional package `z3-solver` (`make authors`). Only this package imports it, and only when a proof begins.
Read `claims`, then `encoder`, then `proof`.
"""

from importlib.util import find_spec


def is_installed() -> bool:
    """Return whether the solver that the prover needs is installed."""
    return find_spec("z3") is not None
