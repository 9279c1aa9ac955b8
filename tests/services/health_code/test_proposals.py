"""Events that need a second person: who proposes, who decides, and what takes effect when."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest

from backend.city.audit_log import Act, AuditEntry, act_of
from backend.city.service import City
from backend.jobs.tasks import discover_tasks
from backend.services.health_code.model import HealthEventReceipt
from backend.services.health_code.proposals import PROPOSAL_LIFETIME, WITHDRAWAL_LIFETIME
from backend.services.health_code.tasks import finish_event
from tests.services.health_code.scene import (
    LABORATORY,
    OFFICE,
    Client,
    Clock,
    Headers,
    Scene,
    account_of,
    assign_source,
    id_number,
    problem,
    stored,
    without_identity,
)

YESTERDAY = "2022-04-19T08:00:00+08:00"
CONTACT = {"level": "close", "at": YESTERDAY}
SECOND_PERSON = "/problems/second-person-required"
POSITIVE = {"test": "pcr", "result": "positive", "sampled_at": YESTERDAY}


def sweep(client: Client) -> None:
    """Run at once what the sweep would enqueue."""
    city: City = client.app.state.city

    async def work() -> None:
        for receipt in [receipt async for receipt in city.store.scan(HealthEventReceipt)]:
            if receipt.due_ms is not None and receipt.due_ms <= city.now().timestamp() * 1_000:
                await finish_event(city, receipt.id)

    client.blocking_portal.call(work)


def acts(client: Client) -> list[Act]:
    """Return the acts of the health code, in their order: those in the log, and those that are still on their way."""
    waiting = [act for receipt in stored(client, HealthEventReceipt) for act in receipt.acts]
    return sorted([*waiting, *map(act_of, stored(client, AuditEntry))], key=lambda act: act.at)


def person_of(headers: Headers) -> str:
    return jwt.decode(headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})["cit"]


def notices(scene: Scene, person: Headers) -> list[str]:
    answer = scene.client.get("/v1/me/notices", headers=person)
    return [notice["text"]["zh"] for notice in answer.json()["notices"]]


@pytest.mark.parametrize(
    ("kind", "details", "rule"),
    [
        ("contact", CONTACT, "close-contact"),
        ("isolation", {"place": "home", "began_at": YESTERDAY}, "isolation"),
        ("false_statement", {"at": YESTERDAY}, "false-statement"),
    ],
)
def test_what_an_officer_reports_turns_nobody_red_before_another_person_approves_it(
    scene: Scene, wang: Headers, approver: Headers, kind: str, details: dict[str, str], rule: str
) -> None:
    event = scene.by_office(kind, **details)
    assert scene.outcomes(event, event) == ["proposed", "proposed"]
    assert scene.code(wang)["rule"] == "otherwise"
    [proposal] = scene.proposals(approver)
    assert (proposal["source"], proposal["kind"], proposal["reason"]) == (OFFICE, kind, "kind")
    assert proposal["event"]["kind"] == kind
    assert scene.approve(approver, proposal["id"]) == ["decided"]
    assert scene.code(wang)["rule"] == rule
    assert (scene.proposals(approver), scene.outcomes(event)) == ([], ["repeated"])


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("case_ended", {"at": "2022-04-20T08:00:00+08:00"}),
        ("isolation_ended", {"at": "2022-04-20T08:00:00+08:00"}),
        ("test", {"test": "pcr", "result": "negative", "sampled_at": "2022-04-20T08:00:00+08:00"}),
        ("withdrawal", {"of": "case"}),
    ],
)
def test_an_officer_alone_ends_nothing_that_keeps_a_code_red(
    scene: Scene, wang: Headers, approver: Headers, kind: str, details: dict[str, str]
) -> None:
    assert scene.outcomes(scene.by_office("case", "case", status="confirmed", since=YESTERDAY)) == ["applied"]
    assert scene.outcomes(scene.by_office("isolation", "isolation", place="home", began_at=YESTERDAY)) == ["proposed"]
    scene.approve(approver)
    before = scene.code(wang)
    assert scene.outcomes(scene.by_office(kind, **details)) == ["proposed"]
    assert scene.code(wang)["rule"] == before["rule"] == "confirmed"
    assert scene.approve(approver) == ["decided"]
    if kind in ("case_ended", "withdrawal"):
        assert scene.code(wang)["rule"] != "confirmed"


@pytest.mark.parametrize(
    ("kind", "details"), [("case", {"status": "confirmed", "since": YESTERDAY}), ("test", POSITIVE)]
)
@pytest.mark.parametrize("by_office", [True, False])
def test_a_case_and_a_positive_test_have_effect_at_once(
    scene: Scene, wang: Headers, kind: str, details: dict[str, str], *, by_office: bool
) -> None:
    event = scene.by_office(kind, **details) if by_office else scene.event(kind, **details)
    assert (scene.outcomes(event), scene.colour(wang)) == (["applied"], "red")


def test_a_laboratory_withdraws_its_own_result_at_once_and_no_other(
    client: Client, scene: Scene, wang: Headers
) -> None:
    assign_source(client, scene.officer, "other-lab", "laboratory")
    scene.report(scene.event("test", "t-1", **POSITIVE))
    withdrawal = scene.event("withdrawal", of="t-1")
    [refused] = scene.report(withdrawal | {"source": "other-lab"})
    assert (refused["problem"]["type"], scene.colour(wang)) == ("/problems/nothing-to-withdraw", "red")
    assert (scene.outcomes(withdrawal), scene.colour(wang)) == (["applied"], "green")


def test_nobody_approves_what_they_proposed_also_from_another_account(
    scene: Scene, wang: Headers, sign_in: Callable[..., Headers]
) -> None:
    scene.report(scene.by_office("contact", **CONTACT))
    both = sign_in("13800138002", name="陈静", id_number=id_number(902), roles=("health_officer", "health_approver"))
    [proposal] = scene.proposals(both)
    assert scene.approve(both, proposal["id"]) == [SECOND_PERSON]
    nameless = without_identity(scene.client, sign_in("13800138091", roles=("health_approver",)))
    answer = scene.client.post("/v1/health-event-proposals/approvals", headers=nameless, json={"ids": [proposal["id"]]})
    problem(answer, 403, "not-allowed")
    assert scene.colour(wang) == "green"
    assert scene.decide("rejections", both, proposal["id"]) == ["decided"], "but they take it back"


def test_nobody_decides_what_concerns_themselves_nor_sees_it(
    scene: Scene, approver: Headers, sign_in: Callable[..., Headers]
) -> None:
    scene.report(scene.by_office("contact", person=id_number(905), **CONTACT))
    [receipt] = [one for one in stored(scene.client, HealthEventReceipt) if one.state == "proposed"]
    assert scene.proposals(approver) == []
    assert scene.approve(approver, receipt.id) == scene.decide("rejections", approver, receipt.id) == [SECOND_PERSON]
    answer = scene.client.get(f"/v1/health-event-proposals/{receipt.id}", headers=approver)
    problem(answer, 409, "second-person-required")
    other = sign_in("13800138006", name="何平", id_number=id_number(906), roles=("health_approver",))
    assert (scene.approve(other), scene.colour(approver)) == (["decided"], "red")


def test_nobody_reports_about_themselves_alone_unless_it_can_only_harm_them(scene: Scene, approver: Headers) -> None:
    own = id_number(902)
    dose = scene.event("vaccination", person=own, at=YESTERDAY)
    negative = scene.event("test", person=own, **POSITIVE | {"result": "negative"})
    assert scene.outcomes(dose, negative) == ["proposed", "proposed"]
    assert {proposal["reason"] for proposal in scene.proposals(approver)} == {"own"}
    assert (scene.outcomes(scene.event("test", "t-1", person=own, **POSITIVE)), scene.colour(scene.officer)) == (
        ["applied"],
        "red",
    )
    assert scene.outcomes(scene.event("withdrawal", person=own, of="t-1")) == ["proposed"]
    assert scene.colour(scene.officer) == "red"


def test_a_rejected_proposal_never_takes_effect(scene: Scene, wang: Headers, approver: Headers) -> None:
    event = scene.by_office("contact", **CONTACT)
    scene.report(event)
    [proposal] = scene.proposals(approver)
    assert scene.decide("rejections", approver) == ["decided"]
    assert scene.approve(approver, proposal["id"]) == ["/problems/not-found"]
    [again] = scene.report(event)
    assert (again["outcome"], again["problem"]["type"]) == ("refused", "/problems/proposal-closed")
    assert scene.colour(wang) == "green"
    [receipt] = stored(scene.client, HealthEventReceipt)
    assert (receipt.event, receipt.due_ms) == (None, None)


def test_a_proposal_expires_and_is_reported_under_a_new_id(
    client: Client, scene: Scene, wang: Headers, approver: Headers, clock: Clock
) -> None:
    event = scene.by_office("contact", **CONTACT)
    scene.report(event)
    [proposal] = scene.proposals(approver)
    clock.now += PROPOSAL_LIFETIME
    assert (scene.proposals(approver), scene.approve(approver, proposal["id"])) == ([], ["/problems/not-found"])
    sweep(client)
    assert [receipt.state for receipt in stored(client, HealthEventReceipt)] == ["expired"]
    [again] = scene.report(event)
    assert again["problem"]["type"] == "/problems/proposal-closed"
    assert scene.outcomes(scene.by_office("contact", **CONTACT)) == ["proposed"]
    assert (scene.approve(approver), scene.colour(wang)) == (["decided"], "red")


def test_a_withdrawal_waits_longer_and_can_be_proposed_again_and_again(
    client: Client, scene: Scene, wang: Headers, approver: Headers, clock: Clock
) -> None:
    scene.report(scene.by_office("case", "c-1", status="confirmed", since=YESTERDAY))
    for attempt in range(2):
        assert scene.outcomes(scene.by_office("withdrawal", of="c-1")) == ["proposed"], attempt
        clock.now += PROPOSAL_LIFETIME
        assert len(scene.proposals(approver)) == 1
        clock.now += WITHDRAWAL_LIFETIME - PROPOSAL_LIFETIME
        sweep(client)
    assert scene.code(wang)["rule"] != "otherwise"
    assert scene.outcomes(scene.by_office("withdrawal", of="c-1")) == ["proposed"]
    assert (scene.approve(approver), scene.colour(wang)) == (["decided"], "green")


def test_of_two_proposed_withdrawals_of_an_event_the_second_has_nothing_to_withdraw(
    scene: Scene, wang: Headers, approver: Headers
) -> None:
    scene.report(scene.by_office("case", "c-1", status="confirmed", since=YESTERDAY))
    assert scene.outcomes(*(scene.by_office("withdrawal", of="c-1") for _ in range(2))) == ["proposed"] * 2
    assert scene.colour(wang) == "red", "a proposed withdrawal is none"
    assert scene.approve(approver) == ["decided", "/problems/nothing-to-withdraw"]
    assert scene.colour(wang) == "green"


def test_an_officer_takes_back_their_own_proposal_alone_and_no_other_officer_does(
    client: Client, scene: Scene, wang: Headers, approver: Headers, sign_in: Callable[..., Headers]
) -> None:
    event = scene.by_office("contact", "c-1", **CONTACT)
    scene.report(event)
    colleague = sign_in("13800138008", name="孙洁", id_number=id_number(908), roles=("health_officer",))
    assign_source(client, colleague, OFFICE, "office")
    body = {"events": [scene.by_office("withdrawal", "w-0", of="c-1")]}
    [refused] = client.post("/v1/health-events", headers=colleague, json=body).json()["results"]
    assert refused["problem"]["type"] == "/problems/nothing-to-withdraw"
    withdrawal = scene.by_office("withdrawal", "w-1", of="c-1")
    assert scene.outcomes(withdrawal, withdrawal) == ["applied", "repeated"]
    assert (scene.proposals(approver), scene.outcomes(event), scene.colour(wang)) == ([], ["repeated"], "green")


def test_an_approved_proposal_is_withdrawn_by_two(scene: Scene, wang: Headers, approver: Headers) -> None:
    scene.report(scene.by_office("contact", "c-1", **CONTACT))
    scene.approve(approver)
    assert scene.outcomes(scene.by_office("withdrawal", of="c-1")) == ["proposed"]
    assert scene.colour(wang) == "red"
    scene.approve(approver)
    assert scene.colour(wang) == "green"


def test_beyond_the_bounds_of_its_source_an_event_waits_for_a_second_person(
    client: Client, scene: Scene, approver: Headers, clock: Clock
) -> None:
    assign_source(client, scene.officer, LABORATORY, "laboratory", events_per_day=4, decisive_per_day=2)

    def tests(result: str, number: int) -> list[dict[str, Any]]:
        return [scene.event("test", person=id_number(n), **POSITIVE | {"result": result}) for n in range(number)]

    first = tests("positive", 3)
    assert scene.outcomes(*first) == ["applied", "applied", "proposed"]
    assert scene.outcomes(*first) == ["repeated", "repeated", "proposed"], "sent again, nothing is counted"
    assert scene.outcomes(*tests("negative", 3)) == ["applied", "applied", "proposed"]
    assert {proposal["reason"] for proposal in scene.proposals(approver)} == {"bulk"}
    assert scene.outcomes(scene.event("contact", **CONTACT)) == ["applied"], "another source has its own bounds"
    assert scene.approve(approver) == ["decided", "decided"]
    clock.now += timedelta(days=1)
    assert scene.outcomes(*tests("positive", 2)) == ["applied", "applied"]


def test_a_bulk_is_counted_over_all_accounts_of_a_source(
    client: Client, scene: Scene, sign_in: Callable[..., Headers]
) -> None:
    assign_source(client, scene.officer, LABORATORY, "laboratory", decisive_per_day=1)
    colleague = sign_in("13800138008", name="孙洁", id_number=id_number(908), roles=("health_officer",))
    assign_source(client, colleague, LABORATORY, "laboratory", decisive_per_day=1)
    assert scene.outcomes(scene.event("test", **POSITIVE)) == ["applied"]
    scene.officer = colleague
    assert scene.outcomes(scene.event("test", **POSITIVE | {"sampled_at": scene.ago(hours=3)})) == ["proposed"]


def test_an_approver_sees_whom_a_proposal_is_about_and_the_act_is_recorded(
    scene: Scene, wang: Headers, approver: Headers
) -> None:
    scene.report(scene.by_office("contact", **CONTACT))
    [proposal] = scene.proposals(approver)
    shown = scene.client.get(f"/v1/health-event-proposals/{proposal['id']}", headers=approver).json()
    assert (shown["name"], shown["id_number"]) == ("*芳", "*" * 14 + id_number(1)[-4:])
    assert shown["proposal"] == proposal
    [proposed, read] = acts(scene.client)
    assert (proposed.action, proposed.person) == ("health_code.event_proposed", ""), "they see it when it is decided"
    assert (read.action, read.person) == ("health_code.proposal_read", person_of(wang))
    answer = scene.client.get("/v1/health-event-proposals/unknown", headers=approver)
    problem(answer, 404, "not-found")


def test_every_act_is_recorded_with_its_account_role_and_kind(
    scene: Scene, wang: Headers, approver: Headers, clock: Clock
) -> None:
    scene.report(scene.event("test", "t-1", **POSITIVE), scene.event("withdrawal", of="t-1"))
    clock.now += timedelta(minutes=1)
    scene.report(scene.by_office("contact", **CONTACT))
    clock.now += timedelta(minutes=1)
    scene.approve(approver)
    clock.now += timedelta(minutes=1)
    scene.report(scene.by_office("isolation", place="home", began_at=YESTERDAY))
    clock.now += timedelta(minutes=1)
    scene.decide("rejections", approver)
    officer, other, person = account_of(scene.officer), account_of(approver), person_of(wang)
    recorded = [
        (act.action.removeprefix("health_code."), act.reason, act.account, act.role, act.person)
        for act in acts(scene.client)
    ]
    assert sorted(recorded[:2]) == [
        ("event_reported", "test", officer, "health_officer", person),
        ("event_reported", "withdrawal", officer, "health_officer", person),
    ]
    assert recorded[2:] == [
        ("event_proposed", "contact", officer, "health_officer", ""),
        ("event_approved", "contact", other, "health_approver", person),
        ("event_proposed", "isolation", officer, "health_officer", ""),
        ("event_rejected", "isolation", other, "health_approver", person),
    ]


def test_a_person_is_notified_once_when_a_report_turns_them_red_and_when_it_is_withdrawn(
    scene: Scene, wang: Headers, approver: Headers, clock: Clock
) -> None:
    scene.report(scene.by_office("contact", "c-1", **CONTACT))
    assert notices(scene, wang) == [], "a proposal is not known yet"
    scene.approve(approver)
    because = scene.code(wang)["because"]["zh"]
    assert notices(scene, wang) == [f"您的健康码已转为红码：{because}。请打开健康码查看详情。"]
    positive = scene.event("test", "t-1", **POSITIVE)
    scene.report(positive, positive)
    assert len(notices(scene, wang)) == 1, "the code was red before"
    clock.now += timedelta(minutes=1)
    scene.report(scene.by_office("withdrawal", of="c-1"))
    scene.approve(approver)
    assert notices(scene, wang)[0] == "一项有关您健康码的报告已被撤回，您的健康码现为红码。"
    scene.report(scene.by_office("contact", "c-2", **CONTACT), scene.by_office("withdrawal", of="c-2"))
    assert len(notices(scene, wang)) == 2, "what never had effect is not withdrawn"


def test_proposals_come_in_pages_the_oldest_first(client: Client, scene: Scene, approver: Headers) -> None:
    number = 120
    for batch in range(3):
        scene.clock.now += timedelta(minutes=1)
        scene.report(
            *(scene.by_office("contact", person=id_number(batch * 40 + each), **CONTACT) for each in range(40))
        )
    seen: list[str] = []
    cursor: str | None = None
    while True:
        parameters = {} if cursor is None else {"cursor": cursor}
        page = client.get("/v1/health-event-proposals", headers=approver, params=parameters).json()
        seen += [proposal["proposed_at"] for proposal in page["proposals"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert (len(seen), seen) == (number, sorted(seen))


def test_only_approvers_see_and_decide_proposals(scene: Scene, wang: Headers, gatekeeper: Headers) -> None:
    for person in (wang, gatekeeper, scene.officer):
        assert scene.client.get("/v1/health-event-proposals", headers=person).status_code == 403
        for decision in ("approvals", "rejections"):
            path = f"/v1/health-event-proposals/{decision}"
            assert scene.client.post(path, headers=person, json={"ids": ["x"]}).status_code == 403


def test_a_person_neither_sees_nor_ends_a_proposal_by_exporting_their_data_or_closing_their_account(
    client: Client, scene: Scene, wang: Headers, approver: Headers, clock: Clock, sign_in: Callable[..., Headers]
) -> None:
    scene.report(scene.by_office("contact", **CONTACT))
    exported = client.get("/v1/me/export", headers=wang)
    assert exported.status_code == 200
    for hidden in ("2022-04-19", "proposed", account_of(scene.officer), person_of(scene.officer)):
        assert hidden not in exported.text
    assert client.post("/v1/me/closure", headers=wang).status_code == 200
    clock.now += timedelta(days=2)
    for task in ("account.sweep_closures", "audit.sweep_acts", "account.sweep_closures"):
        sweep_of: Callable[..., Any] = discover_tasks()[task]
        client.blocking_portal.call(sweep_of, client.app.state.city)
    assert scene.approve(approver) == ["decided"]
    assert scene.colour(sign_in("13800138071", name="王芳", id_number=id_number(1))) == "red"
