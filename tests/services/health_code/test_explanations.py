"""What citizens read about their colour: the reason, the smallest way to a milder one, and when it changes."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from backend.city.explanations import MAX_QUEUED, explanation_worker
from tests.services.health_code.scene import Client, Headers, Scene, problem

PATH = "/v1/me/health-code/explanation"


def explained(client: Client, person: Headers, language: str = "en") -> dict[str, Any]:
    response = client.get(PATH, headers={**person, "accept-language": language})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.json()


def test_a_green_code_has_no_better_one(client: Client, wang: Headers) -> None:
    found = explained(client, wang)
    assert (found["result"], found["way_out"]["kind"]) == ("green", "best")
    assert found["sentences"] == ["Nothing found"]


def test_a_fever_ends_with_a_negative_test_which_is_said_in_both_languages(
    client: Client, scene: Scene, wang: Headers
) -> None:
    client.post("/v1/me/health-declarations", headers=wang, json={"symptoms": ["fever"]})
    scene.set_clock("2022-04-20T14:30:20+08:00")
    found = explained(client, wang)
    assert (found["way_out"]["kind"], found["way_out"]["by"], found["way_out"]["proved"]) == ("change", "person", True)
    (way,) = found["way_out"]["ways"]
    (act,) = way["acts"]
    assert (act["field"], act["values"]) == (
        "tests",
        {"kind": "pcr", "result": "negative", "sampled_at": "2022-04-20T06:30:20Z"},
    )
    assert (way["then"]["result"], way["then"]["at"]) == ("green", "2022-04-20T06:30:20Z")
    assert found["sentences"][2:] == [
        (
            "The shortest way: Take a PCR test with a negative result. "
            "From 2022-04-20 14:31 at the earliest: green code (Nothing found)."
        ),
        "Without doing anything, from 2022-04-27 12:00 on, automatically: green code (Nothing found).",
    ]
    assert explained(client, wang, "zh-CN")["sentences"][2:] == [
        "最简便的办法：做一次核酸检测，结果为阴性。最早2022-04-20 14:31起：绿码（未见异常）。",
        "不办理任何事项的，2022-04-27 12:00起自动变为：绿码（未见异常）。",
    ]


def test_only_time_ends_the_effect_of_a_contact(client: Client, scene: Scene, wang: Headers) -> None:
    scene.report(scene.event("contact", level="close", at="2022-04-19T08:00:00+08:00"))
    found = explained(client, wang)
    assert (found["way_out"]["kind"], found["way_out"]["proved"]) == ("time", True)
    assert found["way_out"]["waiting"]["result"] == "yellow"
    assert found["sentences"][-1].startswith(
        "You need not do anything, and cannot make it earlier: from 2022-05-03 08:00 on, automatically: yellow code"
    )


def test_a_new_report_is_in_the_next_explanation(client: Client, scene: Scene, wang: Headers) -> None:
    assert explained(client, wang)["result"] == "green"
    scene.report(scene.event("contact", level="close", at="2022-04-19T08:00:00+08:00"))
    assert explained(client, wang)["result"] == "red"


def test_an_explanation_is_not_older_than_a_minute_nor_than_the_change_of_the_colour(
    client: Client, scene: Scene, wang: Headers
) -> None:
    client.post("/v1/me/health-declarations", headers=wang, json={"symptoms": ["fever"]})
    first = explained(client, wang)["way_out"]["ways"][0]["then"]["at"]
    scene.clock.now += timedelta(seconds=59)
    assert explained(client, wang)["way_out"]["ways"][0]["then"]["at"] == first
    scene.clock.now += timedelta(seconds=2)
    assert explained(client, wang)["way_out"]["ways"][0]["then"]["at"] == "2022-04-20T04:01:01Z"
    scene.set_clock("2022-04-27T11:59:59+08:00")
    assert explained(client, wang)["result"] == "yellow"
    scene.set_clock("2022-04-27T12:00:00+08:00")
    assert explained(client, wang)["result"] == "green"


def test_too_many_explanations_are_refused_at_once(
    client: Client, wang: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation_worker, "pending", MAX_QUEUED)
    scene_free = client.post("/v1/me/health-declarations", headers=wang, json={"symptoms": ["cough"]})
    assert scene_free.status_code == 201
    refused = client.get(PATH, headers=wang)
    problem(refused, 503, "too-many-explanations")
    assert refused.headers["retry-after"] == "1"
    assert client.get("/v1/me/health-code", headers=wang).status_code == 200


def test_a_code_is_shown_while_the_thread_of_explanations_is_busy(client: Client, wang: Headers) -> None:
    release = threading.Event()
    explanation_worker._thread.submit(release.wait)
    try:
        assert client.get("/v1/me/health-code", headers=wang).status_code == 200
    finally:
        release.set()
    assert explained(client, wang)["result"] == "green"


def test_an_explanation_needs_a_proved_identity(client: Client) -> None:
    problem(client.get(PATH), 401, "not-signed-in")
