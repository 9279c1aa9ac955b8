import pytest

from tests.conftest import Clock, SignIn
from tests.services.medical_credit.scene import Client, Patient, Scene


@pytest.fixture
def scene(client: Client, clock: Clock, sign_in: SignIn) -> Scene:
    return Scene(client, clock, sign_in)


@pytest.fixture
def patient(scene: Scene) -> Patient:
    return scene.patient()
