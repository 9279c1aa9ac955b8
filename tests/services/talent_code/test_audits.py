"""Payments are audited afterwards: what was paid for false facts is claimed back, with notice and appeal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from backend.benefits.audits import is_selected, record_audit, reduce_open_instalments
from backend.benefits.claim import Audit, ClaimInstalment
from backend.benefits.ports import PayoutBank
from backend.city.service import City
from backend.i18n import Text
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring, make_keys
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.ports import PropertyRegister, SocialInsurance, Tax
from backend.services.talent_code.saga import benefits
from integrations._sandbox.database import CallOutcome
from tests.conftest import SignIn
from tests.services.health_code.scene import SignedInPerson, problem
from tests.services.talent_code.sample_rules import write_rules
from tests.services.talent_code.scene import CARD, DOCTOR, LEADER, Citizen, Scene

YUAN = 100
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
REASON = {"zh": "房屋已于申领前出售", "en": "The home was sold before the claim"}


def found(scene: Scene, claim: dict[str, Any]) -> Claim:
    document = scene.call(scene.city.store.get, Claim, claim["id"])
    assert document is not None
    return document


def told(scene: Scene, claim: dict[str, Any]) -> list[str]:
    return [notice.kind for notice in found(scene, claim).notifications if notice.sent]


def clawed_back(scene: Scene, person: Citizen) -> dict[str, Any]:
    """Have somebody be paid the first half of 200,000 yuan towards a home, and an audit find that they own one."""
    claim = scene.claimed(person, "home_purchase")
    scene.port(PropertyRegister).set_homes(person.id_number, 1)
    scene.time_passes(days=30)
    shown = scene.claim(person, claim)
    assert shown["clawback"]["owed_fen"] == 100_000 * YUAN
    return shown


def appeals(scene: Scene, person: Citizen, claim: dict[str, Any], text: str = "I sold it") -> httpx.Response:
    return scene.client.post(f"/v1/me/claims/{claim['id']}/appeal", json={"text": text}, headers=person)


def repays(scene: Scene, person: Citizen, claim: dict[str, Any], yuan: int, key: str = "tap") -> httpx.Response:
    headers = {**person, "Idempotency-Key": key}
    at = f"/v1/me/claims/{claim['id']}/repayments"
    return scene.client.post(at, json={"amount_fen": yuan * YUAN}, headers=headers)


def decides(scene: Scene, officer: SignedInPerson, claim: dict[str, Any], decision: str) -> httpx.Response:
    body = {"decision": decision, "reason": REASON}
    return scene.client.put(f"/v1/talent-appeals/{claim['id']}", json=body, headers=officer)


# ── the draw ──


def paid_claim(number: int, fen: int, stated: tuple[str, ...]) -> Claim:
    return Claim(
        id=f"claim-{number}",
        subject="p",
        benefit="monthly_rent",
        title=Text("", ""),
        claimed_at=NOON,
        claimed_ms=0,
        facts=BenefitFacts(born_at=NOON, talent_class="e"),
        stated=stated,
        rule="class-e",
        because=Text("", ""),
        figure=fen,
        amount_fen=fen,
        rulebook="",
        after_withdrawal="go_on",
        instalments=(ClaimInstalment(fen, 0),),
    )


def test_large_amounts_are_always_audited_and_of_the_others_as_many_as_the_rules_say(
    scene: Scene, tmp_path: Path
) -> None:
    def drawn(fen: int, stated: tuple[str, ...], city: City = scene.city) -> list[int]:
        return [number for number in range(2_000) if is_selected(benefits, city, paid_claim(number, fen, stated), NOON)]

    assert len(drawn(100_000 * YUAN, ())) == 2_000
    one_in_ten, one_in_fifty = drawn(99_999 * YUAN, ("homes",)), drawn(99_999 * YUAN, ())
    assert 140 <= len(one_in_ten) <= 260
    assert 15 <= len(one_in_fifty) <= 65
    assert set(one_in_fifty) <= set(one_in_ten)
    assert drawn(99_999 * YUAN, ("homes",)) == one_in_ten
    make_keys(tmp_path / "other-keys")
    of_another_city = replace(scene.city, encryption=FieldEncryption(Keyring.open(tmp_path / "other-keys")))
    assert drawn(99_999 * YUAN, ("homes",), of_another_city) != one_in_ten


# ── what an audit finds ──


def test_a_sound_claim_is_audited_after_thirty_days_and_nothing_changes(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = scene.claimed(doctor, "home_purchase")
    scene.time_passes(days=29, hours=23)
    assert found(scene, claim).audit is None
    scene.time_passes(hours=1)
    audit = found(scene, claim).audit
    assert audit is not None
    assert (audit.drawn, audit.entitled_fen, audit.differing_facts) == (True, 200_000 * YUAN, ())
    assert scene.claim(doctor, claim) == claim
    assert told(scene, claim) == ["paid"]


def test_a_home_that_is_found_claims_back_all_and_cuts_what_is_to_come(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    shown = clawed_back(scene, doctor)
    assert shown["clawback"] == {
        "amount_fen": 100_000 * YUAN,
        "owed_fen": 100_000 * YUAN,
        "reduction_fen": 100_000 * YUAN,
        "because": {
            "zh": "经核查，以下信息与主管部门记录不一致：名下住房",
            "en": "An audit found that these facts differ from the registries: homes owned",
        },
        "differing_facts": ["homes"],
        "notified_at": "2026-04-01T04:00:00Z",
        "appeal_until": "2026-04-16T04:00:00Z",
        "collect_at": "2026-05-16T04:00:00Z",
        "appeal": "none",
        "decision": None,
    }
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=15, seconds=-1)  # nothing more is paid, and the rest is kept while there may be an appeal
    assert [instalment["state"] for instalment in scene.claim(doctor, shown)["instalments"]] == ["paid", "open"]
    assert scene.budget("home_purchase") == (100_000, 100_000, 0, 1)
    scene.time_passes(seconds=1)
    assert [instalment["state"] for instalment in scene.claim(doctor, shown)["instalments"]] == ["paid"]
    assert scene.budget("home_purchase") == (0, 100_000, 0, 1)
    assert told(scene, shown) == ["paid", "clawed_back", "reduced"]


def claimed_as_a_leader_but_is_a_doctor(scene: Scene, benefit: str) -> tuple[Citizen, dict[str, Any]]:
    """Have somebody claim as of class D, of whose title and degree the title turns out false: class E is left."""
    leader = scene.talent(LEADER)
    scene.has(leader, LEADER, DOCTOR)
    scene.declares(leader, DOCTOR)
    claim = scene.claimed(leader, benefit)
    scene.has(leader, DOCTOR)
    return leader, claim


def test_a_class_that_turns_out_lower_leaves_what_the_lower_class_has(scene: Scene) -> None:
    """Class D had 500,000 of a million yuan; she is a doctor and no leader, and class E has 200,000."""
    leader, claim = claimed_as_a_leader_but_is_a_doctor(scene, "home_purchase")
    scene.time_passes(days=30)
    clawback = scene.claim(leader, claim)["clawback"]
    assert (clawback["amount_fen"], clawback["differing_facts"]) == (300_000 * YUAN, ["talent_class"])
    scene.time_passes(days=15)
    assert scene.budget("home_purchase") == (0, 500_000, 0, 1)


def test_what_was_spent_counts_as_far_as_invoices_prove_it(scene: Scene, tmp_path: Path) -> None:
    """Of 40 yuan that were stated and paid invoices prove 25; of another's 10 yuan they prove 90."""
    scene.rules_change(write_rules(tmp_path / "rules", 1_000 * YUAN))
    few, many = scene.talent(DOCTOR), scene.talent(DOCTOR, "13800000102")
    claims = [scene.claimed(few, "spent", spent_fen=40 * YUAN), scene.claimed(many, "spent", spent_fen=10 * YUAN)]
    scene.port(Tax).set_invoiced(few.id_number, "spent", 25 * YUAN)
    scene.port(Tax).set_invoiced(many.id_number, "spent", 90 * YUAN)
    scene.time_passes(days=3)
    clawback = scene.claim(few, claims[0])["clawback"]
    assert (clawback["amount_fen"], clawback["differing_facts"]) == (15 * YUAN, ["spent_fen"])
    assert scene.claim(many, claims[1])["clawback"] is None


