import pytest

from tests.conftest import Clock, SignIn
from tests.integrations.his.fhir.hospital_system import HospitalSystem
from tests.services.medical_credit.scene import Client, Patient, Scene


@pytest.fixture
def scene(client: Client, clock: Clock, sign_in: SignIn) -> Scene:
    return Scene(client, clock, sign_in)


@pytest.fixture
def patient(scene: Scene) -> Patient:
    return scene.patient()


@pytest.fixture
def first(scene: Scene) -> HospitalSystem:
    """Return the system of the first hospital, with all scopes."""
    return HospitalSystem(scene, scene.first)


@pytest.fixture
def second(scene: Scene) -> HospitalSystem:
    return HospitalSystem(scene, scene.hospital("HZ002", "市第二医院"))
