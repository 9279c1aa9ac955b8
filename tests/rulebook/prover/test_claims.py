"""Files of claims: read, proved beside their module, and refused with the place of each mistake in two languages."""

import re
from pathlib import Path

import pytest

from backend.rulebook import InvalidRulebook
from backend.rulebook.prover.proof import prove_editions
from backend.rulebook.prover.reachability import prove_reach
from backend.rulebook.prover.standing import read_standing_claims, report_results
from tests.conftest import ROOT
from tests.rulebook.tram import FARE, load

GUIDES = {name: (ROOT / "docs" / "rules" / name).read_text(encoding="utf-8") for name in ("prove.md", "prove.zh.md")}
(CLAIMS,) = re.findall(r"```yaml\n(.*?)```", GUIDES["prove.md"], re.DOTALL)


def faults(folder: Path, text: str, fare: str = FARE) -> list[str]:
    """Return the faults of a file of claims as `line:column: code message`, or those of claims that do not hold."""
    rulebook = load(folder, fare)
    (folder / "tram" / "fare.claims.yaml").write_text(text, encoding="utf-8")
    try:
        files = read_standing_claims(folder, rulebook)
        claims = {name: found.claims for name, (_, found) in files.items()}
        found = report_results(files, prove_editions(None, rulebook, claims).results)
    except InvalidRulebook as error:
        found = error.faults
    assert all(fault.message.zh != fault.message.en for fault in found)
    return [f"{one.location.line}:{one.location.column}: {one.code} {one.message.en}" for one in found]


def test_the_claims_of_the_guide_hold(tmp_path: Path) -> None:
    assert faults(tmp_path, CLAIMS) == []
    assert CLAIMS in GUIDES["prove.zh.md"]


def test_the_last_edition_may_differ_for_the_excepted(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    before, after = load(old), load(new, FARE.replace("age < 14", "age < 14 && !facts.student"))
    (new / "tram" / "fare.claims.yaml").write_text(CLAIMS, encoding="utf-8")
    ((_, found),) = read_standing_claims(new, after).values()
    assert prove_editions(before, after, {"tram.fare": found.claims}).answer == "counterexample"
    last = [claim for claim in found.claims if claim.compares]
    assert prove_editions(before, after, {"tram.fare": last}).answer == "holds"


@pytest.mark.parametrize(
    ("written", "instead", "expected"),
    [
        pytest.param("best: free", "best: half", "2:7: R100 'half' cannot be the best result", id="best"),
        pytest.param("module: tram.fare", "module: tram.far", "1:9: R100 these claims are next to", id="module"),
        pytest.param("facts.passes.bought_at", "facts.passes.at", "6:12: R102 unknown field 'at'", id="path"),
        pytest.param(
            "later: facts.passes.bought_at", "later: facts.age", "6:12: R102 `later` names an instant", id="kind"
        ),
        pytest.param("adding: facts.passes", "adding: facts.age", "12:13: R102 `adding` names a list", id="list"),
        pytest.param("never: worse", "never: bad", "8:12: R101 `never` is worse, better or different", id="never"),
        pytest.param('added.kind == "day"', 'added.kind == "dya"', "13:26: R103 'dya' is not", id="word"),
        pytest.param('!= "full"', '!= "ful"', "19:46: R103 'ful' is not", id="result"),
        pytest.param("facts.student", "facts.studnet", "25:19: R103 unknown field 'studnet'", id="condition"),
        pytest.param("against: last", "against: first", "23:14: R101 `against` is `last`", id="against"),
        pytest.param("    adding: facts.passes\n", "", "10:9: R101 a claim says exactly one thing", id="nothing"),
        pytest.param("further-pass-never-costs", "later-pass-never-costs", "10:9: R100 the id", id="id"),
    ],
)
def test_a_mistake_in_a_claim_is_named_at_its_place(tmp_path: Path, written: str, instead: str, expected: str) -> None:
    assert written in CLAIMS
    first, *_ = faults(tmp_path, CLAIMS.replace(written, instead, 1))
    assert first.startswith(expected)


FIRST = """\
module: tram.fare
best: free
claims:
  - id: nobody-pays-in-full
    name: {zh: 没有人付全价, en: Nobody pays the full fare}
    always: new.result != "full"
    source: "[S] council"
"""


def test_a_claim_that_does_not_hold_is_a_fault_with_the_smallest_person(tmp_path: Path) -> None:
    assert faults(tmp_path, FIRST) == ["4:9: R105 this does not hold: Nobody pays the full fare"]


def test_a_claim_may_fail_for_a_stated_reason_as_long_as_it_does(tmp_path: Path) -> None:
    reason = '    fails: "because the council wants a full fare"\n'
    assert faults(tmp_path, FIRST + reason) == []
    held = FIRST.replace('!= "full"', 'in ["full", "half", "free"]') + reason
    assert faults(tmp_path, held) == ["4:9: R106 this holds: Nobody pays the full fare; remove `fails`"]


SHADOWED = """\
  - id: grown
    from: 2020-01-01
    when: facts.age >= 14
    then: half
    because: {zh: 甲, en: A}
    source: "[S] council"
  - id: student
    from: 2020-01-01
    when: facts.student
    then: half
    because: {zh: 甲, en: A}
    source: "[S] council"
  - id: both-kinds
    from: 2020-01-01
    when: facts.passes.exists(p, p.kind == "day" && p.bought_at > now) && facts.passes.all(p, p.bought_at <= now)
    then: free
    because: {zh: 甲, en: A}
    source: "[S] council"
otherwise:"""


BY_PASS = """\
  - id: any-day-pass
    from: 2020-01-01
    when: facts.passes.exists(p, p.kind == "day" && now - p.bought_at < lasts)
    then: half
    because: {zh: 您有日票, en: You have a day pass}
    source: "[S] council"
otherwise:"""


def test_rules_that_can_never_fire_or_decide_are_proved(tmp_path: Path) -> None:
    rulebook = load(tmp_path, FARE.replace("otherwise:", SHADOWED))
    reach = prove_reach(rulebook, "tram.fare", 30)
    assert (reach.never_fires, reach.never_decides, reach.unknown) == (["both-kinds"], ["student"], [])


def test_a_rule_that_decides_only_because_another_element_keeps_a_better_rule_silent_is_reached(tmp_path: Path) -> None:
    without_year = 'now - p.bought_at < lasts) && !facts.passes.exists(p, p.kind == "year")'
    fare = FARE.replace("now - p.bought_at < lasts)", without_year).replace("otherwise:", BY_PASS)
    reach = prove_reach(load(tmp_path, fare), "tram.fare", 30)
    assert (reach.never_fires, reach.never_decides, reach.unknown) == ([], [], [])
