"""The one place that knows numba: machine code for functions over arrays, compiled at their first call and cached."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba  # pyright: ignore[reportMissingTypeStubs]  untyped library
from llvmlite import ir  # pyright: ignore[reportMissingTypeStubs]  untyped library
from numba.core import types  # pyright: ignore[reportMissingTypeStubs]  untyped library
from numba.extending import intrinsic  # pyright: ignore[reportMissingTypeStubs]  untyped library

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


def inlined(function: F) -> F:
    """Return the function as machine code within each caller: a call would pass seven numbers for each array."""
    compile_ = numba.njit(cache=True, forceinline=True, **OPTIONS)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped library
    return cast("F", compile_(function))


def _load(bits: int, *, signed: bool = False, swapped: bool = False) -> Callable[[Any, int], int]:
    """Return a function that compiled code calls: it reads a number of so many bits at any place of an array of bytes.

    One instruction, where numba would read each byte and ask whether its place is negative. The place
    must be within the array. The least significant byte is first, or last if `swapped`.
    """

    def load(_context: Any, buffer: Any, _at: Any) -> Any:  # noqa: ANN401  untyped library
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401  untyped library
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [arguments[1]])
            value = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()), align=1)
            value = builder.bswap(value) if swapped else value
            if bits == 64:  # noqa: PLR2004  the width of all numbers here
                return value
            return (builder.sext if signed else builder.zext)(value, ir.IntType(64))

        return types.int64(buffer, types.int64), code

    return cast("Callable[[Any, int], int]", intrinsic(load))


def _assume(_context: Any, condition: Any) -> Any:  # noqa: ANN401  untyped library
    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401  untyped library
        builder.assume(arguments[0])
        return context.get_dummy_value()

    return types.none(condition), code


assume = cast("Callable[[bool], None]", intrinsic(_assume))
"""Tells the compiler what is certain: of a number that is not negative, it then does not ask in each index."""

uint8 = _load(8)
int32 = _load(32, signed=True)
int64 = _load(64)
uint16_swapped = _load(16, swapped=True)
uint32_swapped = _load(32, swapped=True)
int64_swapped = _load(64, swapped=True)
