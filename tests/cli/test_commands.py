"""The `chengma` command, as an operator runs it: real processes, real sockets, a real file."""

import json
import re
import socket
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import zxingcpp
from PIL import Image

from backend.codes.signed_code import issue_code
from backend.security.keyring import Keyring, make_keys
from backend.services.health_code.code import make_claims
from backend.services.talent_code.code import make_claims as make_talent_claims
from tests.cli.command import chengma, running
from tests.conftest import ROOT, id_number_for

pytestmark = pytest.mark.slow


def sign_in(client: httpx.Client, phone: str) -> dict[str, str]:
    sent = client.post("/v1/sign-in-codes", json={"phone": phone})
    assert sent.status_code == 202
    (message, *_) = client.post("/v1/development/outbox", json={"phone": phone}).json()["messages"]
    code = re.findall(r"\d{6}", message)[0]
    body = {"phone": phone, "challenge": sent.json()["challenge"], "code": code}
    tokens = client.post("/v1/sessions", json=body).json()
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def citizens_shown(output: Path) -> dict[str, str]:
    """Return the phones that the command printed, by colour or staff role."""
    return {
        word.lower(): phone
        for phone, word in re.findall(r"^  (1\d{10})  .*?([A-Z]{3,})  ", output.read_text(), re.MULTILINE)
    }


def talents_shown(output: Path) -> list[tuple[str, str]]:
    """Return the phones of talents that the command printed, with their class."""
    return re.findall(r"^  (1\d{10})  .*? TALENT ([A-E])  ", output.read_text(), re.MULTILINE)


def test_a_demonstration_is_signed_in_to_scanned_and_kept(environment: dict[str, str], tmp_path: Path) -> None:
    demo = ("demo", "--citizens", "300")
    with running(*demo, environment=environment, folder=tmp_path) as (client, output):
        shown = citizens_shown(output)
        assert set(shown) == {"green", "yellow", "red"}
        ((talent, letter),) = talents_shown(output)
        entitled = client.get("/v1/me/talent-code", headers=sign_in(client, talent)).json()
        assert entitled["talent_class"] == letter.lower()
        scan = {"payload": entitled["payload"], "place": "park-west-lake"}
        scanned = client.post("/v1/talent-verifications", json=scan, headers=sign_in(client, "13800000004")).json()
        assert [one["benefit"] for one in scanned["entitlements"]] == ["park_entry"]
        officer = sign_in(client, "13800000005")
        assert client.get("/v1/benefit-budgets", headers=officer).json()["budgets"]
        for colour, phone in shown.items():
            headers = sign_in(client, phone)
            code = client.get("/v1/me/health-code", headers=headers).json()
            assert code["colour"] == colour
        jwks = tmp_path / "jwks.json"
        jwks.write_bytes(client.get("/.well-known/jwks.json").content)
        found = chengma("verify", code["payload"], "--keys", str(jwks), environment=environment, folder=tmp_path)
        assert (found.returncode, found.stdout.splitlines()[:2]) == (0, ["VALID", "红码 RED (octagon)"])
        drawn = chengma("verify", payload_on(output), "--keys", str(jwks), environment=environment, folder=tmp_path)
        assert (drawn.returncode, drawn.stdout.splitlines()[:2]) == (0, ["VALID", "绿码 GREEN (circle)"])
        assert f"{client.base_url}/reference" in output.read_text()
        assert client.get("/reference").status_code == 200
        assert f"Serving at {client.base_url}" in output.read_text()
        assert client.post("/v1/me/health-declarations", json={"symptoms": []}, headers=headers).status_code == 201

    began = time.monotonic()
    with running(*demo, environment=environment, folder=tmp_path) as (client, output):
        assert time.monotonic() - began < 10
        assert "310 citizens, 0 of them new" in output.read_text()
        assert citizens_shown(output) == shown
        assert client.get("/v1/me", headers=headers).json()["identity_verified"] is True


