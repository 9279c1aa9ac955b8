import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from backend.services.health_code.model import HealthEventReceipt, HealthRecord
from tests.services.health_code.scene import Client, Headers, Scene, assign_source, id_number, stored


@pytest.mark.parametrize(
    ("kind", "details", "rule"),
    [
        ("case", {"status": "confirmed", "since": "2022-04-19T08:00:00+08:00"}, "confirmed"),
        ("case", {"status": "suspected", "since": "2022-04-19T08:00:00+08:00"}, "suspected"),
        ("case", {"status": "asymptomatic", "since": "2022-04-19T08:00:00+08:00"}, "asymptomatic"),
        ("contact", {"level": "close", "at": "2022-04-19T08:00:00+08:00"}, "close-contact"),
        ("contact", {"level": "secondary", "at": "2022-04-19T08:00:00+08:00"}, "secondary-contact"),
        ("contact", {"level": "nearby", "at": "2022-04-19T08:00:00+08:00"}, "nearby"),
        ("test", {"test": "pcr", "result": "positive", "sampled_at": "2022-04-19T08:00:00+08:00"}, "positive-pcr"),
        ("stay", {"risk": "medium", "entered_at": "2022-04-19T08:00:00+08:00"}, "medium-risk-area"),
        ("entry", {"country": "IT", "entered_at": "2022-04-19T08:00:00+08:00"}, "abroad"),
        ("isolation", {"place": "central", "began_at": "2022-04-19T08:00:00+08:00"}, "isolation"),
    ],
)
def test_a_code_is_up_to_date_on_the_next_read(
    scene: Scene, wang: Headers, kind: str, details: dict[str, str], rule: str
) -> None:
    assert scene.code(wang)["rule"] == "otherwise"
    assert scene.outcomes(scene.event(kind, **details)) == ["applied"]
    assert scene.code(wang)["rule"] == rule


def test_a_missed_mass_test_is_yellow_under_shanghais_rules_and_green_with_a_negative_test(
    scene: Scene, wang: Headers
) -> None:
    scene.set_clock("2022-05-03T12:00:00+08:00")
    scene.report(scene.event("missed_mass_test", at="2022-05-01T20:00:00+08:00"))
    assert scene.code(wang)["rule"] == "missed-mass-test"
    scene.report(scene.event("test", test="pcr", result="negative", sampled_at="2022-05-03T08:00:00+08:00"))
    assert scene.colour(wang) == "green"


def test_a_discharged_person_is_watched_and_then_green(scene: Scene, wang: Headers) -> None:
    scene.report(
        scene.event("case", status="confirmed", since="2022-04-01T08:00:00+08:00"),
        scene.event("case_ended", at="2022-04-20T10:00:00+08:00"),
    )
    code = scene.code(wang)
    assert (code["rule"], code["changes_at"], code["changes_to"]) == ("discharged", "2022-05-04T02:00:00Z", "green")


def test_an_event_that_is_sent_again_is_repeated_and_changes_nothing(client: Client, scene: Scene) -> None:
    event = scene.event("contact", level="close", at=scene.ago(days=1))
    assert scene.outcomes(event, event) == ["applied", "repeated"]
    [before] = stored(client, HealthRecord)
    assert scene.outcomes(event) == ["repeated"]
    assert stored(client, HealthRecord) == [before]
    assert len(before.facts.contacts) == 1


def test_the_same_instant_in_another_time_zone_is_the_same_event(scene: Scene) -> None:
    first = scene.event("contact", "e1", level="close", at="2022-04-19T08:00:00+08:00")
    again = scene.event("contact", "e1", level="close", at="2022-04-19T00:00:00Z")
    assert scene.outcomes(first, again) == ["applied", "repeated"]


def test_the_same_id_with_another_content_is_a_conflict_and_the_first_applies(scene: Scene, wang: Headers) -> None:
    first = scene.event("contact", "e1", level="close", at=scene.ago(days=1))
    changed = scene.event("contact", "e1", level="secondary", at=scene.ago(days=1))
    [_, conflict] = scene.report(first, changed)
    assert (conflict["outcome"], conflict["problem"]["type"]) == ("conflict", "/problems/event-id-reused")
    assert scene.code(wang)["rule"] == "close-contact"


def test_the_same_id_for_another_person_is_a_conflict_and_that_person_stays_green(
    scene: Scene, wang: Headers, sign_in: Callable[..., Headers]
) -> None:
    li = sign_in("13800138004", name="李强", id_number=id_number(2))
    at = scene.ago(days=1)
    scene.report(scene.event("contact", "e1", level="close", at=at))
    assert scene.outcomes(scene.event("contact", "e1", person=id_number(2), level="close", at=at)) == ["conflict"]
    assert (scene.colour(wang), scene.colour(li)) == ("red", "green")


