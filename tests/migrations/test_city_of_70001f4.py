"""A city that was filled by the code of 70001f4 works under the code of today, on both stores, to the fen."""

import asyncio
from pathlib import Path

import pytest
from litestar.testing import TestClient

from backend.app import create_app
from tests.migrations.asking import asked, balances, comparable, differences, read_renames, renamed
from tests.migrations.old_city import Json, Place, put_in_mongodb, put_in_sqlite, read_json


def in_todays_names(answer: Json) -> Json:
    return renamed(answer, read_renames(), "")


@pytest.fixture(params=["sqlite", "mongodb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The city of 70001f4 on either store, migrated to the code of today."""
    if request.param == "sqlite":
        put_in_sqlite(tmp_path / "city.db")
        store = f"sqlite:///{tmp_path}/city.db"
    else:
        store = request.getfixturevalue("database_url")
        put_in_mongodb(store)
    place = Place(tmp_path, store)
    place.migrate()
    return place


def test_everybody_is_answered_what_70001f4_answered(place: Place) -> None:
    was = in_todays_names(comparable(read_json("answers.json.gz")))
    assert list(differences(was, comparable(asked(place)))) == []


def test_sessions_and_codes_that_were_sent_go_on(place: Place) -> None:
    known: Json = read_json("sign_in.json.gz")
    with TestClient(create_app(place.settings, clock=place.clock)) as client:
        answer = client.post("/v1/sessions/refresh", json={"refresh_token": known["refresh_token"]})
        assert (answer.status_code, answer.json()["account_id"]) == (201, known["account"])
        phone, right = known["untried"]["phone"], known["untried"]["right"]
        assert client.post("/v1/sessions", json={"phone": phone, "code": right}).status_code == 201
        assert client.post("/v1/sessions", json={"phone": phone, "code": right}).status_code == 400, "it is used"
        tried = known["tried"]
        wrong = [client.post("/v1/sessions", json={"phone": tried["phone"], "code": tried["wrong"]}) for _ in range(4)]
        assert [answer.status_code for answer in wrong] == [400] * 4
        last = client.post("/v1/sessions", json={"phone": tried["phone"], "code": tried["right"]})
        assert last.status_code != 201, "it was tried once before the city was moved"


def test_forty_days_later_everybody_has_and_owes_what_they_would_have_then(place: Place) -> None:
    asyncio.run(place.time_passes())
    was = in_todays_names(read_json("later.json.gz"))
    assert list(differences(was, balances(asked(place))))[:20] == []
