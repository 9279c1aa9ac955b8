from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args

import httpx
import msgspec
import pytest

from backend.codes.signed_code import issue_code
from backend.security.keyring import Keyring
from backend.services.health_code.api.schemas import ScanOutcome
from backend.services.health_code.code import make_claims
from backend.services.health_code.model import HealthRecord, VenueVisit
from backend.services.health_code.rule_modules import COLOURS
from backend.services.talent_code.code import make_claims as make_talent_claims
from tests.services.health_code.scene import Client, Clock, Headers, Scene, stored

MUSEUM = "west-lake-museum"


@pytest.fixture
def scan(client: Client, gatekeeper: Headers) -> Callable[..., httpx.Response]:
    def scan(payload: str, scan_id: str = "scan-0001", venue: str = MUSEUM) -> httpx.Response:
        body = {"payload": payload, "venue": venue, "scan_id": scan_id}
        return client.post("/v1/verifications", headers=gatekeeper, json=body)

    return scan


Scan = Callable[..., httpx.Response]


def test_a_valid_green_code_admits_its_holder_and_records_a_visit(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    answer = scan(scene.code(wang)["payload"])
    assert answer.status_code == 200
    assert answer.json() == {
        "outcome": "valid",
        "admit": True,
        "message": {"zh": "绿码，可以放行。", "en": "GREEN. Let in."},
        "colour": "green",
        "label": {"zh": "绿码", "en": "GREEN"},
        "shape": "circle",
        "recorded": True,
    }
    [visit] = stored(client, VenueVisit)
    assert (visit.venue, visit.scan_id, visit.outcome, visit.colour) == (MUSEUM, "scan-0001", "valid", "green")
    assert visit.at_ms == 1_650_427_200_000


@pytest.mark.parametrize("colour", ["yellow", "red"])
def test_a_valid_code_of_another_colour_does_not_admit_its_holder(
    scene: Scene, wang: Headers, scan: Scan, colour: str
) -> None:
    place = {"yellow": "observation", "red": "home"}[colour]
    scene.report(scene.event("isolation", place=place, began_at=scene.ago(days=1)))
    answer = scan(scene.code(wang)["payload"]).json()
    assert (answer["outcome"], answer["colour"], answer["admit"]) == ("valid", colour, False)


def test_a_code_is_valid_for_its_minute_and_half_a_minute_of_clock_difference(
    scene: Scene, wang: Headers, scan: Scan
) -> None:
    payload = scene.code(wang)["payload"]
    scene.clock.now += timedelta(seconds=89)
    assert scan(payload).json()["outcome"] == "valid"


def test_a_screenshot_expires_after_a_minute_and_a_half(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    payload = scene.code(wang)["payload"]
    scene.clock.now += timedelta(seconds=90)
    answer = scan(payload).json()
    assert (answer["outcome"], answer["admit"], answer["colour"]) == ("expired", False, None)
    assert stored(client, VenueVisit) == []


def test_a_forwarded_code_is_replayed_at_the_same_venue(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    payload = scene.code(wang)["payload"]
    assert scan(payload, "scan-0001").json()["outcome"] == "valid"
    answer = scan(payload, "scan-0002").json()
    assert (answer["outcome"], answer["admit"], answer["colour"]) == ("replayed", False, None)
    assert len(stored(client, VenueVisit)) == 1


def test_a_forwarded_code_that_has_also_expired_is_expired(scene: Scene, wang: Headers, scan: Scan) -> None:
    payload = scene.code(wang)["payload"]
    scan(payload, "scan-0001")
    scene.clock.now += timedelta(seconds=90)
    assert scan(payload, "scan-0002").json()["outcome"] == "expired"


def test_a_scan_that_is_sent_again_gets_its_first_answer_even_much_later(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    payload = scene.code(wang)["payload"]
    first = scan(payload, "scan-0001").json()
    scene.report(scene.event("contact", level="close", at=scene.ago(days=1)))
    scene.clock.now += timedelta(hours=1)
    assert scan(payload, "scan-0001").json() == first
    assert len(stored(client, VenueVisit)) == 1


def test_a_new_code_of_the_same_person_is_valid_again(client: Client, scene: Scene, wang: Headers, scan: Scan) -> None:
    for scan_id in ("scan-0001", "scan-0002"):
        assert scan(scene.code(wang)["payload"], scan_id).json()["outcome"] == "valid"
    assert len({visit.person for visit in stored(client, VenueVisit)}) == 1


def test_a_talent_code_is_forged_at_a_gate_though_the_city_signed_it(client: Client, clock: Clock, scan: Scan) -> None:
    answer = scan(issue_code(client.app.state.city.keys, make_talent_claims("Qm3k_x-7PaZ1", clock.now, 60))).json()
    assert (answer["outcome"], answer["admit"], answer["colour"]) == ("forged", False, None)
    assert stored(client, VenueVisit) == []


def test_a_scan_id_that_was_used_for_another_code_is_refused(scene: Scene, wang: Headers, scan: Scan) -> None:
    scan(scene.code(wang)["payload"], "scan-0001")
    answer = scan(scene.code(wang)["payload"], "scan-0001")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/scan-id-reused")


def test_a_code_whose_colour_has_changed_since_is_superseded(scene: Scene, wang: Headers, scan: Scan) -> None:
    payload = scene.code(wang)["payload"]
    scene.report(scene.event("contact", level="close", at=scene.ago(days=1)))
    answer = scan(payload).json()
    assert (answer["outcome"], answer["colour"], answer["admit"]) == ("superseded", "red", False)


def test_a_red_code_is_superseded_as_soon_as_its_reason_is_withdrawn(scene: Scene, wang: Headers, scan: Scan) -> None:
    scene.report(scene.event("contact", "wrong", level="close", at=scene.ago(days=1)))
    payload = scene.code(wang)["payload"]
    scene.report(scene.event("withdrawal", of="wrong"))
    answer = scan(payload).json()
    assert (answer["outcome"], answer["colour"]) == ("superseded", "green")


def test_a_colour_changes_between_showing_and_scanning(scene: Scene, wang: Headers, scan: Scan) -> None:
    scene.report(scene.event("isolation", place="observation", began_at="2022-04-20T08:00:00+08:00"))
    scene.set_clock("2022-04-27T07:59:50+08:00")
    payload = scene.code(wang)["payload"]
    scene.set_clock("2022-04-27T08:00:05+08:00")
    answer = scan(payload).json()
    assert (answer["outcome"], answer["colour"]) == ("superseded", "green")


def test_a_forged_code_is_reported_and_not_recorded(client: Client, scene: Scene, wang: Headers, scan: Scan) -> None:
    head, body, signature = scene.code(wang)["payload"].split(".")
    swapped = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
    for payload in (
        f"{head}.{body}.{swapped}",
        f"{head}.{body}.",
    ):
        answer = scan(payload).json()
        assert (answer["outcome"], answer["admit"], answer["colour"]) == ("forged", False, None)
    assert stored(client, VenueVisit) == []


@pytest.mark.parametrize("text", ["健康码", "https://example.org/?code=1", "x" * 2_000, "\r\n", "]Q1"])
def test_a_text_that_is_not_a_code_cannot_be_read_and_nobody_is_accused(client: Client, scan: Scan, text: str) -> None:
    answer = scan(text).json()
    assert (answer["outcome"], answer["admit"], answer["colour"]) == ("unreadable", False, None)
    assert answer["message"]["en"].startswith("CANNOT BE READ")
    assert stored(client, VenueVisit) == []


@pytest.mark.parametrize("noise", ["{}\r\n", "{}\t", "\ufeff{}", "]Q1{}\n", "\u200b{}\u200b", "{}\x1d"])
def test_what_a_scanner_adds_does_not_matter(scene: Scene, wang: Headers, scan: Scan, noise: str) -> None:
    payload = scene.code(wang)["payload"]
    assert scan(noise.format(payload)).json()["outcome"] == "valid"
    assert scan(payload).json()["outcome"] == "valid", "it is the same scan"
    assert scan(noise.format(payload), "scan-0002").json()["outcome"] == "replayed"


def test_a_code_that_another_city_signed_has_an_unknown_key(clock: Clock, scan: Scan, keyring: Keyring) -> None:
    answer = scan(issue_code(keyring, make_claims("Qm3k_x-7PaZ1", "green", clock.now, 60))).json()
    assert (answer["outcome"], answer["admit"]) == ("unknown_key", False)
    assert answer["message"]["en"].startswith("UNKNOWN KEY")


def test_a_code_that_was_issued_after_now_shows_how_far_the_clocks_differ(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    payload = scene.code(wang)["payload"]
    scene.clock.now -= timedelta(seconds=95)
    answer = scan(payload).json()
    assert (answer["outcome"], answer["admit"], answer["colour"]) == ("clock_differs", False, None)
    assert answer["clock_difference_seconds"] == 95
    assert answer["message"]["en"].startswith("CLOCK DIFFERS by 95 s")
    assert "95秒" in answer["message"]["zh"]
    assert stored(client, VenueVisit) == []


def test_a_gate_may_request_the_masked_name_of_the_holder_of_a_valid_code(
    client: Client, gatekeeper: Headers, scene: Scene, wang: Headers
) -> None:
    body = {"payload": scene.code(wang)["payload"], "venue": MUSEUM, "scan_id": "scan-0001"}
    for _ in range(2):
        answer = client.post("/v1/verifications", headers=gatekeeper, json=body | {"with_name": True}).json()
        assert (answer["outcome"], answer["name"]) == ("valid", "*芳")
    assert "name" not in client.post("/v1/verifications", headers=gatekeeper, json=body).json()
    again = body | {"with_name": True, "scan_id": "scan-0002"}
    assert "name" not in client.post("/v1/verifications", headers=gatekeeper, json=again).json(), "it is replayed"


def test_a_code_of_an_earlier_edition_is_accepted_and_replayed(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    scene.code(wang)
    [record] = stored(client, HealthRecord)
    claims = msgspec.json.encode(make_claims(record.code_id, "green", scene.clock.now, 60))
    payload = client.app.state.city.keys.sign_code(claims)
    assert [scan(payload, f"scan-000{number}").json()["outcome"] for number in range(2)] == ["valid", "replayed"]


def test_another_document_signed_by_the_city_is_forged(client: Client, scan: Scan) -> None:
    receipt = client.app.state.city.keys.sign_code(b'{"aud":"receipt","amount_fen":100}')
    assert scan(receipt).json()["outcome"] == "forged"


def test_a_code_of_an_erased_person_does_not_admit_its_holder(client: Client, scan: Scan, clock: Clock) -> None:
    answer = scan(issue_code(client.app.state.city.keys, make_claims("nobodysCode1", "green", clock.now, 60))).json()
    assert (answer["outcome"], answer["admit"], answer["colour"]) == ("superseded", False, None)


def test_every_outcome_has_its_own_message() -> None:
    from backend.services.health_code.api.gate import _message

    messages = [
        *(_message("valid", colour) for colour in COLOURS),
        *(_message("superseded", colour) for colour in (*COLOURS, None)),
        *(_message(outcome, None) for outcome in get_args(ScanOutcome) if outcome not in {"valid", "superseded"}),
    ]
    assert len({text.zh for text in messages}) == len({text.en for text in messages}) == 13


def test_the_message_names_the_colour_that_a_code_has_now(
    client: Client, scene: Scene, wang: Headers, scan: Scan
) -> None:
    payload = scene.code(wang)["payload"]
    scene.report(scene.event("contact", level="close", at=scene.ago(days=1)))
    assert scan(payload).json()["message"]["zh"] == "健康码颜色已变为红色，请对方刷新后重新出示。"
    nobodys = issue_code(client.app.state.city.keys, make_claims("nobodysCode1", "green", scene.clock.now, 60))
    erased = scan(nobodys, "scan-0002").json()
    assert erased["message"]["zh"] == "此码已失效，请对方刷新后重新出示。"


@pytest.mark.parametrize("venue", ["lingyin-temple", "no-such-venue", "健康"])
def test_gate_staff_scan_at_their_own_venue_only(scene: Scene, wang: Headers, scan: Scan, venue: str) -> None:
    answer = scan(scene.code(wang)["payload"], venue=venue)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/venue-not-assigned")


def test_a_citizen_cannot_verify_codes(client: Client, scene: Scene, wang: Headers, officer: Headers) -> None:
    body = {"payload": scene.code(wang)["payload"], "venue": MUSEUM, "scan_id": "scan-0001"}
    assert client.post("/v1/verifications", headers=wang, json=body).status_code == 403
    assert client.post("/v1/verifications", headers=officer, json=body).status_code == 403
    assert client.post("/v1/verifications", json=body).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"payload": ""},
        {"payload": 7},
        {"venue": "x" * 65},
        {"scan_id": "short"},
        {"scan_id": "x" * 65},
        {"colour": "green"},
    ],
)
def test_an_invalid_scan_is_refused(client: Client, gatekeeper: Headers, change: dict[str, Any]) -> None:
    body = {"payload": "x", "venue": MUSEUM, "scan_id": "scan-0001"} | change
    answer = client.post("/v1/verifications", headers=gatekeeper, json=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-request")
