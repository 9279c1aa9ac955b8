"""A kernel that Python runs from its source, which costs no compilation."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from backend.rulebook.modules.module import Module
from backend.rulebook.preview import arithmetic
from backend.rulebook.preview.kernel import Kernel
from backend.rulebook.preview.kernel_source import ARGUMENTS, Mode, kernel_source
from backend.rulebook.verdict import Law


def _as_it_is(function: object) -> object:
    return function


def _check(certain: bool) -> None:
    assert certain, "machine code takes this for granted"


def interpreted(module: Module, law: Law, mode: Mode) -> Kernel:
    """Return a kernel that Python runs from its source. Raises Unsupported, UnsupportedLayout or TooManyRules."""
    source = kernel_source(module, law, mode)
    plain = {name: getattr(part, "py_func", part) for name, part in vars(arithmetic).items()}
    names: dict[str, Any] = {"arithmetic": SimpleNamespace(**plain), "compiled": _as_it_is, "assume": _check}
    exec(source.text[source.text.index("@compiled") :], names)  # noqa: S102  our own source

    def run(low: int, high: int, now: int, *arrays: np.ndarray[Any, Any]) -> None:
        outputs = len(ARGUMENTS) - 3
        wide = [
            array if place in (outputs - 1, outputs - 2) or array.dtype == np.float64 else array.astype(np.int64)
            for place, array in enumerate(arrays)
        ]  # Python's numbers of 8 bits would overflow where machine code widens them
        with np.errstate(all="ignore"):  # infinities and what is no number, as in machine code
            names["kernel"](low, high, now, *wide)

    return Kernel(source, run, mode == "fire" or module.strategy in ("sum", "collect"))
