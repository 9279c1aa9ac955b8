"""Payments are audited afterwards: what was paid on false facts is claimed back."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.benefits.audits import is_selected, record_audit, reduce_open_instalments
from backend.benefits.claim import Audit, ClaimInstalment
from backend.city.service import City
from backend.i18n import Text
from backend.security.field_encryption import FieldEncryption
from backend.security.keyring import Keyring, make_keys
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.ports import PropertyRegister, SocialInsurance, Tax
from backend.services.talent_code.saga import benefits
from integrations._sandbox.database import CallOutcome
from tests.services.talent_code.clawbacks import YUAN, appeals, clawed_back, decides, sent_notices, stored_claim
from tests.services.talent_code.sample_rules import write_rules
from tests.services.talent_code.scene import DOCTOR, LEADER, NOON, Citizen, Scene

# ── selection ──


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


def test_large_amounts_are_always_audited_and_others_as_often_as_the_rules_say(scene: Scene, tmp_path: Path) -> None:
    def drawn(fen: int, stated: tuple[str, ...], city: City = scene.city) -> list[int]:
        return [number for number in range(2_000) if is_selected(benefits, city, paid_claim(number, fen, stated), NOON)]

    assert len(drawn(100_000 * YUAN, ())) == 2_000
    one_in_ten, one_in_fifty = drawn(99_999 * YUAN, ("homes",)), drawn(99_999 * YUAN, ())
    assert 140 <= len(one_in_ten) <= 260
    assert 15 <= len(one_in_fifty) <= 65
    assert set(one_in_fifty) <= set(one_in_ten)
    assert drawn(99_999 * YUAN, ("homes",)) == one_in_ten
    make_keys(tmp_path / "other-keys")
    other_city = replace(scene.city, encryption=FieldEncryption(Keyring.open(tmp_path / "other-keys")))
    assert drawn(99_999 * YUAN, ("homes",), other_city) != one_in_ten


# ── findings ──


def test_an_audit_after_thirty_days_does_not_change_a_correct_claim(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    claim = scene.claimed(doctor, "home_purchase")
    scene.time_passes(days=29, hours=23)
    assert stored_claim(scene, claim).audit is None
    scene.time_passes(hours=1)
    audit = stored_claim(scene, claim).audit
    assert audit is not None
    assert (audit.drawn, audit.entitled_fen, audit.differing_facts) == (True, 200_000 * YUAN, ())
    assert scene.claim(doctor, claim) == claim
    assert sent_notices(scene, claim) == ["paid"]


def test_if_an_audit_finds_a_home_the_payment_is_clawed_back_and_the_rest_is_cancelled(scene: Scene) -> None:
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
    scene.time_passes(
        days=15, seconds=-1
    )  # nothing more is paid, but the rest stays reserved as long as an appeal is possible
    assert [instalment["state"] for instalment in scene.claim(doctor, shown)["instalments"]] == ["paid", "open"]
    assert scene.budget("home_purchase") == (100_000, 100_000, 0, 1)
    scene.time_passes(seconds=1)
    assert [instalment["state"] for instalment in scene.claim(doctor, shown)["instalments"]] == ["paid"]
    assert scene.budget("home_purchase") == (0, 100_000, 0, 1)
    assert sent_notices(scene, shown) == ["paid", "clawed_back", "reduced"]


def claimed_as_a_leader_but_is_a_doctor(scene: Scene, benefit: str) -> tuple[Citizen, dict[str, Any]]:
    """Let a person of class D claim, whose title turns out to be false; their degree gives class E."""
    leader = scene.talent(LEADER)
    scene.has(leader, LEADER, DOCTOR)
    scene.declares(leader, DOCTOR)
    claim = scene.claimed(leader, benefit)
    scene.has(leader, DOCTOR)
    return leader, claim


def test_if_the_class_turns_out_lower_the_difference_is_clawed_back(scene: Scene) -> None:
    """Class D was paid 500,000 of a million yuan; class E, which her degree gives, is entitled to 200,000."""
    leader, claim = claimed_as_a_leader_but_is_a_doctor(scene, "home_purchase")
    scene.time_passes(days=30)
    clawback = scene.claim(leader, claim)["clawback"]
    assert (clawback["amount_fen"], clawback["differing_facts"]) == (300_000 * YUAN, ["talent_class"])
    scene.time_passes(days=15)
    assert scene.budget("home_purchase") == (0, 500_000, 0, 1)


def test_expenses_without_invoices_are_clawed_back(scene: Scene, tmp_path: Path) -> None:
    """One person stated 40 yuan and has invoices for 25; another stated 10 yuan and has invoices for 90."""
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
def test_an_audit_is_retried_if_the_property_register_does_not_answer(scene: Scene, outcome: CallOutcome) -> None:
    doctor, register = scene.talent(DOCTOR), scene.port(PropertyRegister)
    claim = scene.claimed(doctor, "home_purchase")
    register.set_homes(doctor.id_number, 1)
    register.database.inject_faults("homes", {outcome: 1_000})
    scene.time_passes(days=30)
    assert stored_claim(scene, claim).audit is None
    register.database.clear_faults()
    scene.time_passes(hours=2)
    assert scene.claim(doctor, claim)["clawback"]["amount_fen"] == 100_000 * YUAN


def test_open_instalments_are_reduced_by_the_excess_from_the_last_one_on() -> None:
    """30 of 100 yuan were paid. An audit leaves 50, so 20 and 0 remain of the two open instalments."""
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
    """Let an audit find that a person who claimed as class D, in three instalments, is of class E: one fen less."""
    scene.rules_change(write_rules(folder, 1_000 * YUAN))
    leader, claim = claimed_as_a_leader_but_is_a_doctor(scene, "thirds")
    scene.time_passes(days=3)
    clawback = scene.claim(leader, claim)["clawback"]
    assert (clawback["amount_fen"], clawback["owed_fen"], clawback["reduction_fen"]) == (0, 0, 1)
    scene.port(SocialInsurance).set_months(leader.id_number, 12)
    return leader, claim


def instalments(scene: Scene, person: Citizen, claim: dict[str, Any]) -> list[tuple[int, str]]:
    return [(instalment["amount_fen"], instalment["state"]) for instalment in scene.claim(person, claim)["instalments"]]


def test_instalments_that_an_audit_leaves_are_paid_and_the_reduced_one_after_the_appeal_period(
    scene: Scene, tmp_path: Path
) -> None:
    leader, claim = reduced(scene, tmp_path / "rules")
    scene.time_passes(days=14)
    assert instalments(scene, leader, claim) == [(33_00, "paid"), (33_00, "paid"), (34_00, "open")]
    scene.time_passes(days=1)
    assert instalments(scene, leader, claim) == [(33_00, "paid"), (33_00, "paid"), (33_99, "paid")]
    assert sent_notices(scene, claim) == ["paid", "reduction_announced", "paid", "reduced", "paid"]


@pytest.mark.parametrize(
    ("decision", "last_fen", "notices"),
    [("drop", 34_00, ["reduction_cancelled"]), ("uphold", 33_99, ["reduction_confirmed", "reduced"])],
)
def test_a_citizen_may_appeal_against_a_reduction(
    scene: Scene, tmp_path: Path, decision: str, last_fen: int, notices: list[str]
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
    assert sent_notices(scene, claim) == ["paid", "reduction_announced", "paid", *notices, "paid"]
