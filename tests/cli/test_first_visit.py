"""A new hospital's engineer runs a first visit against the demonstration, and pastes the printed script."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import chengma, running
from tests.servers import chengma as start
from tests.servers import free_port, listens, wait_until

pytestmark = pytest.mark.slow

STRANGER = "990000190001010008"
"""Nobody's ID number."""


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
            refused = chengma("his", "try", "HZ001", "--patient", STRANGER, environment=city, folder=tmp_path)
            script = tried.stdout
            pasted = subprocess.run(
                ["bash"],  # noqa: S607  the reader's own shell
                input=script.replace("STEP='5.", f"PATIENT={STRANGER}\nSTEP='5."),
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=city,
                check=False,
            )
        finally:
            listener.stop()
    assert tried.returncode == 0, script + tried.stderr
    assert f"PATIENT={patient}" in script
    titles = re.findall(r"^STEP='(.*)'$", script, re.MULTILINE)
    assert tried.stderr.splitlines() == titles
    assert [title.split(".")[0] for title in titles] == [str(number) for number in range(1, len(titles) + 1)]
    assert re.findall(r"^#   MSA\|(\w\w)", script, re.MULTILINE) == ["AA"] * 5
    answers = re.sub(r"^#   ", "", script, flags=re.MULTILINE)
    assert len(re.findall(r'^    "resourceType":', answers, re.MULTILINE)) == 9
    assert '"access_token":' in script
    amounts = [float(one) for one in re.findall(r'"totalNet": {\s*"value": ([\d.]+)', answers)]
    assert len(amounts) == 2
    assert min(amounts) > 0
    assert "OperationOutcome" not in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)  # noqa: S607  the reader's own shell
    assert _allowed(pasted.stdout) == _allowed(answers) != []
    assert refused.returncode == 1
    assert "this step failed: 5. FHIR: a visit opens" in refused.stderr
    assert '"OperationOutcome"' in refused.stdout
    assert pasted.returncode != 0
    assert "This step failed: 5. FHIR: a visit opens" in pasted.stderr


def _allowed(answers: str) -> list[str]:
    """Return the amounts up to which the patient may pay later, as the eligibility step prints them."""
    return re.findall(r'"allowedMoney": {\s*"value": ([\d.]+)', answers)
