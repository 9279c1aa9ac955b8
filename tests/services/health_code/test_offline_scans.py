"""A gate uploads the codes that it scanned while it had no network."""

from datetime import timedelta
from typing import Any

import pytest

from backend.services.health_code.model import VenueVisit
from tests.services.health_code.scene import Client, Headers, Scene, stored

MUSEUM = "west-lake-museum"


def scanned(scene: Scene, payload: str, scan_id: str = "scan-0001", **ago: float) -> dict[str, Any]:
    """Return a scan at an instant before now, or now."""
    return {"scan_id": scan_id, "payload": payload, "scanned_at": (scene.clock.now - timedelta(**ago)).isoformat()}


def upload(client: Client, gatekeeper: Headers, *scans: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/v1/offline-scans", headers=gatekeeper, json={"venue": MUSEUM, "scans": scans})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_a_code_that_was_valid_when_it_was_scanned_becomes_a_visit_of_that_time(
    client: Client, scene: Scene, wang: Headers, gatekeeper: Headers
) -> None:
    payload, at = scene.code(wang)["payload"], scene.clock.now
    scene.clock.now += timedelta(hours=3)
    assert upload(client, gatekeeper, scanned(scene, payload, hours=3)) == [
        {"scan_id": "scan-0001", "outcome": "valid", "recorded": True, "colour": "green"}
    ]
    [visit] = stored(client, VenueVisit)
    assert (visit.venue, visit.outcome, visit.at_ms) == (MUSEUM, "valid", int(at.timestamp() * 1000))


def test_an_upload_that_is_sent_again_gets_the_same_results_and_records_nothing_twice(
    client: Client, scene: Scene, wang: Headers, gatekeeper: Headers
) -> None:
    scans = [scanned(scene, scene.code(wang)["payload"], f"scan-000{number}") for number in range(3)]
    first = upload(client, gatekeeper, *scans)
    scene.report(scene.event("contact", level="close", at=scene.ago(days=1)))
    scene.clock.now += timedelta(hours=1)
    assert upload(client, gatekeeper, *scans) == first
    assert len(stored(client, VenueVisit)) == 3


def test_of_two_scans_of_one_code_the_earlier_one_is_recorded_in_whatever_order_they_are_sent(
    client: Client, scene: Scene, wang: Headers, gatekeeper: Headers
) -> None:
    payload = scene.code(wang)["payload"]
    scene.clock.now += timedelta(seconds=20)
    later, earlier = scanned(scene, payload, "scan-0002"), scanned(scene, payload, "scan-0001", seconds=10)
    results = upload(client, gatekeeper, later, earlier)
    assert [(one["scan_id"], one["outcome"], one["recorded"]) for one in results] == [
        ("scan-0002", "replayed", False),
        ("scan-0001", "valid", True),
    ]


def test_a_code_that_was_scanned_offline_and_online_is_one_visit(
    client: Client, scene: Scene, wang: Headers, gatekeeper: Headers
) -> None:
    payload = scene.code(wang)["payload"]
    upload(client, gatekeeper, scanned(scene, payload))
    body = {"payload": payload, "venue": MUSEUM, "scan_id": "scan-0002"}
    assert client.post("/v1/verifications", headers=gatekeeper, json=body).json()["outcome"] == "replayed"
    assert client.post("/v1/verifications", headers=gatekeeper, json=body | {"scan_id": "scan-0001"}).json()["admit"]
    assert len(stored(client, VenueVisit)) == 1


@pytest.mark.parametrize("latest_first", [True, False])
def test_of_codes_with_one_scan_id_the_earliest_has_it_in_whatever_order_they_are_sent(
    client: Client, scene: Scene, wang: Headers, gatekeeper: Headers, latest_first: bool
) -> None:
    payloads = [scene.code(wang)["payload"] for _ in range(20)]
    scene.clock.now += timedelta(seconds=20)
    scans = [scanned(scene, payload, seconds=20 - place) for place, payload in enumerate(payloads)]
    results = upload(client, gatekeeper, *(reversed(scans) if latest_first else scans))
    outcomes = [one["outcome"] for one in (reversed(results) if latest_first else results)]
    assert outcomes == ["valid"] + ["scan_id_reused"] * 19


def test_each_scan_has_its_own_result(client: Client, scene: Scene, wang: Headers, gatekeeper: Headers) -> None:
    payload, other = scene.code(wang)["payload"], scene.code(wang)["payload"]
    scene.clock.now += timedelta(days=1)
    results = upload(
        client,
        gatekeeper,
        scanned(scene, payload, "scan-0001", days=1),
        scanned(scene, other, "scan-0001", hours=23.99),
        scanned(scene, other, "scan-0003", hours=1),
        scanned(scene, "健康码", "scan-0004", days=1),
        scanned(scene, payload[:-8] + "AAAAAAAA", "scan-0005", days=1),
        scanned(scene, payload, "scan-0006", days=7.01),
        scanned(scene, payload, "scan-0007", minutes=-2),
    )
    assert [one["outcome"] for one in results] == [
        "valid",
        "scan_id_reused",
        "expired",
        "unreadable",
        "forged",
        "out_of_period",
        "out_of_period",
    ]
    assert [one["recorded"] for one in results] == [True] + [False] * 6
    assert len(stored(client, VenueVisit)) == 1


def test_a_person_who_turned_red_meanwhile_was_superseded_only_if_the_facts_say_so_for_that_time(
    client: Client, scene: Scene, wang: Headers, gatekeeper: Headers
) -> None:
    payload = scene.code(wang)["payload"]
    scene.clock.now += timedelta(hours=3)
    scene.report(scene.event("contact", level="close", at=scene.ago(hours=8)))
    [result] = upload(client, gatekeeper, scanned(scene, payload, hours=3))
    assert (result["outcome"], result["recorded"], result["colour"]) == ("superseded", True, "red")


@pytest.mark.parametrize(("scans", "status"), [(0, 400), (201, 400)])
def test_an_upload_has_at_least_one_scan_and_at_most_two_hundred(
    client: Client, scene: Scene, gatekeeper: Headers, scans: int, status: int
) -> None:
    many = [scanned(scene, "健康码", f"scan-{number:04}") for number in range(scans)]
    body = {"venue": MUSEUM, "scans": many}
    assert client.post("/v1/offline-scans", headers=gatekeeper, json=body).status_code == status


def test_a_gate_uploads_only_for_its_own_venues(client: Client, scene: Scene, gatekeeper: Headers) -> None:
    body = {"venue": "elsewhere", "scans": [scanned(scene, "健康码")]}
    answer = client.post("/v1/offline-scans", headers=gatekeeper, json=body)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/venue-not-assigned")
