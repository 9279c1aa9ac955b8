"""An author submits the rules, another person puts them in force, and both acts are in the log."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import open_city
from backend.city import releases as city_releases
from backend.city.audit_log import AuditEntry, log_all_acts
from backend.city.releases import RulebookPointer, RulebookRelease, digest_in_force
from backend.city.service import City, discover_integrations, discover_services
from backend.security.identity import Caller
from backend.services.account.accounts import find_account
from backend.services.rules.releases import approve_release, submit_release
from backend.settings import Settings
from tests.accounts import move_person
from tests.conftest import ROOT, Clock, SignIn
from tests.servers import wait_until
from tests.services.audit_entries import logged
from tests.services.health_code.scene import stored
from tests.services.killing import Killed, KillingStore

Client = TestClient[Litestar]
Headers = dict[str, str]
AUTHOR, APPROVER, AUDITOR = "13800000021", "13800000022", "13800000023"
COLOUR = "health_code/colour.yaml"
DEFAULT_REASON = "Nothing found"
FOLDER = ROOT / "rules"
RULES = {
    str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
    for path in FOLDER.rglob("*.yaml")
    if not path.stem.endswith(".cases")
}
MAX_WRITES = 4


def edition(reason: str) -> dict[str, str]:
    """Return the city's rules, in which a green code has another reason."""
    assert DEFAULT_REASON in RULES[COLOUR]
    return RULES | {COLOUR: RULES[COLOUR].replace(DEFAULT_REASON, reason)}


@pytest.fixture
def author(sign_in: SignIn) -> Headers:
    return sign_in(AUTHOR, roles=["author"]) | {"accept-language": "en"}


@pytest.fixture
def approver(sign_in: SignIn) -> Headers:
    return sign_in(APPROVER, roles=["approver"]) | {"accept-language": "en"}


def submit(client: Client, author: Headers, files: dict[str, str], note: str = "新规定") -> httpx.Response:
    return client.post("/v1/rulebook-releases", json={"files": files, "note": note}, headers=author)


def activate(client: Client, approver: Headers, digest: str) -> httpx.Response:
    return client.post(f"/v1/rulebook-releases/{digest}/activations", headers=approver)


def listed(client: Client, reader: Headers, cursor: str | None = None) -> dict[str, Any]:
    answer = client.get("/v1/rulebook-releases", params={"cursor": cursor} if cursor else {}, headers=reader)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text


def city_of(client: Client) -> City:
    return client.app.state.city


def in_force(client: Client) -> str | None:
    return client.blocking_portal.call(digest_in_force, city_of(client).store)


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
        ({COLOUR: ("result: [green", "result: [blue, green")}, "the city knows only these results"),
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
    monkeypatch.setattr(city_releases, "POLL_SECONDS", 0.05)
    client.blocking_portal.call(asyncio.sleep, 0)
    wang = sign_in("13900000031", name="王芳")
    digest = submit(client, author, edition("All is well")).json()["digest"]
    answer = activate(client, approver, digest)
    assert (answer.status_code, answer.json()["in_force"]) == (200, True), answer.text
    wait_until(lambda: city_of(client).rulebook.digest == digest)
    code = client.get("/v1/me/health-code", headers=wang).json()
    assert (code["because"]["en"], code["rulebook"]) == ("All is well", digest)


def test_an_approver_reads_the_rules_that_they_put_in_force(client: Client, author: Headers, approver: Headers) -> None:
    digest = submit(client, author, edition("All is well")).json()["digest"]
    shown = client.get(f"/v1/rulebook-releases/{digest}", headers=approver).json()
    assert "All is well" in shown["files"]["health_code.colour"]
    assert len(shown["files"]) == len(RULES)


def test_an_author_does_not_put_rules_in_force(client: Client, author: Headers) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    refused(activate(client, author, digest), 403, "not-allowed")
    assert in_force(client) is None


def test_an_approver_does_not_submit_rules(client: Client, approver: Headers) -> None:
    refused(submit(client, approver, RULES), 403, "not-allowed")


