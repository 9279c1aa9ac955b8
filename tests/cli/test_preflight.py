"""A misconfigured city does not start; the error is one clear line without a password."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest
from pymongo import MongoClient

from backend.app import documents_of
from backend.city.service import discover_services
from backend.cli.preflight import NotReady, check_before_serving, warn_of_sandboxes
from backend.security.keyring import make_keys
from backend.settings import Settings
from backend.store.connect import prepare_store
from backend.store.migrations import find_migrations
from tests.cli.command import chengma
from tests.conftest import ROOT, lacking
from tests.mongod import Mongod
from tests.servers import Process, free_port, listens, messages, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    make_keys(tmp_path / "keys")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHENGMA_")}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "CHENGMA_PORT": str(free_port()),
        "CHENGMA_RULES": str(ROOT / "rules"),
        "CHENGMA_STORE": f"sqlite:///{tmp_path}/city.db",
        "CHENGMA_KEYS": str(tmp_path / "keys"),
        "CHENGMA_STORE_TIMEOUT_MS": "1000",
    }


def refused(environment: dict[str, str], *command: str) -> str:
    """Start the city, which must exit at once with one line; return the line."""
    began = time.monotonic()
    found = subprocess.run(
        [*command, sys.executable, "-m", "backend", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode in {1, 2}, found.stdout + found.stderr
    assert time.monotonic() - began < 20
    lines = [line for line in found.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("Error: ")
    assert "secret" not in found.stderr + found.stdout
    return lines[0]


def test_an_invalid_address_is_refused(environment: dict[str, str]) -> None:
    line = refused(environment | {"CHENGMA_STORE": "mongodb://anna:secret@127.0.0.1:many/chengma"})
    assert "CHENGMA_STORE is not a valid MongoDB address" in line


def test_an_address_whose_password_is_not_escaped_is_refused(environment: dict[str, str]) -> None:
    line = refused(environment | {"CHENGMA_STORE": "mongodb://anna:1/secret@mongo/chengma"})
    assert "CHENGMA_STORE is not a valid MongoDB address: write special characters" in line
    line = refused(environment | {"CHENGMA_BROKER": "redis://:secret/1@127.0.0.1:6379/0"})
    assert "CHENGMA_BROKER is not a valid broker address; write special characters" in line


def test_a_wrong_password_is_refused_and_not_shown(environment: dict[str, str], database_url: str) -> None:
    wrong = database_url.replace("mongodb://", "mongodb://anna:secret@").replace("?", "?authSource=admin&")
    line = refused(environment | {"CHENGMA_STORE": wrong})
    assert "the user 'anna' of CHENGMA_STORE is refused: wrong name or password" in line


def test_a_store_that_does_not_answer_is_named(environment: dict[str, str]) -> None:
    port = free_port()
    line = refused(environment | {"CHENGMA_STORE": f"mongodb://anna:secret@127.0.0.1:{port}/?replicaSet=city"})
    assert f"no MongoDB answers at mongodb://127.0.0.1:{port}/ within 1000 ms" in line


@pytest.fixture
def mongod_alone(tmp_path: Path, mongod_url: str) -> Iterator[int]:
    """Yield the port of a mongod that is not a member of a replica set."""
    assert mongod_url
    if os.environ.get("MONGODB_URL"):
        pytest.skip("MONGODB_URL names a server; this test starts another kind of its own")
    server = Mongod(tmp_path / "alone", alone=True)
    yield server.port
    server.stop()


@pytest.mark.parametrize("options", ["", "?replicaSet=city"])
def test_a_mongod_that_is_not_a_replica_set_is_refused(
    environment: dict[str, str], mongod_alone: int, options: str
) -> None:
    line = refused(environment | {"CHENGMA_STORE": f"mongodb://127.0.0.1:{mongod_alone}/chengma{options}"})
    assert "is not a replica set" in line
    assert "start it with --replSet" in line


def test_a_broker_that_does_not_answer_is_named(environment: dict[str, str]) -> None:
    line = refused(environment | {"CHENGMA_BROKER": f"redis://:secret@127.0.0.1:{free_port()}/0"})
    assert "no broker answers at redis://127.0.0.1:" in line


def test_a_clock_that_differs_from_that_of_the_store_is_refused(environment: dict[str, str], database_url: str) -> None:
    if shutil.which("faketime") is None:
        lacking("faketime")
    prepare_store(database_url, documents_of(discover_services()))
    line = refused(environment | {"CHENGMA_STORE": database_url}, "faketime", "-f", "-90s")
    assert "the clocks of this machine and of mongodb://" in line
    assert "differ by 90 s, more than CHENGMA_CLOCK_SKEW_SECONDS=30" in line


def test_a_store_that_was_not_migrated_is_refused(environment: dict[str, str], database_url: str) -> None:
    line = refused(environment | {"CHENGMA_STORE": database_url})
    assert "the store lacks 0001_" in line
    assert "run `chengma migrate`" in line


@pytest.mark.parametrize("setting", ["CHENGMA_STORE", "CHENGMA_KEYS"])
def test_a_folder_that_cannot_be_written_is_named(environment: dict[str, str], setting: str) -> None:
    prefix = "sqlite:///" if setting == "CHENGMA_STORE" else ""
    line = refused(environment | {setting: f"{prefix}/proc/nobody/city"})
    assert "/proc/nobody" in line


def test_a_key_that_others_may_read_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    key = next((tmp_path / "keys").glob("token_*.json"))
    key.chmod(0o644)
    line = refused(environment)
    assert f"{key}: other users can read this key; run `chmod 600` on it" in line


def test_a_published_rulebook_that_does_not_fit_this_edition_is_refused_with_its_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    publish = [sys.executable, "-m", "backend", "rules", "publish", str(rules)]
    subprocess.run([sys.executable, "-m", "backend", "migrate"], env=environment, check=True, capture_output=True)
    subprocess.run(publish, env=environment | {"CHENGMA_DEVELOPMENT": "true"}, check=True, capture_output=True)
    with sqlite3.connect(tmp_path / "city.db") as connection:
        ((digest, body),) = connection.execute("SELECT id, body FROM rulebook_releases").fetchall()
        release = msgspec.msgpack.decode(body)
        text = release["files"]["health_code.frame"]
        release["files"]["health_code.frame"] = text.replace("facts.doses", "facts.dozes")
        row = (msgspec.msgpack.encode(release), digest)
        connection.execute("UPDATE rulebook_releases SET body = ? WHERE id = ?", row)
    connection.close()
    found = subprocess.run(
        [sys.executable, "-m", "backend", "serve"], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert f"{digest[:16]}/health_code.frame:" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_new_file_needs_no_migration_and_an_old_one_does(environment: dict[str, str], tmp_path: Path) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "backend", *words]
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    planned = command("migrate", "--plan")
    assert planned.stdout.splitlines()[0].startswith("0001_date_the_end_of_sessions  sessions: 0 documents  ")
    assert command("migrate").stdout == f"{len(find_migrations())} migrations done; {tmp_path}/city.db is up to date.\n"
    assert command("migrate").stdout == f"0 migrations done; {tmp_path}/city.db is up to date.\n"
    assert command("migrate", "--plan").stdout == "Nothing: the store is up to date.\n"


@pytest.fixture(params=["sqlite", "mongodb"])
def on_both_stores(environment: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment of a city on each store."""
    if request.param == "mongodb":
        environment["CHENGMA_STORE"] = request.getfixturevalue("database_url")
    return environment