@pytest.mark.parametrize("outcome", ["lost_before", "refused", "wrong"])
def test_a_register_that_does_not_tell_is_asked_again(scene: Scene, outcome: CallOutcome) -> None:
    doctor, register = scene.talent(DOCTOR), scene.port(PropertyRegister)
    claim = scene.claimed(doctor, "home_purchase")
    register.set_homes(doctor.id_number, 1)
    register.database.inject_faults("homes", {outcome: 1_000})
    scene.time_passes(days=30)
    assert found(scene, claim).audit is None
    register.database.clear_faults()
    scene.time_passes(hours=2)
    assert scene.claim(doctor, claim)["clawback"]["amount_fen"] == 100_000 * YUAN


def test_what_is_only_to_come_is_cut_from_the_last_part_on_as_far_as_it_is_too_much() -> None:
    """Of 100 yuan 30 were paid; an audit leaves 50 of it: of the two open parts 20 and nothing are left."""
    claim = replace(
        paid_claim(1, 100_00, ()),
        instalments=(
            ClaimInstalment(30_00, 0, "paid", paid_at=NOON),
            ClaimInstalment(30_00, 6),
            ClaimInstalment(40_00, 12),
        ),
        state="granted",
    )
    claim = record_audit(
        claim, Audit(NOON, drawn=True, entitled_fen=50_00, differing_facts=("degree",)), NOON, lambda _: 15
    )
    assert claim.clawback is not None
    assert (claim.owed_fen, claim.excess_fen) == (0, 50_00)
    claim = reduce_open_instalments(claim, NOON + timedelta(days=15), lambda _: 15)
    assert [(instalment.amount_fen, instalment.state) for instalment in claim.instalments] == [
        (30_00, "paid"),
        (20_00, "open"),
    ]
    assert claim.excess_fen == 0
    assert claim.entry is not None
    assert (claim.entry.kind, claim.entry.amount_fen) == ("release", 50_00)
    notices = [(notice.kind, notice.amount_fen) for notice in claim.notifications]
    assert notices == [("reduction_announced", 50_00), ("reduced", 50_00)]


