"""Cases may begin with a persona, and may expect the reason."""

from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook
from backend.rulebook.modules.cases import FailedCases, run_cases
from tests.rulebook.test_cases import CASES
from tests.rulebook.tram import CITY, FARE, Delay, Rider, load

PUPIL = """\
personas:
  - persona: a pupil with a day pass
    given: {age: 13, student: true, passes: [{kind: day, bought_at: "2021-06-01T12:00:00+08:00"}]}
cases:
"""
WITH_PUPIL = CASES.replace("cases:\n", PUPIL, 1)


def run(folder: Path, cases: str, shared: str = "") -> int:
    load(folder, FARE)
    (folder / "tram" / "fare.cases.yaml").write_text(cases, encoding="utf-8")
    if shared:
        (folder / "tram" / "personas.yaml").write_text(shared, encoding="utf-8")
    return run_cases(folder, [Rider, Delay], CITY)[1]


def faults(folder: Path, cases: str, shared: str = "") -> list[str]:
    with pytest.raises(InvalidRulebook) as caught:
        run(folder, cases, shared)
    return [f"{Path(f.path).name}:{f.location.line}: {f.code} {f.message.en}" for f in caught.value.faults]


def of_pupil(given: str = "", expect: str = "{result: free, rule: day-pass}") -> str:
    return f"""\
  - case: a pupil
    at: 2021-06-02T11:59:59+08:00
    given: {{persona: a pupil with a day pass{given}}}
    expect: {expect}
"""


def test_a_case_begins_with_the_facts_of_its_persona(tmp_path: Path) -> None:
    assert run(tmp_path, WITH_PUPIL + of_pupil()) == 8


def test_a_field_of_a_case_replaces_that_of_its_persona(tmp_path: Path) -> None:
    assert run(tmp_path, WITH_PUPIL + of_pupil(", passes: []", "{result: half, fired: [child]}")) == 8
    assert faults(tmp_path, WITH_PUPIL + of_pupil(", passes: []")) == [
        "fare.cases.yaml:41: R045 a pupil: result is half, expected free",
        "fare.cases.yaml:41: R045 a pupil: rule is child, expected day-pass",
    ]


def test_the_modules_of_a_folder_share_the_personas_of_its_file(tmp_path: Path) -> None:
    shared = PUPIL.replace("    given", "    facts: Rider\n    given").removesuffix("cases:\n")
    assert run(tmp_path, CASES + of_pupil(), shared) == 8
    other = shared.replace("Rider", "Delay").replace(PUPIL.splitlines()[2].strip(), "given: {minutes: 3}")
    assert faults(tmp_path, CASES + of_pupil(), other) == [
        "fare.cases.yaml:37: R051 the persona 'a pupil with a day pass' has Delay, this module reads Rider"
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param(
            "given: {persona: a pupil with",
            "given: {persona: a pupil without",
            "40: R052 unknown persona 'a pupil without a day pass'",
            id="unknown",
        ),
        pytest.param(
            "age: 13, student", "agee: 13, student", "4: R036 unknown field 'agee' of Rider", id="unknown-field"
        ),
        pytest.param("student: true", "student: maybe", "4: R019 expected true or false", id="wrong-value"),
        pytest.param(
            "cases:\n",
            "  - {persona: a pupil with a day pass, given: {}}\ncases:\n",
            "5: R050 two personas are named 'a pupil with a day pass'",
            id="twice",
        ),
    ],
)
def test_a_fault_of_a_persona_has_its_location(tmp_path: Path, old: str, new: str, fault: str) -> None:
    text = WITH_PUPIL + of_pupil()
    assert old in text
    assert faults(tmp_path, text.replace(old, new, 1)) == [f"fare.cases.yaml:{fault}"]


@pytest.mark.parametrize(
    "because", ["您有日票", "日票", "You have a day pass", "a day pass"], ids=["zh", "part-zh", "en", "part-en"]
)
def test_a_case_may_expect_a_part_of_the_reason_in_either_language(tmp_path: Path, because: str) -> None:
    assert run(tmp_path, WITH_PUPIL + of_pupil(expect=f"{{because: {because}}}")) == 8


def test_another_reason_than_expected_fails_the_case(tmp_path: Path) -> None:
    with pytest.raises(FailedCases) as caught:
        run(tmp_path, WITH_PUPIL + of_pupil(expect="{because: 月票}"))
    (failed,) = caught.value.failed
    assert (failed.name, failed.key, failed.expected) == ("a pupil", "because", "月票")
    assert failed.actual == "您有日票 / You have a day pass"
    assert failed.rule == "day-pass"


def test_an_empty_reason_is_not_an_expectation(tmp_path: Path) -> None:
    assert faults(tmp_path, WITH_PUPIL + of_pupil(expect='{because: ""}')) == [
        "fare.cases.yaml:41: R053 `because` is a part of the reason"
    ]
