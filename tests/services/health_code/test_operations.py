"""How many store operations the two busiest requests take: showing a code, and scanning one at a gate."""

from collections import Counter

from msgspec.structs import replace

from backend.city.service import City
from tests.counting_store import CountingStore
from tests.services.health_code.scene import Client, Headers, Scene


def counted(client: Client) -> Counter[tuple[str, str]]:
    """Count the operations of the requests that follow."""
    city: City = client.app.state.city
    store = CountingStore(city.store)
    client.app.state.city = replace(city, store=store)
    return store.calls


def test_showing_a_code_is_one_read(client: Client, scene: Scene, wang: Headers) -> None:
    scene.code(wang)
    calls = counted(client)
    scene.code(wang)
    assert calls == {("get", "HealthRecord"): 1}


def test_a_scan_is_four_reads_and_two_writes(client: Client, scene: Scene, wang: Headers, gatekeeper: Headers) -> None:
    """It reads whether the gate may still scan, whether the code was used here, and its colour now.

    It writes the scan id and the visit: one document cannot be unique by both in a sharded collection.
    """
    body = {"payload": scene.code(wang)["payload"], "venue": "west-lake-museum", "scan_id": "scan-0001"}
    calls = counted(client)
    assert client.post("/v1/verifications", headers=gatekeeper, json=body).json()["outcome"] == "valid"
    assert calls == {
        ("get", "Session"): 1,
        ("get", "Account"): 1,
        ("get", "VenueVisit"): 1,
        ("find", "HealthRecord"): 1,
        ("insert", "ScanReservation"): 1,
        ("insert", "VenueVisit"): 1,
    }