def test_the_demonstration_prints_invented_id_numbers_that_can_be_reported(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with running("demo", "--citizens", "50", environment=environment, folder=tmp_path) as (client, output):
        shown: list[tuple[str, str]] = re.findall(r"^  (99\d{15}[\dX])  (1\d{10})$", output.read_text(), re.MULTILINE)
        assert len(shown) == 3
        contact = {"kind": "contact", "level": "close", "at": "2026-01-01T08:00:00+08:00"}
        events = [{"source": "cdc", "id": number, "id_number": number, "event": contact} for number, _ in shown]
        officer, approver = (sign_in(client, phone) for phone in ("13800000002", "13800000008"))
        answer = client.post("/v1/health-events", json={"events": events}, headers=officer)
        assert [result["outcome"] for result in answer.json()["results"]] == ["proposed"] * 3
        proposals = client.get("/v1/health-event-proposals", headers=approver).json()["proposals"]
        ids = {"ids": [proposal["id"] for proposal in proposals]}
        answer = client.post("/v1/health-event-proposals/approvals", json=ids, headers=approver)
        assert [result["outcome"] for result in answer.json()["results"]] == ["decided"] * 3


def payload_on(output: Path) -> str:
    """Return the payload of the QR code in a terminal's output."""
    rows = [line for line in output.read_text().splitlines() if len(line) > 30 and set(line) <= set(" ▄▀█")]
    pixels = [[symbol in half for symbol in line] for line in rows for half in ("▀█", "▄█")]
    image = Image.new("L", (len(pixels[0]), len(pixels)))
    image.putdata([255 * light for row in pixels for light in row])
    image = image.resize((image.width * 4, image.height * 4), Image.Resampling.NEAREST)
    found = zxingcpp.read_barcode(image)
    assert found is not None
    return found.text


def test_a_server_whose_port_is_taken_says_so_before_it_does_anything(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", int(environment["CHENGMA_PORT"]))):
        for command in (["serve"], ["demo", "--citizens", "10"]):
            found = chengma(*command, environment=environment, folder=tmp_path)
            assert found.returncode == 1
            assert "Serving at" not in found.stdout
            (line,) = found.stderr.splitlines()
            assert "Address already in use. Stop the process that uses the port, or set CHENGMA_HOST" in line
    assert not (tmp_path / "var" / "city.db").exists()


def test_the_log_of_a_server_holds_nothing_personal(environment: dict[str, str], tmp_path: Path) -> None:
    phone, name = "13800138000", "欧阳小明"
    with running("serve", environment=environment | {"CHENGMA_DEVELOPMENT": "true"}, folder=tmp_path) as (
        client,
        output,
    ):
        headers = sign_in(client, phone)
        body = {"name": name, "id_number": id_number_for(phone)}
        token = client.put("/v1/me/real-name", json=body, headers=headers).json()["access_token"]
        code = client.get("/v1/me/health-code", headers={"Authorization": f"Bearer {token}"}).json()
        client.get(f"/v1/people/{phone}", params={"id": id_number_for(phone)})
        client.post("/v1/sessions", json={"phone": phone, "challenge": "x" * 22, "code": "000000"})
    log = output.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    routes = [(line["route"], line["status"]) for line in lines if "route" in line]
    assert ("/v1/me/real-name", 200) in routes
    assert ("/v1/me/health-code", 200) in routes
    assert (None, 404) in routes
    tokens = [headers["Authorization"][7:], token, code["payload"]]
    for personal in [phone, phone[3:], name, "小明", id_number_for(phone), "19900307", "127.0.0.1", *tokens]:
        assert personal not in log


@pytest.fixture
def jwks(tmp_path: Path) -> tuple[Keyring, Path]:
    make_keys(tmp_path / "keys")
    keyring = Keyring.open(tmp_path / "keys")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(keyring.jwks()))
    return keyring, file


def payload(keyring: Keyring, seconds_ago: int) -> str:
    issued_at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return issue_code(keyring, make_claims("code-id", "yellow", issued_at, 60))


def test_a_code_is_verified_with_nothing_but_the_public_keys(jwks: tuple[Keyring, Path], tmp_path: Path) -> None:
    keyring, file = jwks
    nowhere = {"PATH": "", "PYTHONPATH": str(ROOT), "CHENGMA_STORE": "nonsense", "CHENGMA_NO_SUCH_SETTING": "1"}
    empty = tmp_path / "empty"
    empty.mkdir()

    def verify(code: str) -> tuple[int, list[str]]:
        found = chengma("verify", code, "--keys", str(file), environment=nowhere, folder=empty)
        return found.returncode, found.stdout.splitlines()

    fresh = payload(keyring, seconds_ago=5)
    status, lines = verify(fresh)
    assert (status, lines[:2]) == (0, ["VALID", "黄码 YELLOW (triangle)"])
    status, lines = verify(payload(keyring, seconds_ago=300))
    assert (status, lines[:2]) == (1, ["EXPIRED", "黄码 YELLOW (triangle)"])
    assert verify(fresh[:-2] + ("AA" if fresh[-2:] != "AA" else "AQ")) == (1, ["FORGED"])
    assert verify("no code at all") == (1, ["CANNOT BE READ"])
    assert verify(f"\ufeff]Q1{fresh}\r\n")[0] == 0, "what a scanner adds is ignored"
    status, lines = verify(payload(keyring, seconds_ago=-100))
    assert (status, lines[1]) == (1, "黄码 YELLOW (triangle)")
    assert lines[0] in {f"CLOCK DIFFERS by {seconds} s" for seconds in range(80, 101)}
    make_keys(tmp_path / "elsewhere")
    status, lines = verify(payload(Keyring.open(tmp_path / "elsewhere"), seconds_ago=0))
    assert (status, lines[0]) == (1, "UNKNOWN KEY")
    talent_code = issue_code(keyring, make_talent_claims("code-id", datetime.now(UTC), 60))
    status, lines = verify(talent_code)
    assert (status, lines[:2]) == (0, ["VALID", "人才码 TALENT (diamond)"]), "its audience says which service reads it"
    foreign = keyring.sign_code(b'{"aud":"xx","sub":"s","jti":"j","iat":0,"exp":253402300799,"col":"g"}')
    assert verify(foreign) == (1, ["FORGED"]), "no service has this audience"
    mixed = keyring.sign_code(b'{"aud":"hc","sub":"s","jti":"j","iat":0,"exp":253402300799}')
    assert verify(mixed) == (1, ["FORGED"]), "it lacks what a health code claims"
    nested = keyring.sign_code(b'{"aud":"hc","x":' + b"[" * 1_300)
    assert verify(nested) == (1, ["FORGED"]), "its claims are nested too deeply"
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00", "[" * 50_000])
def test_verifying_without_a_valid_key_set_fails(content: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(content)
    found = chengma("verify", "x", "--keys", str(file), environment={"PYTHONPATH": str(ROOT)}, folder=tmp_path)
    assert found.returncode == 1
    assert "is not a JSON Web Key Set" in found.stderr
    assert "Traceback" not in found.stderr


def test_all_invalid_settings_are_reported_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    wrong = {"CHENGMA_PORT": "many", "CHENGMA_TIME_ZONE": "Moon/Crater", "CHENGMA_SPEED": "fast"}
    found = chengma("serve", environment=environment | wrong, folder=tmp_path)
    assert found.returncode == 2
    for name in wrong:
        assert name in found.stderr
    assert "Traceback" not in found.stderr


def test_an_invalid_rule_prevents_the_server_from_starting_and_is_shown_with_its_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    rules = tmp_path / "rules" / "health_code"
    rules.mkdir(parents=True)
    text = (ROOT / "rules" / "health_code" / "frame.yaml").read_text()
    (rules / "frame.yaml").write_text(text.replace("size(facts.doses)", "size(facts.dozes)"))
    found = chengma("serve", environment=environment | {"CHENGMA_RULES": str(tmp_path / "rules")}, folder=tmp_path)
    assert found.returncode == 1
    assert re.search(r"frame\.yaml:\d+:\d+: ", found.stderr), found.stderr
    assert "doses" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "var").exists()


def test_the_document_is_printed_as_it_is_committed(environment: dict[str, str], tmp_path: Path) -> None:
    found = chengma("openapi", environment=environment, folder=tmp_path)
    assert found.stdout == (ROOT / "openapi" / "openapi.yaml").read_text()


def test_a_code_key_is_rotated_and_the_old_one_still_verifies(environment: dict[str, str], tmp_path: Path) -> None:
    def keys(*arguments: str) -> str:
        found = chengma("keys", *arguments, environment=environment, folder=tmp_path)
        assert found.returncode == 0, found.stderr
        return found.stdout

    keys("make")
    old = Keyring.open(tmp_path / "var" / "keys")
    code = payload(old, seconds_ago=0)
    cached = tmp_path / "cached.json"
    cached.write_text(keys("publish"))
    assert keys("list").count("current") == 5
    assert "published from now on, and in use from" in keys("rotate", "code")
    waiting, signing = (line for line in keys("list").splitlines() if line.startswith("code"))
    assert ("UTC  from " in waiting, "current" in waiting) == (True, False)
    assert "current, until " in signing
    fresh = payload(Keyring.open(tmp_path / "var" / "keys"), seconds_ago=0)
    found = chengma("verify", fresh, "--keys", str(cached), environment=environment, folder=tmp_path)
    assert found.stdout.startswith("VALID"), "others may have cached the keys before the rotation"
    file = tmp_path / "jwks.json"
    file.write_text(keys("publish"))
    published: dict[str, Any] = json.loads(file.read_text())
    assert len(published["keys"]) == 2
    assert "d" not in published["keys"][0]
    assert chengma("verify", code, "--keys", str(file), environment=environment, folder=tmp_path).returncode == 0
    assert "from now on." in keys("rotate", "code", "--at-once")
    urgent = payload(Keyring.open(tmp_path / "var" / "keys"), seconds_ago=0)
    found = chengma("verify", urgent, "--keys", str(cached), environment=environment, folder=tmp_path)
    assert (found.returncode, found.stdout.splitlines()[0]) == (1, "UNKNOWN KEY"), "nobody is accused of forgery"


@pytest.mark.parametrize(
    "command", [(), ("serve",), ("demo",), ("seed",), ("keys",), ("keys", "rotate"), ("verify",), ("rules",)]
)
def test_each_command_has_a_help_text(command: Sequence[str], environment: dict[str, str], tmp_path: Path) -> None:
    found = chengma(*command, "--help", environment=environment, folder=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("Usage: chengma")
    assert len(found.stdout.splitlines()) > 5


def test_a_city_is_moved_to_another_store_and_a_stale_one_is_refused(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert chengma("seed", "--citizens", "50", environment=environment, folder=tmp_path).returncode == 0
    source, target = environment["CHENGMA_STORE"], f"sqlite:///{tmp_path}/other.db"
    moved = chengma("copy", source, target, environment=environment, folder=tmp_path)
    assert moved.returncode == 0, moved.stderr
    lines = re.findall(r"^(\w+) +(\d+)  [0-9a-f]{16}$", moved.stdout, re.MULTILINE)
    counts = {collection: int(count) for collection, count in lines}
    assert counts["profiles"] == 50
    assert counts["talents"] > 0
    assert moved.stdout.splitlines()[-1].startswith(f"{sum(counts.values())} documents are equal in ")
    again = chengma("copy", source, target, environment=environment, folder=tmp_path)
    assert (again.returncode, "copy into an empty store" in again.stderr) == (1, True)
    sqlite3.connect(tmp_path / "new.db").close()
    stale = chengma("copy", str(tmp_path / "new.db"), "third.db", environment=environment, folder=tmp_path)
    assert (stale.returncode, "run `chengma migrate`" in stale.stderr) == (1, True)
    assert "Traceback" not in again.stderr + stale.stderr


def test_a_copy_takes_paths_and_makes_no_city_of_a_missing_file(environment: dict[str, str], tmp_path: Path) -> None:
    assert chengma("seed", "--citizens", "5", environment=environment, folder=tmp_path).returncode == 0
    copied = chengma("copy", "var/city.db", "other.db", environment=environment, folder=tmp_path)
    assert copied.returncode == 0, copied.stderr
    assert copied.stdout.splitlines()[-1].endswith("documents are equal in var/city.db and other.db.")
    missing = chengma("copy", "vra/city.db", "third.db", environment=environment, folder=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "Error: vra/city.db: there is no such file, so there is no city to copy\n"
    assert not (tmp_path / "vra").exists()
    assert not (tmp_path / "third.db").exists()


def test_a_server_makes_no_keys(environment: dict[str, str], tmp_path: Path) -> None:
    found = chengma("serve", environment=environment, folder=tmp_path)
    folder = tmp_path / "var" / "keys"
    assert found.returncode == 1
    assert found.stderr == f"Error: {folder}: the folder of keys does not exist; `chengma keys make` creates it\n"
    assert not folder.exists()


def test_the_files_of_a_city_are_its_owners_alone(environment: dict[str, str], tmp_path: Path) -> None:
    with running("demo", "--citizens", "5", environment=environment, folder=tmp_path):
        folder = tmp_path / "var"
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert {"city.db", "city.db-wal", "city.db-shm"} < {path.name for path in files}
        assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_of_the_previous_edition_is_refused_until_it_is_migrated(
    environment: dict[str, str], tmp_path: Path
) -> None:
    make_keys(tmp_path / "var" / "keys")
    session = {"id": "s", "revision": 1, "account_id": "a", "refresh_digest": "d", "expires": datetime.now(UTC)}
    with sqlite3.connect(tmp_path / "var" / "city.db") as connection:
        connection.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, body BLOB NOT NULL)")
        row = ("s", 1, msgspec.msgpack.encode(session))
        connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", row)
    connection.close()
    for command in (("serve",), ("schools", "list")):
        refused = chengma(*command, environment=environment, folder=tmp_path)
        assert refused.returncode == 1
        assert "the store lacks 0001_date_the_end_of_sessions" in refused.stderr
    assert chengma("migrate", environment=environment, folder=tmp_path).returncode == 0
    with running("serve", environment=environment, folder=tmp_path) as (client, _):
        assert client.get("/health/ready").status_code == 200


def test_a_plan_may_be_imported_before_the_city_is_started_for_the_first_time(
    environment: dict[str, str], tmp_path: Path
) -> None:
    make_keys(tmp_path / "var" / "keys")
    for command in (("synthesize", "plan", "--year", "2026"), ("import", "plan")):
        assert chengma("schools", *command, environment=environment, folder=tmp_path).returncode == 0
    with running("serve", environment=environment, folder=tmp_path) as (client, _):
        assert client.get("/health/ready").status_code == 200
