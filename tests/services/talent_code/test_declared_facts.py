"""A new policy with facts of its own is a file of rules: people are asked, see the offer or the reason, and claim."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from litestar.testing import TestClient
from msgspec.structs import replace
from stdnum.cn import ric

from backend.app import create_app
from backend.city.decisions import StoredDecision
from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import InvalidRulebook, load_rulebook
from backend.rulebook.editor.reference import list_facts
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.needs import check_needs, facts_of
from backend.services.talent_code.audits import verified_facts
from backend.services.talent_code.decisions import claim_decisions
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.ports import PropertyRegister, SocialInsurance
from backend.settings import Settings
from tests.conftest import ROOT, Clock, SignIn
from tests.services.health_code.scene import stored
from tests.services.talent_code.old_age import MODULE, write_old_age
from tests.services.talent_code.scene import Citizen, Scene

CITY = ZoneInfo("Asia/Shanghai")
NEEDED = rule_modules_of(discover_services())
ANSWERS = {"district": "xihu", "income_band": "low"}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", folder)
    write_old_age(folder)
    return folder


@pytest.fixture
def scene(settings: Settings, clock: Clock, rules: Path) -> Iterator[Scene]:
    with TestClient(create_app(replace(settings, rules=str(rules)), clock=clock)) as client:
        yield Scene(client, clock, SignIn(client))


def elder(scene: Scene, born: str = "19460307", phone: str = "13800000101") -> Citizen:
    """Sign in a citizen born on this day, with a bank account."""
    number = f"330106{born}{int(phone[-3:]):03d}"
    person_number = number + ric.calc_check_digit(number + "0")
    signed_in = SignIn(scene.client)(phone, name="王芳", id_number=person_number)
    person = Citizen(scene.client.app, signed_in)
    person.id_number, person.phone = person_number, phone
    scene.port(SocialInsurance).set_months(person_number, 0)
    scene.port(PropertyRegister).set_homes(person_number, 0)
    scene.earns(person, 0, 0)
    scene.registers_account(person)
    return person


def offer(scene: Scene, person: Citizen, **facts: object) -> httpx.Response:
    return scene.client.post("/v1/me/offers", json={"benefit": "old_age", "facts": facts}, headers=person)


def claim(scene: Scene, person: Citizen, key: str, **facts: object) -> httpx.Response:
    headers = {**person, "Idempotency-Key": key}
    return scene.client.post("/v1/me/claims", json={"benefit": "old_age", "facts": facts}, headers=headers)


def test_the_cases_of_the_subsidy_pass(rules: Path) -> None:
    rulebook, _ = run_cases(rules, facts_of(NEEDED), CITY)
    check_needs(rulebook, NEEDED)


def test_a_person_is_asked_sees_the_offer_and_claims_it(scene: Scene) -> None:
    person = elder(scene)
    overview = scene.benefits(person)
    assert "old_age" not in {one["benefit"] for one in overview["available"]}
    (asking,) = overview["asking"]
    assert (asking["benefit"], asking["title"]["zh"]) == ("old_age", "高龄津贴")
    district, band, moved = asking["questions"]
    assert (band["name"], band["type"], band["words"]) == ("income_band", "words", ["low", "middle", "high"])
    assert band["meaning"] == {"zh": "家庭收入档次", "en": "Income band of the household"}
    assert (district["optional"], moved["optional"]) == (False, True)

    shown = offer(scene, person, **ANSWERS).json()
    assert shown["offer"]["amount_fen"] == 6_000
    assert shown["because"]["zh"] == "您已年满70周岁，每月60元"
    assert not stored(scene.client, Claim), "an offer stores nothing"

    made = claim(scene, person, "first", **ANSWERS)
    assert made.status_code == 201, made.text
    assert (made.json()["stage"], made.json()["paid_fen"], made.json()["rule"]) == ("paid", 6_000, "age-70")
    assert claim(scene, person, "first", **ANSWERS).json() == made.json()
    (kept,) = stored(scene.client, Claim)
    assert kept.declared == {"district": "xihu", "income_band": "low", "moved_in_on": None}
    assert {"district", "income_band"} <= set(kept.stated)
    assert offer(scene, person, **ANSWERS).json()["type"] == "/problems/already-claimed"


def asked(scene: Scene, person: Citizen) -> list[str]:
    return [one["benefit"] for one in scene.benefits(person)["asking"]]


def test_nobody_is_asked_where_no_answer_gives_anything(scene: Scene) -> None:
    assert asked(scene, elder(scene, "19700307", "13800000102")) == []
    person = elder(scene)
    assert asked(scene, person) == ["old_age"]
    assert claim(scene, person, "first", **ANSWERS).status_code == 201
    assert asked(scene, person) == [], "the next claim is possible 28 days later"
    scene.time_passes(days=28)
    assert asked(scene, person) == ["old_age"]


def test_the_amount_rises_on_the_birthday(scene: Scene) -> None:
    person = elder(scene, "19460307")
    assert offer(scene, person, **ANSWERS).json()["rule"] == "age-70"
    scene.time_passes(days=5)
    assert offer(scene, person, **ANSWERS).json()["offer"]["amount_fen"] == 12_000


@pytest.mark.parametrize(
    ("facts", "rule", "because", "remedy"),
    [
        ({"income_band": "high"}, "high-income", "您的家庭收入属于高档", "收入档次变化后可以重新申领"),
        ({"district": "other"}, "elsewhere", "您的户籍不在本市", "户籍迁入满1年后可以申领"),
        ({"moved_in_on": "2025-03-03"}, "newcomer", "您的户籍迁入未满1年", None),
    ],
    ids=["income", "district", "newcomer"],
)
def test_a_person_who_gets_nothing_reads_why(
    scene: Scene, facts: dict[str, str], rule: str, because: str, remedy: str | None
) -> None:
    person = elder(scene)
    shown = offer(scene, person, **ANSWERS | facts).json()
    assert (shown["offer"], shown["rule"], shown["because"]["zh"]) == (None, rule, because)
    assert (shown["remedy"] and shown["remedy"]["zh"]) == remedy
    refused = claim(scene, person, "refused", **ANSWERS | facts).json()
    assert (refused["type"], refused["rule"]) == ("/problems/not-entitled", rule)


@pytest.mark.parametrize(
    ("facts", "pointer", "detail"),
    [
        ({"district": "xihu"}, "/facts/income_band", "家庭收入档次：须为以下之一：low、middle、high"),
        (ANSWERS | {"income_band": "rich"}, "/facts/income_band", "家庭收入档次：须为以下之一：low、middle、high"),
        (ANSWERS | {"income_band": 3}, "/facts/income_band", "家庭收入档次：须为以下之一：low、middle、high"),
        (ANSWERS | {"moved_in_on": "2025/3/3"}, "/facts/moved_in_on", "户籍迁入日期：须为日期，如2026-11-24"),
        (ANSWERS | {"moved_in_on": "1066-10-14"}, "/facts/moved_in_on", "户籍迁入日期：须为日期，如2026-11-24"),
        (ANSWERS | {"born_at": "1900-01-01"}, "/facts/born_at", "该项政策不需要此项，请删去。"),
    ],
    ids=["missing", "unknown-word", "number", "date", "year", "not-asked"],
)
def test_a_wrong_answer_is_named_with_what_is_expected(
    scene: Scene, facts: dict[str, Any], pointer: str, detail: str
) -> None:
    person = elder(scene)
    for answer in (offer(scene, person, **facts), claim(scene, person, "wrong", **facts)):
        assert answer.status_code == 400
        (error,) = answer.json()["errors"]
        assert (error["pointer"], error["detail"]) == (pointer, detail)
    assert claim(scene, person, "wrong", **ANSWERS).status_code == 201, "a corrected claim may keep its key"


def test_an_explanation_names_the_way_to_answer_first(scene: Scene) -> None:
    answer = scene.client.get("/v1/me/benefits/old_age/explanation", headers=elder(scene))
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/answers-needed")


def test_a_replay_and_an_audit_judge_a_claim_by_its_answers(scene: Scene) -> None:
    person = elder(scene)
    claim(scene, person, "first", **ANSWERS)

    async def decisions() -> list[StoredDecision]:
        return [one async for one in claim_decisions(scene.city, scene.clock.now - timedelta(days=1))]

    (decision,) = scene.call(decisions)
    verdict = scene.city.rulebook.evaluate(decision.module, decision.facts, decision.at)
    assert (verdict.result, verdict.rule) == (decision.result, decision.rule)
    (kept,) = stored(scene.client, Claim)
    assert scene.call(verified_facts, scene.city, kept) == decision.facts


def test_benefits_without_questions_take_no_answers(scene: Scene) -> None:
    person = elder(scene)
    body = {"benefit": "monthly_rent", "facts": ANSWERS}
    answer = scene.client.post("/v1/me/offers", json=body, headers=person)
    assert {one["pointer"] for one in answer.json()["errors"]} == {"/facts/district", "/facts/income_band"}


LABELLED = MODULE.replace(
    "words: [low, middle, high]",
    "words: {low: {zh: 低收入, en: low}, middle: {zh: 中等, en: middle}, high: {zh: 高收入, en: high}}",
)


def test_a_person_reads_the_label_of_each_word_next_to_the_word_to_send(
    settings: Settings, clock: Clock, rules: Path
) -> None:
    (rules / "talent_code" / "benefits" / "old_age.yaml").write_text(LABELLED, encoding="utf-8")
    with TestClient(create_app(replace(settings, rules=str(rules)), clock=clock)) as client:
        scene = Scene(client, clock, SignIn(client))
        person = elder(scene)
        (asking,) = scene.benefits(person)["asking"]
        expected = "须为以下之一：低收入（low）、中等（middle）、高收入（high）"
        assert asking["questions"][1]["answer"]["zh"] == expected
        assert asking["questions"][1]["words"] == ["low", "middle", "high"]
        (error,) = offer(scene, person, district="xihu", income_band="rich").json()["errors"]
        assert error["detail"] == f"家庭收入档次：{expected}"
        assert offer(scene, person, **ANSWERS).json()["rule"] == "age-70"
    facts = load_rulebook(rules, facts_of(NEEDED), CITY).modules["talent_code.benefits.old_age"].facts
    assert "高收入（high）" in next(one for one in list_facts(facts) if one.path == "facts.income_band").limits().zh


REGISTERED = MODULE.replace(
    "  moved_in_on:",
    "  owned:\n    type: number\n    at_least: 0\n    at_most: 100\n    from: property_register.homes\n"
    "    meaning: {zh: 名下住房, en: Homes}\n  sex:\n    type: words\n    words: [female, male]\n    optional: true\n"
    "    from: profile.sex\n    meaning: {zh: 性别, en: Sex}\n  moved_in_on:",
).replace('facts.income_band == "high"', 'facts.owned > 1 || (has(facts.sex) && facts.sex == "male")')


def test_facts_of_registers_and_the_profile_are_gathered_and_not_asked(
    settings: Settings, clock: Clock, rules: Path
) -> None:
    (rules / "talent_code" / "benefits" / "old_age.yaml").write_text(REGISTERED, encoding="utf-8")
    with TestClient(create_app(replace(settings, rules=str(rules)), clock=clock)) as client:
        scene = Scene(client, clock, SignIn(client))
        person = elder(scene)
        (asking,) = scene.benefits(person)["asking"]
        assert [one["name"] for one in asking["questions"]] == ["district", "income_band", "moved_in_on"]
        is_male = int(person.id_number[16]) % 2 == 1
        assert (offer(scene, person, **ANSWERS).json()["rule"] == "high-income") is is_male
        scene.port(PropertyRegister).set_homes(person.id_number, 2)
        assert offer(scene, person, **ANSWERS).json()["rule"] == "high-income"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("extends: BenefitFacts", "extends: BenefitFact", "4:12: R091 unknown facts 'BenefitFact'"),
        (
            "    type: words\n    words: [shang",
            "    type: word\n    words: [shang",
            "6:11: R024 'word' is not a type of facts",
        ),
        ("[low, middle, high]", "{low: {zh: 低}, high: {zh: 高, en: high}}", "12:18: R011 `low` needs the key 'en'"),
        ("    words: [low, middle, high]\n", "", "10:3: R092 the type words needs the key 'words'"),
        ("from: person\n    meaning: {zh: 户籍所", "from: persons\n    meaning: {zh: 户籍所", "8:11: R093 there is no"),
        ("  moved_in_on:", "  homes:", "15:3: R090 'homes' is not a name for a fact, or is taken"),
        ("  moved_in_on:", "  moved_fen:", "15:3: R092 amounts, and they alone, end in _fen"),
        ("    type: date\n", "    type: date\n    at_most: 3\n", "17:5: R092 the type date has no key 'at_most'"),
        ('"high"\n', '"hihg"\n', "'hihg' is not a value of this fact"),
        ("facts.income_band ==", "facts.income_bend ==", "unknown field 'income_bend' of OldAgeFacts"),
        ("has(facts.moved_in_on) && ", "", "facts.moved_in_on may be absent"),
    ],
)
def test_a_mistake_in_a_declaration_is_named_at_its_place(rules: Path, old: str, new: str, fault: str) -> None:
    assert old in MODULE
    (rules / "talent_code" / "benefits" / "old_age.yaml").write_text(MODULE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidRulebook) as refused:
        load_rulebook(rules, facts_of(NEEDED), CITY)
    assert fault in str(refused.value)