def reduced(scene: Scene, folder: Path) -> tuple[Citizen, dict[str, Any]]:
    """Have an audit find that somebody who had a third of 100 yuan, for class D, is of class E: one fen less."""
    scene.rules_change(write_rules(folder, 1_000 * YUAN))
    leader, claim = claimed_as_a_leader_but_is_a_doctor(scene, "thirds")
    scene.time_passes(days=3)
    clawback = scene.claim(leader, claim)["clawback"]
    assert (clawback["amount_fen"], clawback["owed_fen"], clawback["reduction_fen"]) == (0, 0, 1)
    scene.port(SocialInsurance).set_months(leader.id_number, 12)
    return leader, claim


def instalments(scene: Scene, person: Citizen, claim: dict[str, Any]) -> list[tuple[int, str]]:
    return [(instalment["amount_fen"], instalment["state"]) for instalment in scene.claim(person, claim)["instalments"]]


def test_a_part_that_an_audit_does_not_concern_is_paid_and_the_last_one_once_no_appeal_can_be_made(
    scene: Scene, tmp_path: Path
) -> None:
    leader, claim = reduced(scene, tmp_path / "rules")
    scene.time_passes(days=14)
    assert instalments(scene, leader, claim) == [(33_00, "paid"), (33_00, "paid"), (34_00, "open")]
    scene.time_passes(days=1)
    assert instalments(scene, leader, claim) == [(33_00, "paid"), (33_00, "paid"), (33_99, "paid")]
    assert told(scene, claim) == ["paid", "reduction_announced", "paid", "reduced", "paid"]


@pytest.mark.parametrize(
    ("decision", "last_fen", "heard"),
    [("drop", 34_00, ["reduction_cancelled"]), ("uphold", 33_99, ["reduction_confirmed", "reduced"])],
)
def test_a_reduction_may_be_appealed_against(
    scene: Scene, tmp_path: Path, decision: str, last_fen: int, heard: list[str]
) -> None:
    leader, claim = reduced(scene, tmp_path / "rules")
    assert appeals(scene, leader, claim).status_code == 200
    scene.time_passes(days=60)
    assert instalments(scene, leader, claim)[-1] == (34_00, "open")
    officer = scene.officer()
    (listed,) = scene.client.get("/v1/talent-appeals", headers=officer).json()["appeals"]
    assert (listed["amount_fen"], listed["reduction_fen"]) == (0, 1)
    assert decides(scene, officer, claim, decision).status_code == 200
    scene.time_passes(days=1)
    assert instalments(scene, leader, claim)[-1] == (last_fen, "paid")
    assert told(scene, claim) == ["paid", "reduction_announced", "paid", *heard, "paid"]


# ── appeals ──


