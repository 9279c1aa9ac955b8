"""Laws as machine code over columns. A kernel is kept on disk, so only the first preview of new rules compiles."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from backend.rulebook.modules.module import Module
from backend.rulebook.preview import arithmetic, jit
from backend.rulebook.preview.columns import Columns, Integers
from backend.rulebook.preview.kernel_source import KernelSource, Mode, kernel_source
from backend.rulebook.preview.layout import Layout
from backend.rulebook.verdict import Law

FOLDER = Path(".cache", "chengma", "kernels")
"""Where kernels are kept, in the home of the user."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Decisions:
    """What a law decides for each person of columns.

    `decisive` is the place of the decisive rule among the law's rules, -1 for `otherwise`. `results` are numbers for
    the strategy `sum` and the bits of the rules that fire for `collect`; otherwise it is empty.
    """

    decisive: NDArray[np.int16]
    results: Integers


@dataclass(frozen=True)
class Kernel:
    """The compiled rules of a law."""

    source: KernelSource
    run: Callable[..., None]
    counts: bool

    @property
    def layout(self) -> Layout:
        """Return the columns that it takes; it can be run over columns with more."""
        return self.source.layout

    def decide(self, columns: Columns, now: int, threads: int = 1) -> Decisions:
        """Return what the law decides at the instant `now`, in microseconds since 1970."""
        people = columns.people
        decisive = np.full(people, -1, dtype=np.int16)
        results = np.zeros(people if self.counts else 0, dtype=np.int64)
        arguments = [*self._arguments(columns), columns.presence, decisive, results]
        arguments += [columns.arrays[name] for name in self.source.arrays]
        if threads == 1 or people <= _CHUNK:
            self.run(0, people, now, *arguments)
            return Decisions(decisive, results)
        bounds = [people * part // threads for part in range(threads + 1)]

        def part(number: int) -> None:
            self.run(bounds[number], bounds[number + 1], now, *arguments)

        list(_pool(threads).map(part, range(threads)))
        return Decisions(decisive, results)

    def _arguments(self, columns: Columns) -> list[NDArray[Any]]:
        source, known = self.source, columns.texts.numbers
        tables = np.zeros((max(1, len(source.tables)), max(1, len(known))), dtype=np.int64)
        for place, result in enumerate(source.tables):
            tables[place, : len(known)] = [result(text) for text in known]
        return [
            np.array(source.numbers, dtype=np.int64),
            np.array(source.doubles, dtype=np.float64),
            np.array([known.get(text, -2) for text in source.texts], dtype=np.int64),
            tables,
            np.array(source.zones, dtype=np.int64),
        ]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def kernel_of(module: Module, law: Law, mode: Mode = "decide") -> Kernel:
    """Return the kernel of a law. Raises Unsupported, UnsupportedLayout or TooManyRules."""
    source = kernel_source(module, law, mode)
    return Kernel(source, _compiled(source.text), mode == "fire" or module.strategy in ("sum", "collect"))


@cache
def _compiled(text: str) -> Callable[..., None]:
    """Return the machine code of a kernel; its file is named by its content, so the cache cannot be out of date."""
    functions = Path(arithmetic.__file__).read_bytes()
    digest = hashlib.sha256(text.encode() + functions + jit.VERSION.encode()).hexdigest()[:32]
    file = _folder() / f"chengma_kernel_{digest}.py"
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where cached machine code looks for it
    spec.loader.exec_module(module)
    return cast("Callable[..., None]", module.kernel)


def _folder() -> Path:
    folder = Path.home() / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