def test_the_account_that_submitted_a_release_does_not_put_it_in_force_in_another_role(
    client: Client, author: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    refused(activate(client, sign_in(AUTHOR, roles=["approver"]), digest), 409, "own-release")


def test_the_person_who_submitted_a_release_does_not_put_it_in_force_from_another_account(
    client: Client, author: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    (release,) = stored(client, RulebookRelease)
    sign_in(APPROVER, roles=["approver"])
    client.blocking_portal.call(move_person, city_of(client), release.author_person, APPROVER)
    refused(activate(client, sign_in(APPROVER), digest), 409, "own-release")
    assert in_force(client) is None


def test_a_release_in_force_stays_when_it_is_activated_again(
    client: Client, author: Headers, approver: Headers
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    assert [activate(client, approver, digest).status_code for _ in range(2)] == [200, 200]
    (pointer,) = stored(client, RulebookPointer)
    assert len(pointer.past) == 1
    assert len([entry for entry in logged(client) if entry.action == "rules.activated"]) == 1


def test_an_earlier_release_is_put_in_force_again(client: Client, author: Headers, approver: Headers) -> None:
    one, two = (submit(client, author, edition(reason)).json()["digest"] for reason in ("One", "Two"))
    for digest in (one, two, one):
        assert activate(client, approver, digest).status_code == 200
    assert in_force(client) == one
    assert {release["digest"]: release["in_force"] for release in listed(client, approver)["releases"]} == {
        one: True,
        two: False,
    }


def test_a_release_that_the_services_cannot_use_is_not_put_in_force(
    client: Client, author: Headers, approver: Headers
) -> None:
    """An earlier edition of the city accepted it, for example."""
    digest = submit(client, author, RULES).json()["digest"]
    (release,) = stored(client, RulebookRelease)
    files = {name: text.replace("facts.doses", "facts.dozes") for name, text in release.files.items()}
    client.blocking_portal.call(city_of(client).store.replace, replace(release, files=files))
    answer = activate(client, approver, digest)
    refused(answer, 409, "unusable-release")
    assert "dozes" in answer.json()["errors"][0]["detail"]
    assert in_force(client) is None


@pytest.mark.parametrize("digest", ["beef", "d" * 64])
def test_a_release_that_does_not_exist_is_not_found(client: Client, approver: Headers, digest: str) -> None:
    refused(activate(client, approver, digest), 404, "not-found")
    refused(client.get(f"/v1/rulebook-releases/{digest}", headers=approver), 404, "not-found")


def test_a_role_that_was_withdrawn_puts_nothing_in_force(
    client: Client, author: Headers, approver: Headers, sign_in: SignIn
) -> None:
    digest = submit(client, author, RULES).json()["digest"]
    operator = sign_in("13800000025", roles=["operator"])
    body = {"roles": ["approver"], "reason": "岗位调整"}
    answer = client.post(f"/v1/staff/{account_of(client, APPROVER)}/withdrawals", json=body, headers=operator)
    assert answer.status_code == 200, answer.text
    refused(activate(client, approver, digest), 403, "not-allowed")


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
    refused(activate(client, auditor, digest), 403, "not-allowed")
    refused(submit(client, auditor, RULES), 403, "not-allowed")


# ── the log ──


def test_both_acts_are_in_the_log_with_account_and_role(
    client: Client, author: Headers, approver: Headers, clock: Clock
) -> None:
    digest = submit(client, author, RULES, "绿码说明更清楚").json()["digest"]
    clock.now = clock.now.replace(minute=1)
    activate(client, approver, digest)
    acts = [(one.action, one.account, one.role, one.about) for one in logged(client) if one.action[:6] == "rules."]
    assert acts == [
        ("rules.published", account_of(client, AUTHOR), "author", digest),
        ("rules.activated", account_of(client, APPROVER), "approver", digest),
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
def test_a_killed_process_leaves_no_release_and_no_activation_without_its_act(
    settings: Settings, clock: Clock, *, after: bool
) -> None:
    author = Caller("author", "s", "author's person", ("author",), level=3)
    approver = Caller("approver", "s", "approver's person", ("approver",), level=3)

    async def work() -> None:
        opened = open_city(settings, discover_services(), discover_integrations(settings.integrations), clock=clock)
        killing = KillingStore(opened.store)
        city = replace(opened, store=killing)
        try:
            for write in range(MAX_WRITES):
                killing.countdown, killing.after = write, after
                try:
                    release = await submit_release(city, author, RULES, "新规定")
                    await approve_release(city, approver, release.id)
                except Killed:
                    await check_acts(city)
            killing.countdown = None
            release = await submit_release(city, author, RULES, "新规定")
            await approve_release(city, approver, release.id)
            await log_all_acts(city)
            entries = sorted([entry.action async for entry in city.store.scan(AuditEntry)])
            assert entries == ["rules.activated", "rules.published"], "each act has one entry"
            assert killing.kills > 1
        finally:
            await opened.store.close()

    asyncio.run(work())


async def check_acts(city: City) -> None:
    """Check that a release and an activation have their act, and that there is no other act."""
    for kind, action in ((RulebookRelease, "rules.published"), (RulebookPointer, "rules.activated")):
        async for document in city.store.scan(kind):
            assert [act.action for act in document.acts] == [action]
    assert [entry async for entry in city.store.scan(AuditEntry)] == []
