"""`chengma his unsettled` lists the visits for which a hospital that settles itself must act."""

import pytest
from click.testing import CliRunner

from backend.settings import Settings
from backend.store.migrations import find_migrations, migrate
from integrations.his.command import his
from tests.services.medical_credit.scene import Patient, Scene


def test_a_visit_that_waits_for_the_hospital_is_listed(
    scene: Scene, patient: Patient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("store", "keys", "sandbox", "rules"):
        monkeypatch.setenv(f"CHENGMA_{name.upper()}", getattr(settings, name))
    city = scene.city
    scene.call(lambda: migrate(city.store, find_migrations(), lambda _one, _seen: None, rebind=city.encryption.rebind))
    scene.first = scene.hospital("HZ009", "自行结算医院", settles="hospital")
    scene.opens(patient)
    scene.charges("L1", 10_000)
    first = CliRunner().invoke(his, ["unsettled", "HZ009", "--days", "3650"])
    assert first.exit_code == 0, first.output
    scene.closes()
    listed = CliRunner().invoke(his, ["unsettled", "HZ009", "--days", "3650"])
    assert listed.exit_code == 1
    assert "V1" in listed.output
    assert "the hospital settles it (2207 or 2304)" in listed.output
