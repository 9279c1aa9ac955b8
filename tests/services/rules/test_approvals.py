"""An approver approves what the server found out about a release, and activates it now or later."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.city import following_releases
from backend.city.releases import RulebookPointer
from backend.i18n import Text
from backend.problems import Problem
from backend.services.rules.model import (
    ReviewIncomplete,
    ReviewOutdated,
    ReviewPart,
    ReviewPending,
    RulebookApproval,
    RulebookReview,
    check_seen,
    new_review,
)
from backend.services.rules.tasks import sweep_activations
from tests.conftest import Clock
from tests.servers import wait_until
from tests.services.audit_entries import logged
from tests.services.health_code.scene import stored
from tests.services.rules.publishing import (
    DONE_WITHOUT,
    RULES,
    Client,
    Headers,
    activate,
    approve,
    approve_and_activate,
    city_of,
    edition,
    in_force,
    refused,
    review,
    submitted,
)

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=10)  # within the life of an access token


# ── reviewing ──


def test_a_review_is_bound_to_both_releases_and_says_what_changed(
    client: Client, author: Headers, approver: Headers
) -> None:
    digest = submitted(client, author, "All is well")
    found = review(client, approver, digest)
    assert (found["release"], found["compared_with"]) == (digest, city_of(client).rulebook.digest)
    parts = {part["name"]: part for part in found["parts"]}
    assert list(parts) == ["diff", "proof", "preview", "replay"]
    (module,) = parts["diff"]["report"]["modules"]
    assert (module["module"], module["effect"]) == ("health_code.colour", "wording")
    assert all(part["failure"] is None or part["failure"]["zh"] for part in found["parts"])
    assert found["approval"] is None


def test_an_approval_records_who_saw_what_and_puts_nothing_in_force(
    client: Client, author: Headers, approver: Headers
) -> None:
    digest = submitted(client, author, "All is well")
    found = review(client, approver, digest)
    answer = approve(client, approver, digest)
    assert (answer.status_code, answer.json()["review"]) == (200, found["digest"]), answer.text
    (approval,) = stored(client, RulebookApproval)
    assert [(part.name, part.digest) for part in approval.seen] == [
        (part["name"], part["digest"] or "") for part in found["parts"]
    ]
    assert review(client, approver, digest)["approval"] == answer.json()
    assert in_force(client) is None


def test_a_release_that_nobody_approved_is_not_put_in_force(client: Client, author: Headers, approver: Headers) -> None:
    digest = submitted(client, author, "All is well")
    refused(activate(client, approver, digest), 409, "not-approved")
    assert in_force(client) is None


def test_a_review_that_the_approver_did_not_see_is_not_approved(
    client: Client, author: Headers, approver: Headers
) -> None:
    one, two = (submitted(client, author, reason) for reason in ("One", "Two"))
    other = review(client, approver, two)["digest"]
    refused(approve(client, approver, one, review=other), 409, "review-outdated")
    assert stored(client, RulebookApproval) == []


def test_an_approval_holds_only_against_the_rules_then_in_force(
    client: Client, author: Headers, approver: Headers
) -> None:
    one, two = (submitted(client, author, reason) for reason in ("One", "Two"))
    before = review(client, approver, two)
    assert approve(client, approver, two).status_code == 200
    assert approve_and_activate(client, approver, one).status_code == 200
    answer = activate(client, approver, two)
    refused(answer, 409, "not-approved")
    assert "Other rules were put in force since" in answer.json()["detail"]
    refused(approve(client, approver, two, review=before["digest"]), 409, "review-outdated")
    assert review(client, approver, two)["compared_with"] == one
    answer = approve_and_activate(client, approver, two)
    assert answer.status_code == 200, answer.text
    assert activate(client, approver, one).status_code == 200, "an earlier release needs no other approval"


@pytest.mark.parametrize(
    ("made", "seen", "acknowledged", "problem"),
    [
        (False, True, True, ReviewPending),
        (True, False, True, ReviewOutdated),
        (True, True, False, ReviewIncomplete),
    ],
    ids=["not made yet", "another one", "without a reason"],
)
def test_an_approval_needs_a_review_that_was_made_seen_and_acknowledged(
    made: bool, seen: bool, acknowledged: bool, problem: type[Problem]
) -> None:
    found = new_review("a" * 64, "b" * 64, NOON)
    if made:
        found = completed(found)
    with pytest.raises(problem):
        check_seen(found, found.digest if seen else "c" * 64, {"proof": DONE_WITHOUT} if acknowledged else {})


def test_a_part_that_could_not_be_made_is_approved_without_for_a_reason() -> None:
    found = completed(new_review("a" * 64, "b" * 64, NOON))
    seen = check_seen(found, found.digest, {"proof": DONE_WITHOUT, "diff": "no reason is needed"})
    assert [(part.name, part.digest, part.acknowledged) for part in seen] == [
        ("diff", "d" * 64, ""),
        ("proof", "", DONE_WITHOUT),
    ]


def completed(found: RulebookReview) -> RulebookReview:
    failure = Text(zh="没有", en="none")
    parts = (ReviewPart("diff", "{}", "d" * 64), ReviewPart("proof", failure=failure))
    return RulebookReview(
        id=found.id,
        release=found.release,
        compared_with=found.compared_with,
        requested=found.requested,
        expires_ms=found.expires_ms,
        made=NOON,
        parts=parts,
    )


def test_a_draft_is_checked_and_compared_without_being_stored(client: Client, author: Headers) -> None:
    answer = client.post("/v1/rulebook-checks", json={"files": edition("All is well")}, headers=author)
    assert answer.status_code == 200, answer.text
    assert answer.json()["diff"]["effect"] == "wording"
    broken = RULES | {"other.yaml": "["}
    refused(client.post("/v1/rulebook-checks", json={"files": broken}, headers=author), 422, "invalid-rules")
    assert client.get("/v1/rulebook-releases", headers=author).json()["releases"] == []


# ── activating later ──


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_releases, "POLL_SECONDS", 0.05)


def scheduled(client: Client, author: Headers, approver: Headers, at: datetime = LATER) -> str:
    """Schedule a release, and return its digest."""
    digest = submitted(client, author, "All is well")
    assert approve(client, approver, digest).status_code == 200
    answer = activate(client, approver, digest, at.isoformat())
    assert answer.status_code == 200, answer.text
    assert not answer.json()["in_force"]
    assert datetime.fromisoformat(answer.json()["scheduled"]) == at
    return digest


@pytest.mark.usefixtures("quick")
def test_a_scheduled_release_decides_from_its_instant_on_whatever_the_clock_does_later(
    client: Client, author: Headers, approver: Headers, clock: Clock
) -> None:
    before = city_of(client).rulebook.digest
    digest = scheduled(client, author, approver)
    clock.now = LATER - timedelta(seconds=1)
    assert (in_force(client), city_of(client).rulebook.digest) == (None, before)
    clock.now = LATER
    wait_until(lambda: city_of(client).rulebook.digest == digest)
    clock.now = LATER - timedelta(hours=1)
    client.blocking_portal.call(following_releases.load_active_rulebook, city_of(client))
    assert city_of(client).rulebook.digest == digest
    clock.now = LATER + timedelta(seconds=1)
    client.blocking_portal.call(sweep_activations, city_of(client))
    clock.now = LATER - timedelta(hours=1)
    assert in_force(client) == digest
    acts = [(one.action, one.account == "city") for one in logged(client) if one.action.startswith("rules.activ")]
    assert acts == [("rules.activation_scheduled", False), ("rules.activated", True)]


def test_while_a_release_is_scheduled_no_other_is_activated_until_it_is_cancelled(
    client: Client, author: Headers, approver: Headers
) -> None:
    digest = scheduled(client, author, approver)
    other = submitted(client, author, "Two")
    assert approve(client, approver, other).status_code == 200
    answer = activate(client, approver, other)
    refused(answer, 409, "activation-scheduled")
    assert answer.json()["digest"] == digest
    refused(activate(client, approver, other, LATER.isoformat()), 409, "activation-scheduled")
    refused(client.delete(f"/v1/rulebook-releases/{other}/activations", headers=approver), 409, "nothing-scheduled")
    assert client.delete(f"/v1/rulebook-releases/{digest}/activations", headers=approver).status_code == 200
    assert activate(client, approver, other).status_code == 200
    assert in_force(client) == other


@pytest.mark.parametrize("again", [None, (LATER + timedelta(days=1)).isoformat()], ids=["at once", "later"])
def test_a_scheduled_release_that_is_activated_again_is_said_to_be_scheduled(
    client: Client, author: Headers, approver: Headers, again: str | None
) -> None:
    digest = scheduled(client, author, approver)
    answer = activate(client, approver, digest, again)
    refused(answer, 409, "activation-scheduled")
    assert answer.json()["detail"].startswith("This release is scheduled already.")


def test_what_is_in_force_cannot_be_cancelled(client: Client, author: Headers, approver: Headers, clock: Clock) -> None:
    digest = scheduled(client, author, approver)
    clock.now = LATER
    refused(client.delete(f"/v1/rulebook-releases/{digest}/activations", headers=approver), 409, "nothing-scheduled")


@pytest.mark.parametrize(
    "at", [NOON - timedelta(days=1), NOON, NOON + timedelta(days=400)], ids=["the past", "now", "too far ahead"]
)
def test_an_activation_is_scheduled_within_the_next_year(
    client: Client, author: Headers, approver: Headers, at: datetime
) -> None:
    digest = submitted(client, author, "All is well")
    refused(activate(client, approver, digest, at.isoformat()), 400, "invalid-request")


def test_the_log_tells_when_each_release_was_and_will_be_in_force(
    client: Client, author: Headers, approver: Headers, clock: Clock
) -> None:
    initial = city_of(client).rulebook.digest
    one = submitted(client, author, "One")
    assert approve_and_activate(client, approver, one).status_code == 200
    clock.now = NOON + timedelta(minutes=1)
    two = scheduled(client, author, approver)
    shown = client.get("/v1/rulebook-activations", headers=author).json()["activations"]
    assert [(entry["digest"], *(entry[end] and entry[end][:16] for end in ("since", "until"))) for entry in shown] == [
        (two, "2022-04-20T04:10", None),
        (one, "2022-04-20T04:00", "2022-04-20T04:10"),
        (initial, None, "2022-04-20T04:00"),
    ]
    assert [entry["since"][:16] for entry in details(client, author, one)] == ["2022-04-20T04:00"]
    assert details(client, author, two) == [], "it was not in force yet"
    (pointer,) = stored(client, RulebookPointer)
    assert len(pointer.past) == 1


@pytest.mark.usefixtures("quick")
def test_the_rules_from_before_the_first_activation_are_a_release_and_can_be_put_in_force_again(
    client: Client, author: Headers, approver: Headers
) -> None:
    initial = city_of(client).rulebook
    one = submitted(client, author, "One")
    assert approve_and_activate(client, approver, one).status_code == 200
    wait_until(lambda: city_of(client).rulebook.digest == one)
    release = client.get(f"/v1/rulebook-releases/{initial.digest}", headers=author).json()
    assert (release["files"], release["author"]) == (initial.texts, None)
    assert [entry["since"] for entry in release["periods"]] == [None]
    assert activate(client, approver, initial.digest).status_code == 200
    wait_until(lambda: city_of(client).rulebook.digest == initial.digest)
    assert in_force(client) == initial.digest


def details(client: Client, reader: Headers, digest: str) -> list[dict[str, str]]:
    return client.get(f"/v1/rulebook-releases/{digest}", headers=reader).json()["periods"]
