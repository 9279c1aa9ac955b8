"""Plans are stored as editions, all or nothing, and are available to everyone as files."""

import asyncio
import csv
import io
import json

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.services.school_lookup import editions
from backend.services.school_lookup.editions import digest_of, previous_edition, read_plan, store_plan
from backend.services.school_lookup.model import SchoolPlan
from backend.services.school_lookup.plan import Plan
from backend.services.school_lookup.synthetic_district import synthetic_plan
from backend.store import Document, Store, StoreUnavailable
from tests.conftest import work_in
from tests.services.school_lookup.scene import HEADING, PLAN, SPRING

LATER = replace(PLAN, schools=[replace(one, seats=one.seats + 1) for one in PLAN.schools])


def test_a_stored_plan_is_read_back_without_its_addresses(address: str) -> None:
    async def work(store: Store) -> Plan:
        edition = await store_plan(store, large, SPRING)
        return await read_plan(store, edition)

    large = synthetic_plan(2026)
    assert work_in(address, work) == replace(large, addresses=[])


def test_the_same_plan_again_changes_nothing(address: str) -> None:
    async def work(store: Store) -> SchoolPlan | None:
        for _ in range(2):
            await store_plan(store, PLAN, SPRING)
        return await store.get(SchoolPlan, "990002-2018")

    pointer = work_in(address, work)
    assert pointer is not None
    assert [one.edition for one in pointer.imported] == [digest_of(PLAN)]


def test_a_new_edition_takes_effect_and_the_old_one_stays_stored(address: str) -> None:
    async def work(store: Store) -> list[str]:
        await store_plan(store, PLAN, SPRING)
        await store_plan(store, LATER, SPRING)
        assert await read_plan(store, digest_of(PLAN)) == replace(PLAN, addresses=[])
        pointer = await store.get(SchoolPlan, "990002-2018")
        assert pointer is not None
        return [one.edition for one in pointer.imported]

    assert work_in(address, work) == [digest_of(PLAN), digest_of(LATER)]


class Interrupted(Exception):
    """The process was killed here."""


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_an_interrupted_import_has_no_effect_and_can_be_repeated(address: str, writes: int) -> None:
    async def work(store: Store) -> None:
        await store_plan(store, PLAN, SPRING)
        insert, replace_, left = store.insert, store.replace, writes

        async def write(document: Document) -> Document:
            nonlocal left
            if not left:
                raise Interrupted
            left -= 1
            return await insert(document)

        store.insert, store.replace = write, write
        with pytest.raises(Interrupted):
            await store_plan(store, LATER, SPRING)
        store.insert, store.replace = insert, replace_
        assert await in_force(store) == digest_of(PLAN)
        await store_plan(store, LATER, SPRING)
        assert await in_force(store) == digest_of(LATER)

    work_in(address, work)


async def in_force(store: Store) -> str:
    """Return the edition in force."""
    pointer = await store.get(SchoolPlan, "990002-2018")
    assert pointer is not None
    return pointer.imported[-1].edition


def test_a_plan_is_compared_with_the_newest_one_of_its_district_up_to_its_year(address: str) -> None:
    async def work(store: Store) -> list[int | None]:
        for year in (2016, 2018, 2020):
            heading = replace(HEADING, year=year)
            await store_plan(store, replace(PLAN, heading=heading), SPRING)
        found = [await previous_edition(store, replace(HEADING, year=year)) for year in (2015, 2017, 2018, 2030)]
        return [None if plan is None else plan.heading.year for plan in found]

    assert work_in(address, work) == [None, 2016, 2018, 2020]


# ── what everybody may have ──


def test_plans_are_listed_with_their_source(published: TestClient[Litestar]) -> None:
    (plan,) = published.get("/v1/school-plans").json()
    assert (plan["code"], plan["year"], plan["source"]) == ("990002", 2018, "a test's own")
    assert published.get("/v1/school-plans?year=2030").json() == []