def test_an_appeal_is_made_within_its_time_and_holds_the_collection_up(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = clawed_back(scene, doctor)
    scene.clock.now = NOON + timedelta(days=45) - timedelta(seconds=1)
    for _ in range(2):
        answer = appeals(scene, doctor, claim)
        assert (answer.status_code, answer.json()["clawback"]["appeal"]) == (200, "pending")
    problem(appeals(scene, doctor, claim, "And another thing"), 409, "nothing-to-appeal")
    problem(repays(scene, doctor, claim, 100_000), 409, "nothing-to-repay")
    scene.time_passes(days=60)
    assert scene.claim(doctor, claim)["clawback"]["owed_fen"] == 100_000 * YUAN
    assert scene.budget("home_purchase") == (100_000, 100_000, 0, 1)


def test_after_its_time_and_without_a_claw_back_there_is_nothing_to_appeal(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    other = scene.claimed(doctor, "graduate_allowance")
    problem(appeals(scene, doctor, other), 409, "nothing-to-appeal")
    claim = clawed_back(scene, doctor)
    scene.clock.now = NOON + timedelta(days=45)
    problem(appeals(scene, doctor, claim), 409, "nothing-to-appeal")


def test_an_officer_reads_an_appeal_which_the_citizen_sees_and_drops_the_claw_back(scene: Scene) -> None:
    doctor, officer = scene.talent(DOCTOR), scene.officer()
    claim = clawed_back(scene, doctor)
    problem(scene.client.get(f"/v1/talent-appeals/{claim['id']}", headers=officer), 404, "not-found")
    appeals(scene, doctor, claim)
    listed = scene.client.get("/v1/talent-appeals", headers=officer).json()["appeals"]
    assert [(one["claim"], one["amount_fen"]) for one in listed] == [(claim["id"], 100_000 * YUAN)]
    assert scene.claim(doctor, claim)["read_by_officers"] == []
    scene.time_passes(hours=1)
    shown = scene.client.get(f"/v1/talent-appeals/{claim['id']}", headers=officer).json()
    assert (shown["text"], shown["claim"]["clawback"]["differing_facts"]) == ("I sold it", ["homes"])
    assert scene.claim(doctor, claim)["read_by_officers"] == ["2026-04-01T05:00:00Z"]
    for _ in range(2):
        answer = decides(scene, officer, claim, "drop")
        assert answer.status_code == 200
    problem(decides(scene, officer, claim, "uphold"), 409, "nothing-to-appeal")
    clawback = scene.claim(doctor, claim)["clawback"]
    assert (clawback["appeal"], clawback["owed_fen"], clawback["decision"]) == ("granted", 0, REASON)
    assert scene.client.get("/v1/talent-appeals", headers=officer).json()["appeals"] == []
    assert told(scene, claim)[-1] == "appeal_granted"
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=90)
    assert scene.budget("home_purchase") == (0, 200_000, 0, 1)  # and the other half is paid


def test_an_appeal_that_is_lost_leaves_thirty_days_to_pay_back(scene: Scene) -> None:
    doctor, officer = scene.talent(DOCTOR), scene.officer()
    claim = clawed_back(scene, doctor)
    appeals(scene, doctor, claim)
    scene.clock.now = NOON + timedelta(days=100)
    assert decides(scene, officer, claim, "uphold").status_code == 200
    clawback = scene.claim(doctor, claim)["clawback"]
    assert (clawback["appeal"], clawback["owed_fen"], clawback["decision"]) == ("rejected", 100_000 * YUAN, REASON)
    assert datetime.fromisoformat(clawback["collect_at"]) == NOON + timedelta(days=130)
    scene.time_passes(days=29, hours=23)
    assert scene.budget("home_purchase") == (0, 100_000, 0, 1)
    scene.time_passes(hours=1)
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)


def test_nobody_decides_their_own_appeal_or_without_a_reason_or_without_being_an_officer(
    scene: Scene, sign_in: SignIn
) -> None:
    doctor = scene.talent(DOCTOR)
    claim = clawed_back(scene, doctor)
    appeals(scene, doctor, claim)
    problem(decides(scene, doctor, claim, "drop"), 403, "not-allowed")
    problem(scene.client.get("/v1/talent-appeals", headers=doctor), 403, "not-allowed")
    del sign_in.refresh_tokens["13800000101"]  # that of a month ago
    herself = SignedInPerson(scene.client.app, sign_in("13800000101", roles=["talent_officer"]))
    problem(decides(scene, herself, claim, "drop"), 403, "own-appeal")
    at, officer = f"/v1/talent-appeals/{claim['id']}", scene.officer()
    for reason in ({"zh": "", "en": "x"}, {"zh": "x"}):
        answer = scene.client.put(at, json={"decision": "drop", "reason": reason}, headers=officer)
        assert answer.status_code == 400
    assert scene.claim(doctor, claim)["clawback"]["appeal"] == "pending"