def migrated(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return chengma("migrate", environment=environment, folder=folder)


def test_a_store_is_not_served_with_the_keys_of_another_city(on_both_stores: dict[str, str], tmp_path: Path) -> None:
    environment = on_both_stores
    assert migrated(environment, tmp_path).returncode == 0
    make_keys(tmp_path / "other-keys")
    line = refused(environment | {"CHENGMA_KEYS": str(tmp_path / "other-keys")})
    assert f"the keys in {tmp_path}/other-keys are not those of the city in " in line
    assert "Correct CHENGMA_KEYS or CHENGMA_STORE, or restore the backup of the keys" in line


def test_an_emptied_store_is_not_taken_for_a_new_city(on_both_stores: dict[str, str], tmp_path: Path) -> None:
    environment = on_both_stores
    assert migrated(environment, tmp_path).returncode == 0
    if environment["CHENGMA_STORE"].startswith("mongodb"):
        with MongoClient[dict[str, object]](environment["CHENGMA_STORE"]) as client:
            client.drop_database(client.get_default_database().name)
        prepare_store(environment["CHENGMA_STORE"], documents_of(discover_services()))
    else:
        for file in tmp_path.glob("city.db*"):
            file.unlink()
    found = migrated(environment, tmp_path)
    assert found.returncode == 1
    assert "holds no city, but the keys in" in found.stderr
    assert "restore its backup or correct CHENGMA_STORE. A new city needs a new folder of keys" in found.stderr


def test_a_rotated_key_is_still_of_the_same_city_and_a_lost_one_is_not(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert migrated(environment, tmp_path).returncode == 0
    (old,) = (tmp_path / "keys").glob("field_*.json")
    assert chengma("keys", "rotate", "field", environment=environment, folder=tmp_path).returncode == 0
    assert migrated(environment, tmp_path).returncode == 0
    old.unlink()
    assert "are not those of the city" in refused(environment)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "city.example"])  # noqa: S104  refused
