"""A city that is set to the national interface settles its visits there; the commands for those who connect it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from backend.services.medical_credit.ports import Insurance
from backend.settings import InvalidSettings, Settings
from integrations._sandbox.database import CallOutcome
from integrations.insurance import envelope, integration
from integrations.insurance.command import insurance
from integrations.insurance.national import NationalInsurance
from integrations.insurance.sandbox import SandboxInsurance
from integrations.insurance.signatures import SigningKeys
from tests.conftest import ROOT, Clock, SignIn
from tests.integrations.insurance_interface import SM2_CITY, SM3, Interface
from tests.services.medical_credit.scene import Client, Scene


@pytest.fixture
def interface(tmp_path: Path) -> Iterator[Interface]:
    found = Interface(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("outcome", ["fine", "lost_after", "wrong", "refused"])
def test_a_visit_is_billed_once_whatever_the_interface_answers_first(
    client: Client, clock: Clock, sign_in: SignIn, interface: Interface, outcome: CallOutcome
) -> None:
    scene = Scene(client, clock, sign_in)
    patient = scene.patient()
    ports: Any = scene.city.ports
    ports[Insurance] = interface.adapter(seconds=2.0)
    interface.books.database.script_outcomes("2207", outcome)
    scene.billed(patient, 20_000)
    scene.time_passes(minutes=3)
    visit = scene.advanced()
    assert (visit.stage(), visit.bill_count) == ("billed", 1)
    assert visit.settlement is not None
    in_force = interface.books.in_force()[visit.id]
    assert (in_force.cash_fen, in_force.settlement_id) == (
        visit.settlement.split.cash_fen,
        visit.settlement.split.settlement_id,
    )
    scene.cancels()
    scene.advanced()
    assert interface.books.in_force() == {}


def test_the_settings_choose_the_interface_or_its_sandbox(tmp_path: Path) -> None:
    assert integration.make is not None
    assert isinstance(integration.make(Settings(sandbox=str(tmp_path / "s.db"))), SandboxInsurance)
    url = "https://insurance.example/fsi"
    complete = Settings(insurance_url=url, insurance_key=SM2_CITY.own, insurance_public_key=SM2_CITY.other)
    assert isinstance(integration.make(complete), NationalInsurance)
    assert isinstance(
        integration.make(Settings(insurance_url=url, insurance_signature="SM3", insurance_key=SM3.own)),
        NationalInsurance,
    )


@pytest.mark.parametrize("key", ["", "secret", "00", SM2_CITY.own], ids=["none", "no number", "short", "own only"])
def test_an_incomplete_key_stops_the_start_and_is_not_shown(key: str) -> None:
    assert integration.make is not None
    with pytest.raises(InvalidSettings) as caught:
        integration.make(Settings(insurance_url="https://insurance.example", insurance_key=key))
    assert key in ("", "00") or key not in str(caught.value)


def check_printed_keys() -> None:
    printed = CliRunner().invoke(insurance, ["keys"])
    private, public = (line.split()[1] for line in printed.output.splitlines())
    keys = SigningKeys("SM2", private, public)
    assert keys.are_complete()
    members = {"signtype": "SM2", "a": 1}
    assert keys.verify({**members, "cainfo": keys.sign(members)})


def test_new_keys_are_printed_and_sign() -> None:
    check_printed_keys()


def test_a_private_key_that_begins_with_zeros_is_printed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda _: 1 << 240)
    check_printed_keys()


def test_the_sandbox_is_served_by_a_command(tmp_path: Path) -> None:
    arguments = ["insurance", "sandbox", "--port", "0", "--type", "SM3", "--own", SM3.own]
    run = [sys.executable, "-m", "backend", *arguments]
    environment = {**os.environ, "CHENGMA_SANDBOX": str(tmp_path / "sandbox.db")}
    with subprocess.Popen(run, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "running on" in line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found is not None
            with urlopen(Request(found[0], b"{}"), timeout=5) as response:  # noqa: S310  a local sandbox
                answer = envelope.parse(response.read())
        finally:
            process.terminate()
    assert answer is not None
    assert "infno is missing" in answer["err_msg"]
    assert SM3.verify(answer)
