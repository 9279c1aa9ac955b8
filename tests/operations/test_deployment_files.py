"""compose.yaml, the Dockerfile and the guide for operators agree with the code."""

import re
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from backend.__main__ import chengma
from backend.app import documents_of
from backend.city.service import discover_services
from backend.settings import FILE, PREFIX, Settings
from backend.store import HASHED_ID

ROOT = Path(__file__).parents[2]
OPERATING = (ROOT / "docs" / "operating.md").read_text()
PAGES = [path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")] if path.name != "CHANGELOG.md"]
GUIDES = "\n".join(path.read_text() for path in PAGES)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = {f"{PREFIX}{name.upper()}" for name in Settings.__struct_fields__}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "compose.yaml").read_text())


def test_the_guide_names_the_shard_key_of_the_collections() -> None:
    """Collections that it does not list are sharded by the hash of their id, as the guide explains."""
    (table,) = re.findall(r"^\| collection \| shard key \|.*?\n\n", OPERATING, re.DOTALL | re.MULTILINE)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
    keys = {kind.collection: dict(kind.shard_key) for kind in documents_of(discover_services())}
    written = {'`{_id: "hashed"}`': {"_id": "hashed"}, "`{venue: 1}`": {"venue": 1}, "none: one shard": {}}
    named = {name: written[key] for name, key in rows.items()}
    assert len(rows) > 25
    assert set(named) <= set(keys), "these collections do not exist: remove them from docs/operating.md"
    assert {name: named.get(name, dict(HASHED_ID)) for name in keys} == keys


def test_the_command_that_the_guide_names_shards_every_collection_by_its_declared_key() -> None:
    assert "chengma migrate --shards" in OPERATING
    printed = CliRunner().invoke(chengma, ["migrate", "--shards"]).output
    named = dict(re.findall(r"^sh\.shardCollection\('chengma\.(\w+)', (.*)\)$", printed, re.MULTILINE))
    keys = {kind.collection: kind.shard_key for kind in documents_of(discover_services())}
    assert len(named) > 5
    assert {name: msgspec.json.decode(key) for name, key in named.items()} == {
        name: key for name, key in keys.items() if key
    }


def test_the_guide_describes_a_point_in_time_backup_as_mongodump_supports_it() -> None:
    (address,) = re.findall(r"uri: (mongodb://\S+)\" > backup.yaml", OPERATING)
    assert "/?" in address, "--oplog dumps whole servers, so the address names no database"
    assert "mongodump --config=backup.yaml --oplog" in OPERATING
    assert "mongorestore --config=backup.yaml --oplogReplay" in OPERATING


def test_every_command_in_the_guide_exists() -> None:
    named = re.findall(r"(?:^|`|\$ |bin/)chengma ([a-z]+)(?: ([a-z]+))?", GUIDES, re.MULTILINE)
    assert len(named) > 50
    for name, second in named:
        command = chengma.get_command(chengma.make_context("chengma", ["--help"], resilient_parsing=True), name)
        assert command is not None, name
        if second and isinstance(command, click.Group):
            assert second in command.list_commands(click.Context(command)), f"{name} {second}"


def test_every_setting_in_the_guide_exists(compose: dict[str, Any]) -> None:
    text = GUIDES + DOCKERFILE + msgspec.json.encode(compose).decode()
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", text))
    assert len(named) > 5
    assert {name.removesuffix(FILE.upper()) for name in named} <= SETTINGS


def test_every_metric_in_the_guide_is_exported_to_prometheus() -> None:
    source = "".join(path.read_text() for part in ("backend", "integrations") for path in (ROOT / part).rglob("*.py"))
    for name in set(re.findall(r"`?(chengma_[a-z_]+)", OPERATING)):
        bare = re.sub(r"_(total|count|bucket|sum)$", "", name)
        assert f'"{bare}"' in source, name


def test_compose_starts_a_complete_city(compose: dict[str, Any]) -> None:
    services = compose["services"]
    commands = {name: service["command"] for name, service in services.items() if service.get("image") == "chengma"}
    assert [name for name, command in commands.items() if command[0] == "serve"] == ["api-1", "api-2"]
    assert [name for name, command in commands.items() if command[0] == "worker"] == ["worker-1", "worker-2"]
    assert [name for name, command in commands.items() if command[0] == "beat"] == ["beat"]
    context = chengma.make_context("chengma", ["--help"], resilient_parsing=True)
    assert all(chengma.get_command(context, command[0]) for command in commands.values())
    members = [service for service in services.values() if "--replSet" in service.get("command", [])]
    assert len(members) == 3
    assert all("--keyFile" in member["command"] for member in members)


def test_compose_publishes_ports_only_locally_and_contains_no_secret(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        for variable in service.get("environment", {}):
            assert "PASSWORD" not in variable
    assert {secret["file"].partition("/")[0] for secret in compose["secrets"].values()} == {"secrets"}
    assert "secrets/" in (ROOT / ".gitignore").read_text()


def test_compose_creates_the_first_mongodb_user_as_mongodb_permits(compose: dict[str, Any]) -> None:
    """MongoDB accepts the first user only from the same host, on the primary, and with roles of `admin`."""
    setup = compose["services"]["mongo-setup"]
    assert setup["network_mode"] == "service:mongo-1"
    (script,) = setup["command"]
    assert "priority: n === 1 ? 2 : 1" in script
    first, second = re.findall(r'createUser\(\{user: "(\w+)", .*?roles: (.*?)\}\)', script, re.DOTALL)
    assert first == ("admin", '["root"]')
    assert second == ("chengma", '[{role: "dbOwner", db: "chengma"}]')
    assert script.index("admin.auth(") < script.index('user: "chengma"')
    assert {name for name in compose["secrets"] if f'secret("{name}")' in script} == set(setup["secrets"])


def test_the_metrics_port_is_not_published(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        port = service.get("environment", {}).get("CHENGMA_METRICS_PORT")
        assert not [line for line in service.get("ports", ()) if port and line.endswith(f":{port}")], name


def test_the_servers_wait_for_the_migration(compose: dict[str, Any]) -> None:
    for name in ("api-1", "api-2", "worker-1", "worker-2", "beat"):
        waits = compose["services"][name]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}


def test_the_image_runs_without_build_tools_and_not_as_root() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    assert not re.search(r"apt-get|gcc|build-essential|pip install", last)
    assert re.search(r"--require-hashes .*-r requirements\.lock$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/health/live" in last
    copied = set(re.findall(r"^COPY ([a-z]+) \1$", last, re.MULTILINE))
    assert copied == {"backend", "rules", "integrations", "migrations", "openapi"}
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    assert {line[1:] for line in allowed if line.startswith("!")} == copied | {"requirements.lock"}
