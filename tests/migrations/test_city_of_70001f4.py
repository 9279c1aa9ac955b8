"""A city that was filled by the code of 70001f4 works with today's code on both stores, to the fen."""

import asyncio
import json
from pathlib import Path

import pytest
from litestar.testing import TestClient

from backend.app import create_app
from tests.migrations.answers import balances, collect_answers, comparable, differences, read_renames, renamed
from tests.migrations.old_city import HERE, CityCopy, Json, put_in_mongodb, put_in_sqlite, read_json, read_lines


def with_current_names(answer: Json) -> Json:
    return renamed(answer, read_renames(), "")


@pytest.fixture(params=["sqlite", "mongodb"])
def city_copy(request: pytest.FixtureRequest, tmp_path: Path) -> CityCopy:
    """The city of 70001f4 on either store, migrated to today's schema."""
    if request.param == "sqlite":
        schema = (HERE / "schema.sql").read_text(encoding="utf-8")
        put_in_sqlite(tmp_path / "city.db", schema, read_lines("city.jsonl.gz"))
        store = f"sqlite:///{tmp_path}/city.db"
    else:
        store = request.getfixturevalue("database_url")
        indexes = json.loads((HERE / "indexes.json").read_text(encoding="utf-8"))
        put_in_mongodb(store, indexes, read_lines("city.jsonl.gz"))
    city_copy = CityCopy(tmp_path, store)
    city_copy.migrate()
    return city_copy


def test_every_request_gets_the_answer_of_70001f4(city_copy: CityCopy) -> None:
    expected = with_current_names(comparable(read_json("answers.json.gz")))
    assert list(differences(expected, comparable(collect_answers(city_copy)))) == []


def test_sessions_and_sent_codes_stay_valid(city_copy: CityCopy) -> None:
    known: Json = read_json("sign_in.json.gz")
    with TestClient(create_app(city_copy.settings, clock=city_copy.clock)) as client:
        answer = client.post("/v1/sessions/refresh", json={"refresh_token": known["refresh_token"]})
        assert (answer.status_code, answer.json()["account_id"]) == (201, known["account"])
        phone, right = known["untried"]["phone"], known["untried"]["right"]
        assert client.post("/v1/sessions", json={"phone": phone, "code": right}).status_code == 201
        assert client.post("/v1/sessions", json={"phone": phone, "code": right}).status_code == 400, (
            "a code is valid once"
        )
        tried = known["tried"]
        wrong = [client.post("/v1/sessions", json={"phone": tried["phone"], "code": tried["wrong"]}) for _ in range(4)]
        assert [answer.status_code for answer in wrong] == [400] * 4
        last = client.post("/v1/sessions", json={"phone": tried["phone"], "code": tried["right"]})
        assert last.status_code != 201, "one of five attempts was made before the migration"


def test_forty_days_later_every_balance_is_that_of_70001f4(city_copy: CityCopy) -> None:
    asyncio.run(city_copy.time_passes())
    expected = with_current_names(read_json("later.json.gz"))
    assert list(differences(expected, balances(collect_answers(city_copy))))[:20] == []
