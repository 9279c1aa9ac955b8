"""Two members of staff sign in from the command line, and release, approve and activate the rules of a running city."""

import io
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from backend.city.service import City
from backend.cli.in_city import run_in_city
from backend.cli.main import chengma
from backend.rulebook.prover import is_installed
from backend.services.account.demo import enter_demo_staff
from tests.cli.command import running
from tests.conftest import ROOT
from tests.services.talent_code.old_age import MODULE, write_old_age

AUTHOR, APPROVER, CITIZEN = "13800000031", "13800000032", "13800000033"
WHO = re.compile(r"submitted by (\S+), activated by (\S+)\)")


class CodeFromPhone(io.RawIOBase):
    """Standard input of a person who reads the code on their phone when they are asked for it."""

    def __init__(self, read: Callable[[], str]) -> None:
        self.read_code = read
        self.rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  any buffer
        self.rest = self.rest or f"{self.read_code()}\n".encode()
        size = min(len(buffer), len(self.rest))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


class Office:
    """A running city, and the machines of those who sign in to it; each has a folder of its own for the session."""

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.address = str(client.base_url).rstrip("/")

    def run(self, person: str, *arguments: str, given: Any = None, **env: str) -> Result:  # noqa: ANN401  text or a file
        environment = {
            "XDG_CONFIG_HOME": str(self.folder / person),
            "CHENGMA_API": self.address,
            "CHENGMA_RULES": str(ROOT / "rules"),
            "LC_ALL": "C",
        }
        return CliRunner().invoke(chengma, arguments, input=given, env=environment | env)

    def session_file(self, person: str) -> Path:
        return self.folder / person / "chengma" / "session.json"

    def login(self, phone: str) -> Result:
        return self.run(phone, "login", phone, given=io.BufferedReader(CodeFromPhone(lambda: self.newest_code(phone))))

    def newest_code(self, phone: str) -> str:
        for _ in range(100):
            answer = self.client.post("/v1/development/outbox", json={"phone": phone})
            found = [code for text in answer.json()["messages"] for code in re.findall(r"\d{6}", text)]
            if found:
                return found[0]
            time.sleep(0.05)
        raise AssertionError("no code was sent")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {
        "CHENGMA_PORT": port,
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_STORE": f"sqlite:///{folder}/city.db",
        "CHENGMA_SANDBOX": f"{folder}/sandbox.db",
        "CHENGMA_KEYS": str(folder / "keys"),
        "CHENGMA_DEVELOPMENT": "true",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    environment = inherited | own | {"PYTHONPATH": str(ROOT)}

    async def enter(city: City) -> None:
        await enter_demo_staff(city, AUTHOR, ("author",))
        await enter_demo_staff(city, APPROVER, ("approver",))

    with running("serve", environment=environment, folder=folder) as (client, _), pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        run_in_city(enter)
        yield Office(client, folder)


@pytest.fixture(scope="module")
def staff(office: Office) -> dict[str, Result]:
    """Sign author, approver and a citizen in, each once: a phone gets one code a minute."""
    return {phone: office.login(phone) for phone in (AUTHOR, APPROVER, CITIZEN)}


CLAIM = """\
  - id: own
    name: {zh: 最多五折, en: Half price at most}
    always: new.result <= 50
    source: "assumption [A]: a claim of this draft alone"
"""


def draft(folder: Path, reason: str) -> Path:
    shutil.copytree(ROOT / "rules", folder)
    transport = folder / "talent_code" / "benefits" / "transport.yaml"
    text = transport.read_text(encoding="utf-8")
    assert "You have no talent class" in text
    transport.write_text(text.replace("You have no talent class", reason), encoding="utf-8")
    with transport.with_name("transport.claims.yaml").open("a", encoding="utf-8") as claims:
        claims.write(CLAIM)
    return folder


def submitted(office: Office, folder: Path, note: str) -> str:
    """Submit a folder of rules as the author, and return the beginning of its digest."""
    found = office.run(AUTHOR, "rules", "release", str(folder), "--note", note)
    assert found.exit_code == 0, found.output
    digest = re.search(r"Digest ([0-9a-f]{16})", found.output)
    assert digest is not None
    return digest[1]


def approved(office: Office, digest: str) -> Result:
    """Approve a release, with a reason for each part of the review that could not be made."""
    return office.run(APPROVER, "rules", "approve", digest, given="not needed for a text\n" * 4 + "y\n" * 4)


def test_signing_in_says_which_roles_one_has(staff: dict[str, Result]) -> None:
    assert "Roles: author" in staff[AUTHOR].output
    assert "Roles: approver" in staff[APPROVER].output
    assert "This account has no role" in staff[CITIZEN].output


@pytest.mark.usefixtures("staff")
def test_only_the_owner_can_read_the_session(office: Office) -> None:
    file = office.session_file(AUTHOR)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.usefixtures("staff")
def test_rules_are_released_by_one_person_and_approved_and_activated_by_another(office: Office, tmp_path: Path) -> None:
    first, second = (submitted(office, draft(tmp_path / name, name), f"note of {name}") for name in ("one", "two"))

    nameless = office.run(AUTHOR, "rules", "release", str(tmp_path / "one"), "--note", "x", CHENGMA_LANGUAGE="zh")
    assert "'--note' 的值不正确：须写2至500个字" in nameless.output

    refused = office.run(AUTHOR, "rules", "approve", first)
    assert (refused.exit_code, refused.output) == (
        1,
        "Error: You submitted this release; another person must approve it.\n",
    )
    early = office.run(APPROVER, "rules", "activate", first)
    assert "Nobody approved this release" in early.output

    seen = approved(office, first)
    assert (
        "~ reason's wording otherwise: 您目前没有人才类别 / You have no talent class → 您目前没有人才类别 / one"
        in seen.output
    )
    assert "talent_code.benefits.transport own: holds" in seen.output or not is_installed()
    assert seen.output.count("\n  a claim of the author\n") == is_installed(), "the others are the city's own"
    assert f"chengma rules activate {first}" in seen.output
    assert office.run(APPROVER, "rules", "activate", first).output == f"{first} is in force.\n"

    assert approved(office, second).exit_code == 0
    later = office.run(APPROVER, "rules", "activate", second, "--at", "2026-12-31")
    assert (later.exit_code, "in force from 2026-12-31T00:00:00+08:00" in later.output) in {(0, True), (1, False)}
    if later.exit_code == 0:
        assert office.run(APPROVER, "rules", "cancel", second).output == f"{second} is no longer scheduled.\n"
    assert office.run(APPROVER, "rules", "activate", second).output == f"{second} is in force.\n"

    assert office.run(APPROVER, "rules", "rollback", first).output == f"{first} is in force.\n"
    *logged, before_all = office.run(AUTHOR, "rules", "log").output.splitlines()
    assert [line.split()[0] for line in logged] == [first, second, first]
    assert all("+08:00 – " in line for line in logged)
    accounts = {found.groups() for line in logged if (found := WHO.search(line))}
    ((author, approver),) = accounts
    assert author != approver
    initial = before_all.split()[0]
    assert before_all.startswith(f"{initial}  … – 20")
    assert office.run(APPROVER, "rules", "rollback", initial).output == f"{initial} is in force.\n"
    assert office.run(APPROVER, "rules", "rollback", first).output == f"{first} is in force.\n"


@pytest.mark.usefixtures("staff")
def test_an_author_is_told_which_modules_in_force_a_release_lacks(office: Office, tmp_path: Path) -> None:
    folder = draft(tmp_path / "shorter", "shorter")
    for file in (folder / "talent_code" / "benefits").glob("park_entry.*"):
        file.unlink()
    warned = office.run(AUTHOR, "rules", "release", str(folder), "--note", "from a folder of last year")
    assert "so they would end: talent_code.benefits.park_entry\n" in warned.output


@pytest.mark.usefixtures("staff")
def test_an_approver_reads_a_new_module_whole(office: Office, tmp_path: Path) -> None:
    folder = draft(tmp_path / "with-a-new-one", "new")
    write_old_age(folder)
    digest = submitted(office, folder, "an old-age subsidy")
    seen = office.run(APPROVER, "rules", "approve", digest, given="n\n" * 5)
    assert "talent_code.benefits.old_age (Old-age subsidy): module added" in seen.output
    assert f"# ── talent_code.benefits.old_age ──\n{MODULE}" in seen.output

    shown = office.run(APPROVER, "rules", "show", digest[:4], "talent_code.benefits.transport").output
    text = (folder / "talent_code" / "benefits" / "transport.yaml").read_text(encoding="utf-8")
    assert shown.startswith(f"# ── talent_code.benefits.transport ──\n{text}")
    assert "transport: claims of the author ──\n" in shown
    assert CLAIM in shown
    whole = office.run(APPROVER, "rules", "show", digest).output
    assert MODULE in whole
    assert shown in whole
    missing = office.run(APPROVER, "rules", "show", digest, "talent_code.rent")
    assert (missing.exit_code, "this release has no module 'talent_code.rent'; it has: " in missing.output) == (1, True)


@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        ("abc", "'abc' is too short: a release is named by the first 4 digits or more"),
        ("0" * 20, f"no release's digest begins with '{'0' * 20}'"),
        ("approve", "no release's digest begins with 'approve'"),
    ],
)
def test_a_beginning_that_names_no_release_is_refused_with_its_reason(
    office: Office, beginning: str, message: str
) -> None:
    assert message in office.run(APPROVER, "rules", "activate", beginning).output