def test_development_is_refused_where_other_machines_can_reach_it(host: str) -> None:
    with pytest.raises(NotReady, match="CHENGMA_DEVELOPMENT lets anyone read the codes sent by text message"):
        check_before_serving(Settings(development=True, host=host), [], [])


def test_a_city_that_people_may_use_is_warned_of_its_sandboxes(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_sandboxes(Settings())
    assert "Bank, " in caplog.text
    assert "IdentityProofing, " in caplog.text
    caplog.clear()
    warn_of_sandboxes(Settings(development=True))
    assert caplog.text == ""


def test_development_is_refused_beside_a_real_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carriers"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sms.py").write_text(
        "from backend.city.service import Integration\nfrom backend.services.account.ports import Sms\n"
        "integration = Integration(port=Sms, make=lambda settings: None)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NotReady, match=r"'carriers' connects to real systems \(Sms\): do not set it"):
        check_before_serving(Settings(development=True, integrations="carriers"), [], [])


@pytest.mark.parametrize("what", ["deleted", "replaced by another city's"])
def test_a_server_whose_file_is_gone_stops_and_says_so(environment: dict[str, str], what: str, tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    process = Process([sys.executable, "-m", "backend", "serve"], log, environment)
    try:
        wait_until(lambda: listens(int(environment["CHENGMA_PORT"])))
        file = tmp_path / "city.db"
        file.rename(tmp_path / "elsewhere.db")
        if what != "deleted":
            file.touch()
        wait_until(lambda: not process.runs)
    finally:
        process.stop()
    assert any("so it stops" in message for message in messages(log))


def test_too_few_open_files_for_any_city_are_refused(environment: dict[str, str]) -> None:
    line = refused(environment, "sh", "-c", 'ulimit -n 600; exec "$@"', "sh")
    assert "4,000 connections need 4,512 open files, and this process may open 600: raise the limit" in line


@pytest.mark.parametrize(("limits", "warned"), [("ulimit -Sn 256", False), ("ulimit -Sn 256; ulimit -Hn 800", True)])
def test_the_limit_of_open_files_is_raised_for_the_connections(
    environment: dict[str, str], limits: str, *, warned: bool, tmp_path: Path
) -> None:
    log, port = tmp_path / "serve.log", int(environment["CHENGMA_PORT"])
    arguments = ["sh", "-c", f'{limits}; exec "$@"', "sh", sys.executable, "-m", "backend", "serve"]
    process = Process(arguments, log, environment)
    with ExitStack() as open_connections:
        try:
            wait_until(lambda: listens(port), process.log_text)
            for _ in range(500):
                open_connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as response:
                assert response.status == 200
        finally:
            process.stop()
    assert any("only 288 connections are accepted" in message for message in messages(log)) == warned
