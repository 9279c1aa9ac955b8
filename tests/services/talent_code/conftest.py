import pytest

from tests.conftest import Clock, SignIn
from tests.services.talent_code.scene import Client, Scene


@pytest.fixture
def scene(client: Client, clock: Clock, sign_in: SignIn) -> Scene:
    return Scene(client, clock, sign_in)