@pytest.mark.usefixtures("staff")
def test_nobody_without_a_role_reads_or_releases_rules(office: Office) -> None:
    assert office.run(CITIZEN, "rules", "log").exit_code == 1


@pytest.mark.usefixtures("staff")
def test_an_expired_access_token_is_renewed_with_the_key_of_the_machine(office: Office) -> None:
    file = office.session_file(AUTHOR)
    expired = json.loads(file.read_bytes()) | {"access_until": 0}
    file.write_text(json.dumps(expired))
    assert office.run(AUTHOR, "rules", "log").exit_code == 0
    renewed = json.loads(file.read_bytes())
    assert renewed["refresh_token"] != expired["refresh_token"]


@pytest.mark.usefixtures("staff")
def test_a_copied_refresh_token_is_worth_nothing_without_the_key(office: Office) -> None:
    stolen = json.loads(office.session_file(APPROVER).read_bytes())
    key = json.loads(office.session_file(CITIZEN).read_bytes())["key"]
    thief = office.session_file("thief")
    thief.parent.mkdir(parents=True)
    thief.write_text(json.dumps(stolen | {"key": key, "access_until": 0}))
    found = office.run("thief", "rules", "log")
    assert (found.exit_code, "sign in first" in found.output) == (1, True)


@pytest.mark.usefixtures("staff")
def test_tokens_go_to_no_other_address(office: Office) -> None:
    found = office.run(AUTHOR, "rules", "log", CHENGMA_API="http://127.0.0.1:9")
    assert "you are signed in to" in found.output
    assert found.exit_code == 1


def test_nobody_signs_in_over_an_open_network(office: Office) -> None:
    found = office.run("somebody", "login", AUTHOR, CHENGMA_API="http://city.example")
    assert (found.exit_code, "only https://" in found.output) == (1, True)


@pytest.mark.usefixtures("staff")
def test_signing_out_ends_the_session_here_and_in_the_city(office: Office) -> None:
    session = json.loads(office.session_file(CITIZEN).read_bytes())
    assert office.run(CITIZEN, "logout").output == "Signed out.\n"
    assert not office.session_file(CITIZEN).exists()
    assert "sign in first" in office.run(CITIZEN, "rules", "log").output
    office.session_file(CITIZEN).write_text(json.dumps(session | {"access_until": 0}))
    assert "sign in first" in office.run(CITIZEN, "rules", "log").output, "a copy of it is worth nothing"