def test_schools_and_catchments_are_available_as_geojson(published: TestClient[Litestar]) -> None:
    answer = published.get("/v1/school-plans/990002/2018/schools.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    schools = answer.json()
    assert [feature["geometry"]["type"] for feature in schools["features"]] == ["Point"] * 4
    assert schools["features"][0]["properties"]["seats"] == 60
    catchments = published.get("/v1/school-plans/990002/2018/catchments.geojson").json()
    assert [feature["id"] for feature in catchments["features"]] == ["west", "east", "north-1", "north-2", "all"]
    west = catchments["features"][0]
    assert west["geometry"]["coordinates"][0][0][0] == [120.10, 30.30]
    assert west["properties"]["address_ranges"][0]["road"] == "和平路"


def test_schools_with_seats_and_past_batches_are_available_as_tables(published: TestClient[Litestar]) -> None:
    answer = published.get("/v1/school-plans/990002/2018/schools.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["id"], row["seats"]) for row in rows] == [("S1", "60"), ("S2", "100"), ("S3", "200"), ("X1", "30")]
    past = list(csv.DictReader(io.StringIO(published.get("/v1/school-plans/990002/2018/past-batches.csv").text)))
    assert past[0] == {"school": "S1", "year": "2016", "batch": "1", "applied": "40", "admitted": "40"}


@pytest.mark.parametrize("file", ["schools.geojson", "catchments.geojson", "schools.csv", "past-batches.csv"])
def test_an_unchanged_file_is_not_sent_again(published: TestClient[Litestar], file: str) -> None:
    path = f"/v1/school-plans/990002/2018/{file}"
    first = published.get(path)
    again = published.get(path, headers={"If-None-Match": f'"another", {first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert published.get(path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_a_new_edition_has_another_etag(published: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/school-plans/990002/2018/schools.csv"
    before = published.get(path).headers["etag"]
    published.blocking_portal.call(store_plan, published.app.state.city.store, LATER, SPRING)
    monkeypatch.setattr(editions, "REFRESH_SECONDS", 0)
    published.get(path)
    published.blocking_portal.call(asyncio.sleep, 0.3)
    assert published.get(path, headers={"If-None-Match": before}).status_code == 200


def test_cached_plans_stay_in_use_while_the_store_is_unavailable(
    published: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_kind: type[Document], *, after: str = "") -> object:
        raise StoreUnavailable(f"the store does not answer after {after!r}")

    assert len(published.get("/v1/school-plans").json()) == 1
    monkeypatch.setattr(published.app.state.city.store, "scan", away)
    monkeypatch.setattr(editions, "REFRESH_SECONDS", 0)
    for _ in range(3):
        assert len(published.get("/v1/school-plans").json()) == 1
    published.blocking_portal.call(asyncio.sleep, 0.05)
    assert "using the cached ones" in caplog.text


def test_without_a_store_and_without_a_cached_plan_the_service_is_unavailable(
    client: TestClient[Litestar], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_kind: type[Document], *, after: str = "") -> object:
        raise StoreUnavailable(f"the store does not answer after {after!r}")

    monkeypatch.setattr(client.app.state.city.store, "scan", away)
    assert client.get("/v1/school-plans").status_code == 503


@pytest.mark.parametrize("place", ["990009/2018", "990002/2017"])
def test_a_district_or_year_without_a_plan_is_reported(published: TestClient[Litestar], place: str) -> None:
    answer = published.get(f"/v1/school-plans/{place}/schools.csv")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/no-school-plan")


def test_a_synthetic_city_has_a_district_to_try(client: TestClient[Litestar]) -> None:
    from random import Random

    from backend.services.school_lookup.synthetic import synthesize

    city = client.app.state.city

    async def fill() -> None:
        for document in synthesize(city, Random(1), []):
            await city.store.insert(document)

    client.blocking_portal.call(fill)
    (plan,) = client.get("/v1/school-plans").json()
    assert (plan["synthetic"], plan["year"]) == (True, 2018)
    catchments = json.loads(client.get("/v1/school-plans/990001/2018/catchments.geojson").content)
    assert catchments["synthetic"]
    assert len(catchments["features"]) >= 80