# ── paying back ──


def test_what_is_owed_is_collected_when_its_time_is_over_and_daily_while_there_is_no_money(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    bank.close_account(CARD)
    scene.clock.now = NOON + timedelta(days=75) - timedelta(seconds=1)
    scene.time_passes()
    assert found(scene, claim).clawback.collections == ()
    scene.time_passes(seconds=1)
    for attempts in (1, 2):
        assert [one.state for one in found(scene, claim).clawback.collections] == ["failed"] * attempts
        scene.time_passes(hours=23)
        assert len(found(scene, claim).clawback.collections) == attempts
        if attempts == 2:
            bank.reopen_account(CARD)
        scene.time_passes(hours=1)
    shown = scene.claim(doctor, claim)
    assert (shown["clawback"]["owed_fen"], shown["returned_fen"]) == (0, 100_000 * YUAN)
    assert [one.kind for one in bank.entries()] == ["payout", "collection"]
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)
    assert told(scene, claim)[-1] == "repayment_received"


def test_it_is_paid_back_by_one_tap_once(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    assert problem(repays(scene, doctor, claim, 99_999, "other"), 409, "nothing-to-repay")["owed_fen"] == 100_000 * YUAN
    answers = [repays(scene, doctor, claim, 100_000) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["clawback"]["owed_fen"], answers[0].json()["returned_fen"]) == (0, 100_000 * YUAN)
    problem(repays(scene, doctor, claim, 100_000, "once-more"), 409, "nothing-to-repay")
    problem(appeals(scene, doctor, claim), 409, "nothing-to-appeal")
    assert [one.kind for one in bank.entries()] == ["payout", "collection"]
    scene.time_passes(days=90)
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)


def test_a_repayment_that_the_bank_did_not_carry_out_is_owed_still_and_an_appeal_is_still_open(scene: Scene) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    bank.database.script_outcomes("collect", "refused")
    for _ in range(2):
        problem(repays(scene, doctor, claim, 100_000), 402, "repayment-failed")
    assert scene.claim(doctor, claim)["clawback"]["owed_fen"] == 100_000 * YUAN
    assert appeals(scene, doctor, claim).status_code == 200


@pytest.mark.parametrize("outcome", ["lost_before", "lost_after", "pending"])
def test_while_the_bank_is_silent_nothing_is_paid_back_twice(scene: Scene, outcome: CallOutcome) -> None:
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    claim = clawed_back(scene, doctor)
    bank.database.script_outcomes("collect", outcome)
    answer = repays(scene, doctor, claim, 100_000)
    assert (answer.status_code, answer.json()["clawback"]["owed_fen"]) == (201, 100_000 * YUAN)
    problem(repays(scene, doctor, claim, 100_000, "once-more"), 409, "repayment-in-progress")
    scene.time_passes(seconds=20)
    scene.time_passes(seconds=10)
    assert scene.claim(doctor, claim)["clawback"]["owed_fen"] == 0
    assert [one.kind for one in bank.entries()] == ["payout", "collection"]
    assert scene.budget("home_purchase") == (0, 100_000, 100_000, 1)


def test_whoever_owes_claims_nothing_new_once_the_time_for_an_appeal_is_over(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = clawed_back(scene, doctor)
    assert scene.claimed(doctor, "monthly_rent", homes=0)["stage"] == "paid"
    scene.clock.now = NOON + timedelta(days=45)
    said = problem(scene.claims(doctor, "graduate_allowance"), 409, "repayment-outstanding")
    assert said["owed_fen"] == 100_000 * YUAN
    assert repays(scene, doctor, claim, 100_000).status_code == 201
    assert scene.claimed(doctor, "graduate_allowance")["stage"] == "granted"


def test_what_comes_back_is_paid_to_whoever_waits(scene: Scene, tmp_path: Path) -> None:
    scene.rules_change(write_rules(tmp_path / "rules", 50 * YUAN))
    owner, other = scene.talent(DOCTOR), scene.talent(DOCTOR, "13800000102")
    claim, waiting = scene.claimed(owner, "plain"), scene.claimed(other, "plain")
    assert waiting["stage"] == "waiting"
    scene.port(PropertyRegister).set_homes(owner.id_number, 1)
    scene.time_passes(days=3)
    assert repays(scene, owner, claim, 50).status_code == 201
    scene.call(scene.jobs_end)
    assert scene.claim(other, waiting)["stage"] == "paid"
    assert scene.budget("plain") == (0, 100, 50, 2)