def test_another_source_may_use_the_same_id(client: Client, scene: Scene) -> None:
    assign_source(client, scene.officer, "yuhang-cdc", "register")
    event = scene.event("contact", "e1", level="secondary", at=scene.ago(days=1))
    other = scene.event("contact", "e1", level="close", at=scene.ago(days=1)) | {"source": "yuhang-cdc"}
    assert scene.outcomes(event, other) == ["applied", "applied"]


def test_a_withdrawal_turns_the_code_back_and_history_shows_both(scene: Scene, wang: Headers) -> None:
    scene.code(wang)
    scene.clock.now = scene.clock.now.replace(minute=10)
    scene.report(scene.event("contact", "e1", level="close", at=scene.ago(days=1)))
    scene.clock.now = scene.clock.now.replace(minute=20)
    assert scene.outcomes(scene.event("withdrawal", of="e1")) == ["applied"]
    assert scene.code(wang)["rule"] == "otherwise"
    assert scene.history(wang) == [
        ("2022-04-20T04:20:00Z", "green"),
        ("2022-04-20T04:10:00Z", "red"),
        ("2022-04-20T04:00:00Z", "green"),
    ]


def test_a_withdrawn_event_that_is_sent_again_stays_withdrawn(scene: Scene, wang: Headers) -> None:
    event = scene.event("contact", "e1", level="close", at=scene.ago(days=1))
    scene.report(event, scene.event("withdrawal", "w1", of="e1"))
    assert scene.outcomes(event, scene.event("withdrawal", "w1", of="e1")) == ["repeated", "repeated"]
    assert scene.colour(wang) == "green"


def test_a_withdrawn_end_of_a_case_makes_it_a_case_again(scene: Scene, wang: Headers) -> None:
    scene.report(
        scene.event("case", status="confirmed", since=scene.ago(days=9)),
        scene.event("case_ended", "end", at=scene.ago(days=1)),
        scene.event("withdrawal", of="end"),
    )
    assert scene.code(wang)["rule"] == "confirmed"


@pytest.mark.parametrize("of", ["unknown", "someone-elses"])
def test_a_withdrawal_of_an_unknown_event_is_refused(scene: Scene, of: str) -> None:
    scene.report(scene.event("contact", "someone-elses", person=id_number(2), level="close", at=scene.ago(days=1)))
    [refused] = scene.report(scene.event("withdrawal", of=of))
    assert (refused["outcome"], refused["problem"]["type"]) == ("refused", "/problems/nothing-to-withdraw")


def test_events_may_come_in_the_wrong_order(scene: Scene, wang: Headers) -> None:
    scene.report(
        scene.event("case_ended", at=scene.ago(days=20)),
        scene.event("case", status="confirmed", since=scene.ago(days=30)),
    )
    assert scene.colour(wang) == "green"


def test_a_person_who_is_not_registered_yet_finds_the_event_after_signing_in(
    scene: Scene, sign_in: Callable[..., Headers]
) -> None:
    assert scene.outcomes(scene.event("contact", person=id_number(7), level="close", at=scene.ago(days=1))) == [
        "applied"
    ]
    assert scene.colour(sign_in("13800138007", name="赵敏", id_number=id_number(7))) == "red"


def test_an_invalid_event_does_not_affect_the_others(client: Client, scene: Scene) -> None:
    results = scene.report(
        scene.event("contact", level="close", at=scene.ago(days=1)),
        scene.event("contact", person="110105194912310021", level="close", at=scene.ago(days=1)),
        scene.event("contact", level="close", at="2022-04-20T12:00:01+08:00"),
        scene.event("test", test="pcr", result="negative", sampled_at=scene.ago(days=1)),
    )
    assert [result["outcome"] for result in results] == ["applied", "refused", "refused", "applied"]
    assert results[2]["problem"]["type"] == "/problems/event-in-future"
    assert results[2]["problem"]["errors"] == [{"pointer": "/events/2/event/at", "detail": "is in the future"}]
    [record] = stored(client, HealthRecord)
    assert len(record.reports) == len(stored(client, HealthEventReceipt)) == 2


def test_a_batch_has_at_most_five_hundred_events(client: Client, scene: Scene, officer: Headers) -> None:
    events = [
        scene.event("contact", person=id_number(number % 50), level="close", at=scene.ago(days=1))
        for number in range(501)
    ]
    assert set(scene.outcomes(*events[:500])) == {"applied"}
    assert len(stored(client, HealthRecord)) == 50
    answer = client.post("/v1/health-events", headers=officer, json={"events": events})
    assert answer.status_code == 400


