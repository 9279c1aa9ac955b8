"""A city that was filled by the code of 70001f4 works with today's code on both stores, to the fen."""

import asyncio
import json
from pathlib import Path

import pytest
from litestar.testing import TestClient

from backend.app import create_app
from backend.services.account.accounts import phone_digest_of
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


def test_sessions_stay_valid_and_codes_without_a_challenge_end(city_copy: CityCopy) -> None:
    known: Json = read_json("sign_in.json.gz")
    with TestClient(create_app(city_copy.settings, clock=city_copy.clock)) as client:
        answer = client.post("/v1/sessions/refresh", json={"refresh_token": known["refresh_token"]})
        assert (answer.status_code, answer.json()["account_id"]) == (201, known["account"])
        phone, code = known["untried"]["phone"], known["untried"]["right"]
        city = client.app.state.city
        for challenge in (phone_digest_of(city, f"+86{phone.removeprefix('+86')}"), "x" * 22):
            body = {"phone": phone, "challenge": challenge, "code": code}
            refused = client.post("/v1/sessions", json=body)
            assert (refused.status_code, refused.json()["type"]) == (400, "/problems/wrong-code")


def test_forty_days_later_every_balance_is_that_of_70001f4(city_copy: CityCopy) -> None:
    asyncio.run(city_copy.time_passes())
    expected = with_current_names(read_json("later.json.gz"))
    assert list(differences(expected, balances(collect_answers(city_copy))))[:20] == []
