"""The environment of the `chengma` command in tests."""

import os
import socket
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment that an operator sets, with all files in a temporary folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "CHENGMA_PORT": str(port),
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_STORE": f"sqlite:///{tmp_path}/var/city.db",
        "CHENGMA_KEYS": str(tmp_path / "var" / "keys"),
    }