def test_thirty_two_officers_report_about_one_person_at_once_and_nothing_is_lost(
    client: Client, scene: Scene, officer: Headers
) -> None:
    events = [scene.event("contact", level="close", at=scene.ago(days=1, minutes=n)) for n in range(32)]
    answers: list[Any] = []

    def post(event: dict[str, Any]) -> None:
        answers.append(client.post("/v1/health-events", headers=officer, json={"events": [event]}).json())

    threads = [threading.Thread(target=post, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["results"][0]["outcome"] for answer in answers] == ["applied"] * 32
    [record] = stored(client, HealthRecord)
    assert len(record.facts.contacts) == 32


def test_the_same_event_from_many_officers_at_once_is_applied_once(
    client: Client, scene: Scene, officer: Headers
) -> None:
    event = scene.event("contact", level="close", at=scene.ago(days=1))

    def post() -> None:
        client.post("/v1/health-events", headers=officer, json={"events": [event]})

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [record] = stored(client, HealthRecord)
    assert len(record.facts.contacts) == 1


def test_identifiers_of_persons_and_events_are_not_stored_in_clear_text(client: Client, scene: Scene) -> None:
    scene.report(scene.event("contact", "wang-fang-330106", level="close", at=scene.ago(days=1)))
    contents = repr(stored(client, HealthRecord)) + repr(stored(client, HealthEventReceipt))
    assert id_number(1) not in contents
    assert "wang-fang" not in contents


def test_only_health_officers_report_events(client: Client, scene: Scene, wang: Headers, gatekeeper: Headers) -> None:
    body = {"events": [scene.event("case", status="confirmed", since=scene.ago(days=1))]}
    assert client.post("/v1/health-events", headers=wang, json=body).status_code == 403
    assert client.post("/v1/health-events", headers=gatekeeper, json=body).status_code == 403
    assert client.post("/v1/health-events", json=body).status_code == 401
    assert scene.colour(wang) == "green"


@pytest.mark.parametrize(
    "change",
    [
        {"event": {"kind": "miracle", "at": "2022-04-19T08:00:00+08:00"}},
        {"event": {"kind": "contact", "level": "close"}},
        {"event": {"kind": "contact", "level": "close", "at": "2022-04-19T08:00:00+08:00", "colour": "red"}},
        {"event": {"level": "close", "at": "2022-04-19T08:00:00+08:00"}},
        {"event": {"kind": "contact", "level": "closest", "at": "2022-04-19T08:00:00+08:00"}},
        {"event": {"kind": "entry", "country": "it", "entered_at": "2022-04-19T08:00:00+08:00"}},
        {"source": ""},
        {"id": "x" * 101},
        {"id_number": "x" * 33},
        {"colour": "red"},
        {"event": {"kind": "contact", "level": "close", "at": "2022-04-19 08:00:00"}},
    ],
)
def test_an_ill_formed_event_is_refused_and_the_others_are_applied(
    client: Client, scene: Scene, wang: Headers, change: dict[str, Any]
) -> None:
    good = scene.event("contact", level="close", at=scene.ago(days=1))
    wrong = scene.event("contact", "wrong", level="close", at=scene.ago(days=1)) | change
    refused, applied = scene.report(wrong, good)
    assert applied == {"source": good["source"], "id": good["id"], "outcome": "applied", "problem": None}
    assert (refused["source"], refused["id"], refused["outcome"]) == (wrong["source"], wrong["id"], "refused")
    assert refused["problem"]["type"] == "/problems/invalid-request"
    assert refused["problem"]["errors"][0]["pointer"].startswith("/events/0/")
    assert scene.colour(wang) == "red"
    assert len(stored(client, HealthEventReceipt)) == 1


@pytest.mark.parametrize("wrong", [7, None, "x", [], {}, {"source": 1, "id": None}, {"event": [[[]]]}])
def test_an_event_without_names_is_refused_under_empty_ones(scene: Scene, wang: Headers, wrong: object) -> None:
    refused, applied = scene.outcomes(cast("Any", wrong), scene.event("contact", level="close", at=scene.ago(days=1)))
    assert (refused, applied, scene.colour(wang)) == ("refused", "applied", "red")
    [result] = scene.report(cast("Any", wrong))
    assert (result["source"], result["id"]) == ("", "")


@pytest.mark.parametrize("body", [{"events": []}, {"events": {}}, {}, {"events": [{}], "colour": "red"}, []])
def test_a_request_without_events_is_invalid(client: Client, officer: Headers, body: object) -> None:
    answer = client.post("/v1/health-events", headers=officer, json=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-request")


def test_the_ids_of_sources_and_samples_are_not_stored(client: Client, scene: Scene) -> None:
    details = {"test": "pcr", "result": "negative", "sampled_at": scene.ago(days=1), "sample_id": "tube-wang-fang"}
    scene.report(scene.event("test", **details))
    contents = repr(stored(client, HealthRecord)) + repr(stored(client, HealthEventReceipt))
    assert "tube" not in contents
    assert "hangzhou-lab" not in contents
