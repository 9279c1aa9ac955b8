from collections.abc import Callable
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.services.school_lookup.editions import store_plan
from tests.conftest import Clock
from tests.services.school_lookup.scene import PLAN, SPRING

LookUp = Callable[..., httpx.Response]


@pytest.fixture
def clock() -> Clock:
    return Clock(SPRING)


@pytest.fixture
def published(client: TestClient[Litestar]) -> TestClient[Litestar]:
    """A city whose test district has published its plan."""
    assert client.blocking_portal is not None
    client.blocking_portal.call(store_plan, client.app.state.city.store, PLAN, SPRING)
    return client


@pytest.fixture
def look_up(published: TestClient[Litestar]) -> LookUp:
    """Look up the schools of a family."""

    def post(family: dict[str, Any], **more: object) -> httpx.Response:
        return published.post("/v1/school-lookups", json={"family": family, **more})

    return post
