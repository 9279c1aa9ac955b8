"""Long runs that go on where they stopped: what was found is kept until the code or the tests that it is of change."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.draws import SOAK

RULEBOOK = ("backend/rulebook", "rules", "tests/rulebook", "tests/rules")


def kept(request: pytest.FixtureRequest, name: str, work: Callable[[], Any], sources: Sequence[str] = RULEBOOK) -> Any:  # noqa: ANN401  what work returns
    """Return what `work` returns, as JSON; in `make soak`, what it returned in an earlier run of the same sources.

    `sources` are the folders of all that it depends on.
    """
    known: Any = request.config.cache
    key = f"soak/{_digest(tuple(sources))}/{name}"
    found = known.get(key, None) if SOAK else None
    if found is None:
        found = work()
        if SOAK:
            known.set(key, found)
    return found


def folder_of(request: pytest.FixtureRequest, name: str, temporary: Path, sources: Sequence[str]) -> Path:
    """Return a folder in `temporary`; in `make soak`, the one of earlier runs of the same sources."""
    folder = temporary / name
    if SOAK:
        folder = request.config.cache.mkdir(f"soak-{_digest(tuple(sources))}") / name
    folder.mkdir(exist_ok=True)
    return folder


@cache
def _digest(folders: Sequence[str]) -> str:
    """Return a digest of the sources in these folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(ROOT.joinpath(folder).rglob("*")):
            if path.suffix in (".py", ".yaml", ".lark"):
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
