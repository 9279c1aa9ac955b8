"""The one place that knows numba: machine code for functions over arrays, compiled at their first call and cached."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba  # pyright: ignore[reportMissingTypeStubs]  untyped library

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}

VERSION = str(numba.__version__)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  untyped library


def compiled(function: F) -> F:
    """Return the function as machine code, kept on disk between processes. It runs without the interpreter's lock.

    A division by zero is infinite or arbitrary instead of an error: the checker proves that none decides a rule. It may
    not make arrays, so it need not count references to those it gets, which took four fifths of the readers' time.
    """
    compile_ = numba.njit(cache=True, **OPTIONS)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped library
    return cast("F", compile_(function))
