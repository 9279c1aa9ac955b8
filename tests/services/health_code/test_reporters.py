"""Who reports what: an account its own sources, a source its own kinds of events, each with its sample or case."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from backend.services.health_code.model import HealthEventReceipt
from tests.services.health_code.scene import (
    LABORATORY,
    REGISTER,
    Client,
    Headers,
    Scene,
    assign_source,
    id_number,
    problem,
    stored,
    without_identity,
)

YESTERDAY = "2022-04-19T08:00:00+08:00"
CONTACT = {"level": "close", "at": YESTERDAY}
POSITIVE = {"test": "pcr", "result": "positive", "sampled_at": YESTERDAY}


def test_a_register_names_its_case_and_a_laboratory_its_sample(client: Client, scene: Scene, wang: Headers) -> None:
    assign_source(client, scene.officer, "named-lab", "laboratory")
    unnamed = scene.event("contact", **CONTACT)
    unnamed.pop("case_id")
    test = scene.event("test", **POSITIVE) | {"source": "named-lab"}
    for event, pointer in ((unnamed, "/events/0/case_id"), (test, "/events/0/event/sample_id")):
        [refused] = scene.report(event)
        assert (refused["outcome"], refused["problem"]["errors"][0]["pointer"]) == ("refused", pointer)
    assert scene.colour(wang) == "green"
    test["event"] |= {"sample_id": "tube-7"}
    assert (scene.outcomes(test), scene.colour(wang)) == (["applied"], "red")


@pytest.mark.parametrize(
    ("source", "kind", "details"),
    [
        (LABORATORY, "contact", CONTACT),
        (LABORATORY, "case", {"status": "confirmed", "since": YESTERDAY}),
        (LABORATORY, "case_ended", {"at": YESTERDAY}),
        (LABORATORY, "false_statement", {"at": YESTERDAY}),
        (REGISTER, "test", POSITIVE),
        (REGISTER, "false_statement", {"at": YESTERDAY}),
    ],
)
def test_a_source_reports_only_events_of_its_kind(
    scene: Scene, wang: Headers, source: str, kind: str, details: dict[str, str]
) -> None:
    [refused] = scene.report(scene.event(kind, **details) | {"source": source, "case_id": "1"})
    assert (refused["outcome"], refused["problem"]["type"]) == ("refused", "/problems/event-not-reportable")
    assert scene.colour(wang) == "green"


def test_an_account_reports_for_its_own_sources_only(
    client: Client, scene: Scene, wang: Headers, sign_in: Callable[..., Headers]
) -> None:
    stranger = sign_in("13800138008", name="孙洁", id_number=id_number(908), roles=("health_officer",))
    scene.report(scene.event("test", "t-1", **POSITIVE))
    assign_source(client, stranger, "other-lab", "laboratory", sample_ids=False)
    for event in (
        scene.event("withdrawal", of="t-1"),
        scene.event("test", **POSITIVE),
        scene.event("test", **POSITIVE) | {"source": "nobodys"},
    ):
        mine = scene.event("vaccination", at=YESTERDAY) | {"source": "other-lab"}
        body = {"events": [event, mine]}
        refused, _ = client.post("/v1/health-events", headers=stranger, json=body).json()["results"]
        assert (refused["outcome"], refused["problem"]["type"]) == ("refused", "/problems/source-not-assigned")
    assert scene.colour(wang) == "red"


def test_a_reporter_whose_identity_is_not_verified_reports_nothing(
    client: Client, scene: Scene, sign_in: Callable[..., Headers]
) -> None:
    nameless = without_identity(client, sign_in("13800138008", roles=("health_officer",)))
    assign_source(client, nameless, LABORATORY, "laboratory")
    answer = client.post("/v1/health-events", headers=nameless, json={"events": [scene.event("test", **POSITIVE)]})
    problem(answer, 403, "not-allowed")


def test_receipts_of_the_earlier_edition_are_accepted_and_withdrawn_as_before(
    client: Client, scene: Scene, wang: Headers
) -> None:
    event = scene.event("contact", "c-1", **CONTACT)
    scene.report(event)
    city = client.app.state.city
    [receipt] = stored(client, HealthEventReceipt)
    client.blocking_portal.call(city.store.replace, replace(receipt, acts=(), acts_due_ms=None))
    assert scene.outcomes(event, scene.event("withdrawal", of="c-1")) == ["repeated", "applied"]
    assert scene.colour(wang) == "green"
