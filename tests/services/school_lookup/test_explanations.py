"""The explanation of a child's batch in one catchment."""

from typing import Any

import httpx
from litestar import Litestar
from litestar.testing import TestClient

from tests.services.school_lookup.conftest import LookUp
from tests.services.school_lookup.scene import HOME, a_child, a_family

Client = TestClient[Litestar]


def ask(client: Client, family: dict[str, Any], **more: object) -> httpx.Response:
    body = {"family": family, **more}
    return client.post("/v1/school-lookups/explanations", json=body, headers={"accept-language": "en"})


def catchment_of(look_up: LookUp, family: dict[str, Any]) -> str:
    return look_up(family).json()["places"][0]["catchments"][0]["catchment"]


def test_a_parent_reads_what_would_give_a_better_batch(published: Client, look_up: LookUp) -> None:
    family = a_family(a_child(registered_since="2016-05-01"), homes=[{"address": HOME}])
    found = ask(published, family, catchment=catchment_of(look_up, family)).json()
    assert (found["module"], found["result"]) == ("school_lookup.gongshu_batch", "batch_7")
    (way, *_) = found["way_out"]["ways"]
    assert found["way_out"]["proved"]
    assert [act["field"] for act in way["acts"]] == ["homes"]
    assert way["then"]["result"] == "batch_1"
    assert any(sentence.startswith("The shortest way: Have a home in the catchment") for sentence in found["sentences"])


def test_the_first_batch_has_no_better_one(published: Client, look_up: LookUp) -> None:
    family = a_family()
    found = ask(published, family, catchment=catchment_of(look_up, family)).json()
    assert (found["result"], found["way_out"]["kind"]) == ("batch_1", "best")


def test_a_catchment_that_the_lookup_does_not_name_is_not_found(published: Client) -> None:
    assert ask(published, a_family(), catchment="nowhere").status_code == 404


def test_a_family_with_contradictions_is_refused_as_in_a_lookup(published: Client) -> None:
    family = a_family(a_child(born_on="2060-01-01"))
    assert ask(published, family, catchment="S1").status_code == 422
