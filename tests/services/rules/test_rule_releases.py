"""An author submits the rules, another person approves them and puts them in force, and all acts are in the log."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from backend.app import open_city
from backend.city import following_releases
from backend.city.audit_log import AuditEntry, log_all_acts
from backend.city.releases import RulebookPointer, RulebookRelease, read_pointer
from backend.city.service import City, discover_integrations, discover_services
from backend.rulebook import Rulebook
from backend.security.identity import Caller
from backend.services.account.accounts import find_account
from backend.services.rules.model import PartName, RulebookApproval
from backend.services.rules.releases import activate, approve_release, check_rules, submit_release
from backend.services.rules.reviews import complete_review, request_review
from backend.settings import Settings
from tests.accounts import move_person
from tests.conftest import Clock, SignIn
from tests.servers import wait_until
from tests.services.audit_entries import logged
from tests.services.health_code.scene import stored
from tests.services.killing import Killed, KillingStore
from tests.services.rules.publishing import (
    APPROVER,
    AUDITOR,
    AUTHOR,
    COLOUR,
    RULES,
    Client,
    Headers,
    approve_and_activate,
    city_of,
    edition,
    in_force,
    refused,
    submit,
)

MAX_WRITES = 7


def listed(client: Client, reader: Headers, cursor: str | None = None) -> dict[str, Any]:
    answer = client.get("/v1/rulebook-releases", params={"cursor": cursor} if cursor else {}, headers=reader)
    assert answer.status_code == 200, answer.text
    return answer.json()


def account_of(client: Client, phone: str) -> str:
    account = client.blocking_portal.call(find_account, city_of(client), f"+86{phone}")
    assert account is not None
    return account.id


# ── submitting ──


def test_a_submitted_release_is_stored_with_author_and_note_and_is_not_in_force(
    client: Client, author: Headers, clock: Clock
) -> None:
    answer = submit(client, author, edition("All is well"), "绿码说明更清楚")
    assert answer.status_code == 201, answer.text
    (release,) = listed(client, author)["releases"]
    assert release == answer.json()
    assert release["author"] == account_of(client, AUTHOR)
    assert (release["note"], release["in_force"]) == ("绿码说明更清楚", False)
    assert release["published"].startswith(f"{clock.now:%Y-%m-%dT%H:%M:%S}")
    assert in_force(client) is None


def test_a_release_has_the_digest_that_the_same_folder_has_on_the_machine(client: Client, author: Headers) -> None:
    shuffled = dict(sorted(RULES.items(), key=lambda item: item[0][::-1]))
    assert submit(client, author, shuffled).json()["digest"] == city_of(client).rulebook.digest


def test_the_same_rules_again_are_the_same_release_and_keep_their_author(
    client: Client, author: Headers, sign_in: SignIn
) -> None:
    first = submit(client, author, RULES, "first").json()
    second = submit(client, sign_in("13800000024", roles=["author"]), RULES, "second").json()
    assert second == first
    assert len(listed(client, author)["releases"]) == 1
    assert len([entry for entry in logged(client) if entry.action == "rules.published"]) == 1


def test_each_fault_is_reported_at_its_file_line_and_column(client: Client, author: Headers) -> None:
    broken = edition("All is well") | {"health_code/frame.yaml": RULES["health_code/frame.yaml"] + "colour: ?\n"}
    broken[COLOUR] = broken[COLOUR].replace("facts.contacts", "facts.contracts", 1)
    answer = submit(client, author, broken)
    refused(answer, 422, "invalid-rules")
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert errors.keys() == {"/files/health_code~1colour.yaml", "/files/health_code~1frame.yaml"}
    number = next(n for n, line in enumerate(broken[COLOUR].split("\n"), 1) if "facts.contracts" in line)
    assert errors["/files/health_code~1colour.yaml"].startswith(f"{COLOUR}:{number}:")
    assert stored(client, RulebookRelease) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({COLOUR: None}, "the module 'health_code.colour' is missing"),
        ({COLOUR: ("result: [green", "result: [blue, green")}, "no rule has the result 'blue'"),
        ({"other.yaml": "[" * 50_000}, "other.yaml:1:"),
        ({"other.yaml": "a\0b"}, "other.yaml:1:"),
        ({"Health-code/colour.yaml": RULES[COLOUR]}, "Health-code/colour.yaml:"),
    ],
    ids=["a missing module", "a fourth colour", "deep nesting", "a control character", "a name that is none"],
)
def test_rules_that_would_break_the_city_are_not_stored(
    client: Client, author: Headers, change: dict[str, Any], fault: str
) -> None:
    files = dict(RULES)
    for path, changed in change.items():
        if changed is None:
            del files[path]
        elif isinstance(changed, tuple):
            assert changed[0] in files[path]
            files[path] = files[path].replace(*changed)
        else:
            files[path] = changed
    answer = submit(client, author, files)
    refused(answer, 422, "invalid-rules")
    assert any(fault in error["detail"] for error in answer.json()["errors"]), answer.text
    assert stored(client, RulebookRelease) == []


@pytest.mark.parametrize(
    "body",
    [
        {"files": RULES},
        {"files": {}, "note": "新规定"},
        {"files": {"../colour.yaml": "x"}, "note": "新规定"},
        {"files": {"/etc/colour.yaml": "x"}, "note": "新规定"},
        {"files": {"colour.cases.yaml": "x"}, "note": "新规定"},
        {"files": {COLOUR: 3}, "note": "新规定"},
        {"files": RULES, "note": "新规定", "author": "somebody else"},
    ],
    ids=["no note", "no file", "a path upwards", "an absolute path", "cases", "no text", "another author"],
)
def test_a_submission_that_the_document_does_not_allow_is_refused(
    client: Client, author: Headers, body: dict[str, Any]
) -> None:
    refused(client.post("/v1/rulebook-releases", json=body, headers=author), 400, "invalid-request")


# ── putting in force ──


def test_a_release_that_another_person_puts_in_force_decides_within_seconds(
    client: Client, author: Headers, approver: Headers, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_releases, "POLL_SECONDS", 0.05)
    client.blocking_portal.call(asyncio.sleep, 0)
    wang = sign_in("13900000031", name="王芳")
    digest = submit(client, author, edition("All is well")).json()["digest"]
    answer = approve_and_activate(client, approver, digest)
    assert (answer.status_code, answer.json()["in_force"]) == (200, True), answer.text
    wait_until(lambda: city_of(client).rulebook.digest == digest)
    code = client.get("/v1/me/health-code", headers=wang).json()
    assert (code["because"]["en"], code["rulebook"]) == ("All is well", digest)


def test_an_approver_reads_the_rules_that_they_approve_and_activate(
    client: Client, author: Headers, approver: Headers
) -> None:
    digest = submit(client, author, edition("All is well")).json()["digest"]
    shown = client.get(f"/v1/rulebook-releases/{digest}", headers=approver).json()
    assert "All is well" in shown["files"]["health_code.colour"]
    assert len(shown["files"]) == len(RULES)


def test_an_author_does_not_put_rules_in_force(client: Client, author: Headers) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    refused(approve_and_activate(client, author, digest), 403, "not-allowed")
    assert in_force(client) is None


def test_an_approver_does_not_submit_rules(client: Client, approver: Headers) -> None:
    refused(submit(client, approver, RULES), 403, "not-allowed")


def test_the_account_that_submitted_a_release_does_not_put_it_in_force_in_another_role(
    client: Client, author: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    refused(approve_and_activate(client, sign_in(AUTHOR, roles=["approver"]), digest), 409, "own-release")


def test_the_person_who_submitted_a_release_does_not_put_it_in_force_from_another_account(
    client: Client, author: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    (release,) = stored(client, RulebookRelease)
    sign_in(APPROVER, roles=["approver"])
    client.blocking_portal.call(move_person, city_of(client), release.author_person, APPROVER)
    refused(approve_and_activate(client, sign_in(APPROVER), digest), 409, "own-release")
    assert in_force(client) is None


def test_a_release_in_force_stays_when_it_is_activated_again(
    client: Client, author: Headers, approver: Headers
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    assert [approve_and_activate(client, approver, digest).status_code for _ in range(2)] == [200, 200]
    (pointer,) = stored(client, RulebookPointer)
    assert len(pointer.past) == 1
    assert len([entry for entry in logged(client) if entry.action == "rules.activated"]) == 1


def test_an_earlier_release_is_approve_and_activate_again(client: Client, author: Headers, approver: Headers) -> None:
    initial = city_of(client).rulebook.digest
    one, two = (submit(client, author, edition(reason)).json()["digest"] for reason in ("One", "Two"))
    for digest in (one, two, one):
        assert approve_and_activate(client, approver, digest).status_code == 200
    assert in_force(client) == one
    assert {release["digest"]: release["in_force"] for release in listed(client, approver)["releases"]} == {
        one: True,
        two: False,
        initial: False,
    }


def test_a_release_that_the_services_cannot_use_is_not_approve_and_activate(
    client: Client, author: Headers, approver: Headers
) -> None:
    """An earlier edition of the city accepted it, for example."""
    digest = submit(client, author, RULES).json()["digest"]
    (release,) = stored(client, RulebookRelease)
    files = {name: text.replace("facts.doses", "facts.dozes") for name, text in release.files.items()}
    client.blocking_portal.call(city_of(client).store.replace, replace(release, files=files))
    answer = approve_and_activate(client, approver, digest)
    refused(answer, 409, "unusable-release")
    assert "dozes" in answer.json()["errors"][0]["detail"]
    assert in_force(client) is None


@pytest.mark.parametrize("digest", ["beef", "d" * 64])
def test_a_release_that_does_not_exist_is_not_found(client: Client, approver: Headers, digest: str) -> None:
    refused(approve_and_activate(client, approver, digest), 404, "not-found")
    refused(client.get(f"/v1/rulebook-releases/{digest}", headers=approver), 404, "not-found")


def test_a_role_that_was_withdrawn_puts_nothing_in_force(
    client: Client, author: Headers, approver: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    operator = sign_in("13800000025", roles=["operator"])
    body = {"roles": ["approver"], "reason": "岗位调整"}
    answer = client.post(f"/v1/staff/{account_of(client, APPROVER)}/withdrawals", json=body, headers=operator)
    assert answer.status_code == 200, answer.text
    refused(approve_and_activate(client, approver, digest), 403, "not-allowed")


# ── reading ──


def test_releases_are_listed_page_by_page_with_the_newest_first(
    client: Client, author: Headers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.rules.releases.PAGE", 1)
    one = submit(client, author, edition("One")).json()["digest"]
    clock.now = clock.now.replace(minute=1)
    two = submit(client, author, edition("Two")).json()["digest"]
    first = listed(client, author)
    second = listed(client, author, first["cursor"])
    assert [release["digest"] for page in (first, second) for release in page["releases"]] == [two, one]


def test_an_auditor_sees_who_submitted_what_and_changes_nothing(
    client: Client, author: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    auditor = sign_in(AUDITOR, roles=["auditor"])
    assert listed(client, auditor)["releases"][0]["author"] == account_of(client, AUTHOR)
    refused(approve_and_activate(client, auditor, digest), 403, "not-allowed")
    refused(submit(client, auditor, RULES), 403, "not-allowed")


# ── the log ──


def test_all_acts_are_in_the_log_with_account_and_role(
    client: Client, author: Headers, approver: Headers, clock: Clock
) -> None:
    digest = submit(client, author, RULES, "绿码说明更清楚").json()["digest"]
    clock.now = clock.now.replace(minute=1)
    approve_and_activate(client, approver, digest)
    acts = [(one.action, one.account, one.role, one.about) for one in logged(client) if one.action[:6] == "rules."]
    assert acts[0] == ("rules.published", account_of(client, AUTHOR), "author", digest)
    assert sorted(acts[1:]) == [  # at the same instant
        ("rules.activated", account_of(client, APPROVER), "approver", digest),
        ("rules.approved", account_of(client, APPROVER), "approver", digest),
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
def test_a_killed_process_leaves_no_release_approval_or_activation_without_its_act(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    async def work() -> None:
        opened = open_city(settings, discover_services(), discover_integrations(settings.integrations), clock=clock)
        killing = KillingStore(opened.store)
        city = replace(opened, store=killing)
        checked = await check_rules(city, edition("All is well"), {})

        async def check_once(_city: City, *_texts: Mapping[str, str]) -> Rulebook:
            return checked

        monkeypatch.setattr("backend.services.rules.releases.check_rules", check_once)
        try:
            for write in range(MAX_WRITES):
                killing.countdown, killing.after = write, after
                try:
                    await publish(city)
                except Killed:
                    await check_acts(city)
            killing.countdown = None
            await publish(city)
            await log_all_acts(city)
            entries = sorted([entry.action async for entry in city.store.scan(AuditEntry)])
            expected = ["rules.activated", "rules.approved", *["rules.published"] * 2]  # and the rules from before
            assert entries == expected, "each act has one entry"
            assert killing.kills >= len(expected)
        finally:
            await opened.store.close()

    asyncio.run(work())


async def publish(city: City) -> None:
    """Submit, review, approve and activate the rules, as two people and the server do."""
    author = Caller("author", "s", "author's person", ("author",), level=3)
    approver = Caller("approver", "s", "approver's person", ("approver",), level=3)
    release = await submit_release(city, author, edition("All is well"), {}, "新规定")
    await complete_review(city, await request_review(city, release.id))
    review = await request_review(city, release.id)
    acknowledged: dict[PartName, str] = {part.name: "暂不需要" for part in review.parts if part.failure is not None}
    if not (await read_pointer(city.store)).past:
        await approve_release(city, approver, release.id, review.digest, acknowledged)
    await activate(city, approver, release.id, None)


async def check_acts(city: City) -> None:
    """Check that each release, approval and activation has its act, and that there is no other act."""
    kinds = {RulebookRelease: "published", RulebookApproval: "approved", RulebookPointer: "activated"}
    for kind, action in kinds.items():
        async for document in city.store.scan(kind):
            assert [act.action for act in document.acts] == [f"rules.{action}"]
    assert [entry async for entry in city.store.scan(AuditEntry)] == []
