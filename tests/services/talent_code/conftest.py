from collections.abc import Callable

import pytest

from backend.city.notices import Notice
from backend.services.talent_code.model.talent import Talent
from tests.conftest import Clock, SignIn
from tests.services.health_code.scene import stored
from tests.services.talent_code.desk import Desk
from tests.services.talent_code.scene import DOCTOR, Citizen, Client, Scene


@pytest.fixture
def scene(client: Client, clock: Clock, sign_in: SignIn) -> Scene:
    return Scene(client, clock, sign_in)


@pytest.fixture
def sent_notices(scene: Scene) -> Callable[[], list[str]]:
    """Return the kinds of notices about classes and evidence; check that each, also about bank cards, was kept once."""

    def sent_notices() -> list[str]:
        notices = [notice for talent in stored(scene.client, Talent) for notice in talent.notifications]
        assert all(notice.sent for notice in notices)
        assert len(stored(scene.client, Notice)) == len(notices)
        return [notice.kind for notice in notices if not notice.kind.startswith("card_")]

    return sent_notices


@pytest.fixture
def desk(scene: Scene) -> Desk:
    return Desk(scene)


@pytest.fixture
def wang(scene: Scene) -> Citizen:
    """Wang Fang, of class E."""
    return scene.talent(DOCTOR)
