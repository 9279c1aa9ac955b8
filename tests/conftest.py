"""A small city of its own for each test: a temporary store and keys, the real rules, and a clock that stands still."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.app import create_app
from backend.settings import Settings

ROOT = Path(__file__).parent.parent


class Clock:
    """Tells the instant that a test has set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2022, 4, 20, 4, 0, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        store=f"sqlite:///{tmp_path}/city.db",
        keys=str(tmp_path / "keys"),
        rules=str(ROOT / "rules"),
        development=True,
        access_log=False,
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
    )


@pytest.fixture
def app(settings: Settings, clock: Clock) -> Litestar:
    return create_app(settings, clock=clock)


@pytest.fixture
def client(app: Litestar) -> Iterator[TestClient[Litestar]]:
    with TestClient(app) as client:
        yield client
