"""`chengma rules replay`, as authors run it in a city with people."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from backend.city.releases import activate_release, store_release
from backend.city.service import City
from backend.cli.in_city import run_in_city
from backend.cli.main import chengma
from backend.rulebook import load_rulebook, read_rules
from backend.rulebook.needs import facts_of
from backend.services.talent_code.declared import convert_facts
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.claim import Claim
from backend.store.time import to_ms
from tests.conftest import ROOT
from tests.services.talent_code.old_age import MODULE, write_old_age


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill a city with a few people, whose colours and classes were decided."""
    for name, value in {
        "STORE": f"sqlite:///{tmp_path}/city.db",
        "KEYS": str(tmp_path / "keys"),
        "SANDBOX": str(tmp_path / "sandbox.db"),
        "RULES": str(ROOT / "rules"),
    }.items():
        monkeypatch.setenv(f"CHENGMA_{name}", value)
    assert run("seed", "--citizens", "100").exit_code == 0


def run(*arguments: str, language: str = "en") -> Result:
    return CliRunner().invoke(chengma, arguments, env={"CHENGMA_LANGUAGE": language})


@pytest.mark.usefixtures("people")
def test_the_decisions_of_a_city_are_made_again(tmp_path: Path) -> None:
    since = ("--since", "2020-01-01")
    before = (tmp_path / "city.db").read_bytes()
    english = run("rules", "replay", str(ROOT / "rules"), *since)
    assert "health_code.colour: " in english.output, english.output
    assert "decisions replayed, 0 with another result" in english.output
    assert "Modules whose decisions are not stored: " in english.output
    assert "since 2020-01-01T00:00:00+08:00" in english.output
    assert "结果不同" in run("rules", "replay", str(ROOT / "rules"), *since, language="zh").output
    report = json.loads(run("rules", "replay", str(ROOT / "rules"), *since, "--json").stdout)
    assert {one["changed"] for one in report["modules"]} == {0}
    assert (tmp_path / "city.db").read_bytes() == before, "nothing is written"


def activate_with_a_claim(folder: Path) -> None:
    """Put a folder of rules in force in the city, under which a person aged 72 has claimed the old-age subsidy."""
    module = "talent_code.benefits.old_age"
    at = datetime(2026, 11, 1, 4, tzinfo=UTC)

    async def work(city: City) -> None:
        rulebook = load_rulebook(folder, facts_of(city.rule_modules), ZoneInfo(city.settings.time_zone))
        await store_release(city.store, read_rules(folder), rulebook, at)
        await activate_release(city.store, rulebook.digest, at)
        struct = rulebook.modules[module].facts
        assert issubclass(struct, BenefitFacts)
        known = BenefitFacts(born_at=datetime(1954, 3, 7, tzinfo=UTC))
        answers = {"district": "xihu", "income_band": "low", "moved_in_on": None}
        verdict = rulebook.evaluate(module, convert_facts(known, struct, answers), at)
        claim = Claim(
            id="claim",
            subject="person",
            benefit="old_age",
            title=rulebook.modules[module].title,
            claimed_at=at,
            claimed_ms=to_ms(at),
            rule=verdict.rule,
            because=verdict.because,
            figure=verdict.result,
            amount_fen=verdict.result,
            rulebook=rulebook.digest,
            after_withdrawal="stop",
            instalments=(),
            facts=known,
            stated=(),
            declared=answers,
        )
        await city.store.insert(claim)

    run_in_city(work)


@pytest.mark.usefixtures("people")
def test_claims_of_a_benefit_that_only_a_release_has_are_replayed(tmp_path: Path) -> None:
    folder, draft = tmp_path / "released", tmp_path / "draft"
    shutil.copytree(ROOT / "rules", folder)
    write_old_age(folder)
    activate_with_a_claim(folder)
    shutil.copytree(folder, draft)
    (old_age,) = draft.rglob("old_age.yaml")
    old_age.write_text(MODULE.replace("value: 60 yuan", "value: 70 yuan"), encoding="utf-8")

    found = run("rules", "replay", str(draft), "--since", "2020-01-01")
    assert "talent_code.benefits.old_age: 1 decisions replayed, 1 with another result" in found.output, found.output
    without = run("rules", "replay", str(ROOT / "rules"), "--since", "2020-01-01")
    assert "talent_code.benefits.old_age: 0 decisions replayed" in without.output
    assert "1 not replayed: the draft has no such module" in without.output


def test_a_replay_needs_a_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHENGMA_STORE", f"sqlite:///{tmp_path}/none.db")
    found = run("rules", "replay", str(ROOT / "rules"), "--since", "2020-01-01")
    assert (found.exit_code, "There is no city here" in found.output) == (1, True)
