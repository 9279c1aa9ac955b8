"""A new hospital's engineer runs a first visit against the demonstration, and pastes the printed script."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import chengma, running
from tests.servers import chengma as start
from tests.servers import free_port, listens, wait_until

pytestmark = pytest.mark.slow


def test_a_first_visit_runs_over_both_interfaces_and_is_printed_as_a_script(
    environment: dict[str, str], tmp_path: Path
) -> None:
    mllp_port = free_port()
    city = environment | {
        "CHENGMA_MLLP_PORT": str(mllp_port),
        "CHENGMA_SANDBOX": str(tmp_path / "sandbox.db"),
        "no_proxy": "*",
    }
    with running("demo", "--citizens", "30", environment=city, folder=tmp_path) as (_, output):
        (patient,) = re.findall(r"^The patient (99\d{15}[\dX]) agreed to pay later\.", output.read_text(), re.MULTILINE)
        early = chengma("his", "try", "HZ001", environment=city, folder=tmp_path)
        assert (early.returncode, "`chengma his listen` starts it" in early.stderr) == (1, True)
        listener = start(tmp_path, "listen", city, "his", "listen")
        try:
            wait_until(lambda: listens(mllp_port), listener.log_text)
            tried = chengma("his", "try", "HZ001", environment=city, folder=tmp_path)
        finally:
            listener.stop()
    script = tried.stdout
    assert tried.returncode == 0, script + tried.stderr
    assert f"PATIENT={patient}" in script
    assert re.findall(r"^#   MSA\|(\w\w)", script, re.MULTILINE) == ["AA"] * 4
    assert len(re.findall(r'^#   \{"resourceType":', script, re.MULTILINE)) == 8
    assert '"access_token":' in script
    amounts = [float(one) for one in re.findall(r'"totalNet":\{"value":([\d.]+)', script)]
    assert len(amounts) == 2
    assert "OperationOutcome" not in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)  # noqa: S607  the reader's own shell
