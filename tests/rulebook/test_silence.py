"""An author may let a finding of sense or style stand, with a reason in the file."""

from pathlib import Path

import pytest

from tests.rulebook.test_lint import FINE, faults

UNMARKED = FINE.replace('    source: "[S] council"\n    because', "    source: the council\n    because", 1)
LINE = "    source: the council\n"
REASON = "# silence R073: the council never published it"
ANNOTATED = UNMARKED.replace(LINE, f"    source: the council  {REASON}\n")


def test_the_example_has_one_finding(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, UNMARKED)
    assert "the source has no mark of its reliability" in found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ANNOTATED, id="in the line"),
        pytest.param(UNMARKED.replace(LINE, f"    {REASON}\n{LINE}"), id="above it"),
        pytest.param(
            UNMARKED.replace(LINE, f"    {REASON}\n    # see its minutes\n\n{LINE}"), id="above other comments"
        ),
        pytest.param(ANNOTATED.replace("R073:", "R073："), id="with a full-width colon"),
    ],
)
def test_a_finding_is_silenced_with_a_reason(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text) == []


@pytest.mark.parametrize(
    ("silence", "message"),
    [
        pytest.param("# silence R073", "the silence has no reason", id="without a reason"),
        pytest.param("# silence R999: it is fine", "there is no check 'R999'", id="of no check"),
        pytest.param("# silence R074: it is fine", "R074 finds nothing here", id="of another check"),
        pytest.param("# silence R038: it is fine", "R038 cannot be silenced", id="of an error"),
    ],
)
def test_a_silence_that_is_wrong_is_a_fault_and_silences_nothing(tmp_path: Path, silence: str, message: str) -> None:
    finding, mistake = faults(tmp_path, ANNOTATED.replace(REASON, silence))
    assert "the source has no mark of its reliability" in finding
    assert mistake.split(": ", 1)[1].startswith(message)


def test_a_silence_does_not_outlive_its_finding(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, ANNOTATED.replace("the council  #", '"[S] council"  #'))
    assert "R073 finds nothing here" in found


def test_an_error_is_never_silenced(tmp_path: Path) -> None:
    text = FINE.replace("facts.age >= 14", "facts.agee >= 14").replace(
        "    when: facts.agee", "    # silence R036: no\n    when: facts.agee"
    )
    assert any("agee" in found for found in faults(tmp_path, text))
