"""The prover: claims about a rule module, decided for every person instead of for the cases that an author thought of.

It needs the optional package `z3-solver` (`make authors`). Only this package imports it, and only when a proof begins.
Read `claims`, then `encoder`, then `proof`.
"""

from importlib.util import find_spec

from backend.i18n import Text

NOT_INSTALLED = Text(
    zh="证明需要求解器 z3，请先运行 make authors",
    en="a proof needs the solver z3: run `make authors` first",
)


def is_installed() -> bool:
    """Return whether the solver that the prover needs is installed."""
    return find_spec("z3") is not None
