"""What officers and partners do with talents is in the audit log, and the talent sees it."""

from backend.city.person import Person
from backend.services.talent_code.model.redemption import Usage
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.tasks import sweep_usages
from tests.services.audit_entries import acts, logged, verified
from tests.services.health_code.scene import stored
from tests.services.talent_code.clawbacks import appeals, clawed_back, decides
from tests.services.talent_code.desk import PARK, Desk
from tests.services.talent_code.scene import DOCTOR, Citizen, Scene


def test_a_talent_sees_who_read_and_decided_their_appeal(scene: Scene) -> None:
    doctor, officer = scene.talent(DOCTOR), scene.officer()
    claim = clawed_back(scene, doctor)
    appeals(scene, doctor, claim, "王芳的房屋已出售，电话13800000101")
    scene.client.get("/v1/talent-appeals", headers=officer)
    scene.client.get(f"/v1/talent-appeals/{claim['id']}", headers=officer)
    for _ in range(2):  # repeated, it is one decision
        assert decides(scene, officer, claim, "drop").status_code == 200
    entries = [entry for entry in logged(scene.client) if entry.about == claim["id"]]
    assert sorted((entry.action, entry.person) for entry in entries) == [
        ("talent_code.appeal_decided", doctor.id),
        ("talent_code.appeal_read", doctor.id),
        ("talent_code.appeal_read", doctor.id),
    ]
    assert {entry.account for entry in entries} == {officer.caller.account_id}
    assert [entry.reason for entry in entries if entry.action.endswith("decided")] == ["drop"]
    assert min(acts(scene.client, doctor)) == ("talent_code.appeal_decided", "talent_officer")


def test_a_review_that_an_officer_requests_is_recorded_whether_or_not_the_person_is_a_talent(
    scene: Scene, wang: Citizen
) -> None:
    officer = scene.officer()
    for number in (wang.id_number, "110101199003070054"):
        scene.client.post("/v1/talent-reviews", json={"id_number": number}, headers=officer)
    requested = [entry for entry in logged(scene.client) if entry.action == "talent_code.review_requested"]
    assert len(requested) == 2
    assert acts(scene.client, wang) == [("talent_code.review_requested", "talent_officer")]


def test_a_scan_and_a_use_at_a_partner_are_recorded_once(scene: Scene, desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    desk.scans(payload)
    for _ in range(2):
        assert desk.redeems(payload, "redemption-1").status_code == 200
    recorded = [(entry.action, entry.about, entry.reason) for entry in logged(scene.client) if entry.role == "partner"]
    assert sorted(recorded) == [("talent_code.redeemed", PARK, "park_entry"), ("talent_code.verified", PARK, "")]
    assert len(acts(scene.client, wang)) == 2


def test_a_use_that_is_deleted_leaves_its_entry(scene: Scene, desk: Desk, wang: Citizen) -> None:
    desk.redeem_new_code(wang)
    scene.clock.now = scene.clock.now.replace(year=2028)
    scene.call(sweep_usages, scene.city)
    assert stored(scene.client, Usage) == []
    assert "talent_code.redeemed" in {entry.action for entry in logged(scene.client)}


def test_erasing_a_person_leaves_the_log_valid(scene: Scene, desk: Desk, wang: Citizen) -> None:
    desk.redeem_new_code(wang)
    before = len(logged(scene.client))
    for kind in (Person, Talent, Usage):
        for document in stored(scene.client, kind):
            scene.call(scene.city.store.delete, document)
    assert verified(scene.client).entries == before
    assert len(logged(scene.client)) == before
