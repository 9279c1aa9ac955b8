"""A city with open processes, made by earlier code, is migrated and completes each process to the same fen."""

import asyncio
import json
import sqlite3
from functools import cache
from pathlib import Path

import pytest

from backend.settings import Settings
from tests.conftest import Clock
from tests.migrations.answers import differences
from tests.migrations.figures import read_figures
from tests.migrations.old_city import Json, migrate_store, name_people, name_systems, put_in_mongodb, put_in_sqlite
from tests.migrations.open_city import HANDOVER, open_simulation, settings_of

HERE = Path(__file__).parent / "city_of_71394a7"
pytestmark = pytest.mark.slow


@cache
def read_text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@pytest.fixture(params=["sqlite", "mongodb"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A copy of the city on either store, migrated to today's schema."""
    lines = [json.loads(line) for line in read_text("city.jsonl").splitlines()]
    if request.param == "sqlite":
        store = f"sqlite:///{tmp_path}/city.db"
        put_in_sqlite(tmp_path / "city.db", read_text("schema.sql"), lines)
    else:
        store = request.getfixturevalue("database_url")
        put_in_mongodb(store, json.loads(read_text("indexes.json")), lines)
    (tmp_path / "keys").mkdir(mode=0o700)
    for name, text in json.loads(read_text("keys.json")).items():
        (tmp_path / "keys" / name).touch(0o600)
        (tmp_path / "keys" / name).write_text(text, encoding="utf-8")
    with sqlite3.connect(tmp_path / "sandbox.db") as file:
        file.executescript(read_text("sandbox.sql"))
    file.close()
    settings = settings_of(tmp_path, store)
    migrate_store(settings)
    name_people(settings)
    name_systems(settings)
    return settings


def test_a_migrated_city_completes_every_open_process_to_the_same_fen(settings: Settings) -> None:
    async def complete() -> Json:
        async with open_simulation(settings, Clock(HANDOVER), json.loads(read_text("plan.json"))) as simulation:
            await simulation.pass_half_a_year()
            return await read_figures(simulation)

    found = json.loads(json.dumps(asyncio.run(complete())))
    assert list(differences(json.loads(read_text("expected.json")), found))[:40] == []
