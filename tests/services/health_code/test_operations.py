"""How many store operations the two busiest requests take: showing a code, and scanning one at a gate."""

from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from backend.city.service import City
from tests.counting_store import CountingStore
from tests.services.health_code.scene import Client, Headers, Scene

ATTEMPTS = 5


def operations(
    client: Client, request: Callable[[], object], prepare: Callable[[], object] = lambda: None
) -> Counter[tuple[str, str]]:
    """Return the operations of a request: the fewest of several times, since background work is counted as well."""
    city: City = client.app.state.city
    found: list[Counter[tuple[str, str]]] = []
    for _ in range(ATTEMPTS):
        prepare()
        store = CountingStore(city.store)
        client.app.state.city = replace(city, store=store)
        request()
        client.app.state.city = city
        found.append(Counter(store.calls))
    return min(found, key=Counter.total)


def test_showing_a_code_is_one_read(client: Client, scene: Scene, wang: Headers) -> None:
    found = operations(client, lambda: scene.code(wang))
    assert found == {("get", "HealthRecord"): 1}


def test_a_scan_is_one_read_and_one_write(client: Client, scene: Scene, wang: Headers, gatekeeper: Headers) -> None:
    """It reads the colour now; every five seconds also the gate's session. The visit is written if the code is new."""
    shown: list[str] = []

    def scan() -> None:
        body = {"payload": shown[-1], "venue": "west-lake-museum", "scan_id": f"scan-000{len(shown)}"}
        assert client.post("/v1/verifications", headers=gatekeeper, json=body).json()["outcome"] == "valid"

    found = operations(client, scan, prepare=lambda: shown.append(scene.code(wang)["payload"]))
    assert found == {("find", "HealthRecord"): 1, ("insert", "VenueVisit"): 1}
