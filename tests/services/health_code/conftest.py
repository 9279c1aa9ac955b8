"""People and places of the health code's examples. It is noon of 20 April 2022 in the city, unless a test says more."""

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.app import facts_of
from backend.city.service import discover_services
from backend.rulebook import Rulebook, load_rulebook
from tests.services.health_code.scene import Clock, Person, Scene, id_number

RULES = Path(__file__).parents[3] / "rules"


@pytest.fixture(scope="session")
def rulebook() -> Rulebook:
    return load_rulebook(RULES, facts_of(discover_services()), ZoneInfo("Asia/Shanghai"))


SignIn = Callable[..., Person]


@pytest.fixture
def sign_in(app: Litestar, sign_in: Callable[..., dict[str, str]]) -> SignIn:
    """Sign somebody in as everywhere, but for longer than an access token lives: these tests wait for weeks."""
    return lambda phone, **who: Person(app, sign_in(phone, **who))


@pytest.fixture
def wang(sign_in: SignIn) -> Person:
    """Wang Fang, a citizen, signed in."""
    return sign_in("13800138001", name="王芳", id_number=id_number(1))


@pytest.fixture
def officer(sign_in: SignIn) -> Person:
    return sign_in("13800138002", roles=("health_officer",))


@pytest.fixture
def gatekeeper(sign_in: SignIn) -> Person:
    """Someone at the gate of the west lake museum, and of no other place."""
    return sign_in("13800138003", roles=("gate",), venues=("west-lake-museum",))


@pytest.fixture
def scene(client: TestClient[Litestar], clock: Clock, officer: Person) -> Scene:
    return Scene(client, clock, officer)
