"""`chengma his reconcile` without a file prints the city's records of a day."""

import pytest
from click.testing import CliRunner

from backend.settings import Settings
from backend.store.migrations import find_migrations, migrate
from integrations.his.command import his
from tests.services.medical_credit.scene import Patient, Scene


def test_a_day_on_which_nothing_was_settled_has_no_records_and_the_command_says_so(
    scene: Scene, patient: Patient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("store", "keys", "sandbox", "rules"):
        monkeypatch.setenv(f"CHENGMA_{name.upper()}", getattr(settings, name))
    city = scene.city
    scene.call(lambda: migrate(city.store, find_migrations(), lambda _one, _seen: None, rebind=city.encryption.rebind))
    scene.billed(patient, 20_000)
    records = CliRunner().invoke(his, ["reconcile", "HZ001", "2022-04-20"])
    assert (records.exit_code, records.stderr) == (0, "")
    assert "V1,settlement," in records.stdout
    empty = CliRunner().invoke(his, ["reconcile", "HZ001", "2022-04-19"])
    assert (empty.exit_code, empty.stdout) == (0, records.stdout.splitlines(keepends=True)[0])
    assert "No visit of HZ001 was settled on 2022-04-19" in empty.stderr
