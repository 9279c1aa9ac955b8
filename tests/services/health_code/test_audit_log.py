"""A busy day in the city leaves nothing personal in the audit log, and people see what was done to them."""

from collections.abc import Callable

import msgspec
from litestar import Litestar
from litestar.testing import TestClient

from tests.services.audit_entries import acts, logged, verified
from tests.services.health_code.scene import Scene, SignedInPerson, id_number

WANG_PHONE = "13800138001"
REASON = "王芳（电话13800138001，身份证330106199003070012）调到西湖博物馆"


def test_a_person_sees_who_reported_read_and_approved_what_concerns_their_code(
    scene: Scene, wang: SignedInPerson, approver: SignedInPerson
) -> None:
    scene.report(scene.by_office("contact", level="close", at=scene.ago(days=1)))
    (proposal,) = scene.proposals(approver)
    assert acts(scene.client, wang) == []  # nothing is in force yet
    scene.client.get(f"/v1/health-event-proposals/{proposal['id']}", headers=approver)
    scene.approve(approver)
    scene.report(scene.event("case", status="confirmed", since=scene.ago(hours=1)))
    logged(scene.client)
    assert sorted(acts(scene.client, wang)) == [
        ("health_code.event_approved", "health_approver"),
        ("health_code.event_reported", "health_officer"),
        ("health_code.proposal_read", "health_approver"),
    ]


def test_a_busy_day_leaves_nothing_personal_in_the_log(
    scene: Scene,
    wang: SignedInPerson,
    approver: SignedInPerson,
    sign_in: Callable[..., SignedInPerson],
) -> None:
    client = scene.client
    anna = sign_in("13800138011", name="安娜", id_number=id_number(911), roles=("operator",))
    ben = sign_in("13800138012", name="贝恩", id_number=id_number(912), roles=("operator",))
    auditor = sign_in("13800138013", name="高审", id_number=id_number(913), roles=("auditor",))
    scene.report(
        scene.by_office("contact", level="close", at=scene.ago(days=1)),
        scene.event("case", person=id_number(77), status="confirmed", since=scene.ago(hours=1)),
        scene.event("test", test="pcr", result="negative", sampled_at=scene.ago(hours=2)),
    )
    scene.approve(approver)
    client.post("/v1/accounts/lookups", json={"phone": WANG_PHONE}, headers=anna)
    client.post("/v1/accounts/lookups", json={"phone": "13900000099"}, headers=anna)
    body = {"phone": WANG_PHONE, "reason": REASON, "roles": ["gate"], "venues": ["west-lake-museum"]}
    grant = client.post("/v1/staff/grants", json=body, headers=anna)
    assert grant.status_code == 201, grant.text
    client.post(f"/v1/staff/grants/{grant.json()['id']}/approval", headers=ben)
    account = client.get("/v1/me", headers=wang).json()["id"]
    client.post(f"/v1/staff/{account}/withdrawals", json={"roles": ["gate"], "reason": REASON}, headers=anna)
    client.get(f"/v1/audit/entries?about={account}", headers=auditor)
    entries = logged(client)
    actions = {entry.action for entry in entries}
    assert {"account.looked_up", "account.grant_proposed", "health_code.event_proposed", "audit.read"} <= actions
    text = msgspec.json.encode(entries).decode()
    secrets = ["王芳", "安娜", "陈静", "西湖", REASON, *(id_number(serial) for serial in (1, 77, 902, 911))]
    assert [secret for secret in [*secrets, WANG_PHONE, "13900000099", "13800138011"] if secret in text] == []
    assert verified(client).entries == len(entries)
    seen = {action for action, _ in acts(client, wang)}
    assert {"account.looked_up", "account.grant_proposed", "audit.read"} <= seen
    assert_no_names(client, wang)


def assert_no_names(client: TestClient[Litestar], person: SignedInPerson) -> None:
    """Check that a person sees roles and authorities, and no account of staff."""
    shown = client.get("/v1/me/audit", headers=person).json()["entries"]
    assert all(set(entry) == {"id", "at", "action", "text", "role", "authority", "reason"} for entry in shown)
