"""People and places in the tests of the health code. It is noon of 20 April 2022, unless a test sets the clock."""

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, load_rulebook
from backend.rulebook.needs import facts_of
from tests.services.health_code.scene import Clock, Scene, SignedInPerson, id_number

RULES = Path(__file__).parents[3] / "rules"


@pytest.fixture(scope="session")
def rulebook() -> Rulebook:
    return load_rulebook(RULES, facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai"))


SignIn = Callable[..., SignedInPerson]


@pytest.fixture
def sign_in(app: Litestar, sign_in: Callable[..., dict[str, str]]) -> SignIn:
    """Sign in as in all tests, but for longer than an access token is valid: these tests cover weeks."""
    return lambda phone, **who: SignedInPerson(app, sign_in(phone, **who))


@pytest.fixture
def wang(sign_in: SignIn) -> SignedInPerson:
    """Sign in Wang Fang, a citizen."""
    return sign_in("13800138001", name="王芳", id_number=id_number(1))


@pytest.fixture
def officer(sign_in: SignIn) -> SignedInPerson:
    return sign_in("13800138002", name="陈静", id_number=id_number(902), roles=("health_officer",))


@pytest.fixture
def approver(sign_in: SignIn) -> SignedInPerson:
    """Another officer, who approves what one reported."""
    return sign_in("13800138005", name="林涛", id_number=id_number(905), roles=("health_approver",))


@pytest.fixture
def gatekeeper(sign_in: SignIn) -> SignedInPerson:
    """A member of the gate staff of the West Lake museum only."""
    return sign_in("13800138003", roles=("gate",), venues=("west-lake-museum",))


@pytest.fixture
def scene(client: TestClient[Litestar], clock: Clock, officer: SignedInPerson) -> Scene:
    return Scene(client, clock, officer)
