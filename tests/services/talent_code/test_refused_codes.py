"""Talent codes that a partner does not accept, and what its staff learn about them."""

from datetime import timedelta

import msgspec

from backend.codes.signed_code import issue_code
from backend.security.keyring import Keyring
from backend.services.talent_code.code import make_claims
from backend.services.talent_code.model.talent import Talent
from tests.services.health_code.scene import stored
from tests.services.talent_code.desk import Desk, uses
from tests.services.talent_code.scene import Citizen, Scene


def test_health_codes_and_talent_codes_are_not_interchangeable(scene: Scene, desk: Desk, wang: Citizen) -> None:
    health = scene.client.get("/v1/me/health-code", headers=wang).json()["payload"]
    assert desk.scans(health) == {
        "outcome": "forged",
        "message": {
            "zh": "无效码：不是本市签发的人才码。请对方打开人才码重新出示。",
            "en": "NOT VALID. The city did not issue this talent code. "
            "Ask the holder to open their talent code and show it.",
        },
        "entitlements": [],
    }
    assert desk.refusal(desk.redeems(health)) == "forged"
    gate = scene.gate("west-lake")
    for payload, outcome in ((health, "valid"), (desk.payload(wang), "forged")):
        body = {"payload": payload, "venue": "west-lake", "scan_id": f"scan-of-{outcome}"}
        assert scene.client.post("/v1/verifications", json=body, headers=gate).json()["outcome"] == outcome


def test_a_code_is_accepted_for_its_minute_and_half_a_minute_of_clock_difference(
    scene: Scene, desk: Desk, wang: Citizen
) -> None:
    payload = desk.payload(wang)
    scene.clock.now += timedelta(seconds=89)
    assert desk.scans(payload)["outcome"] == "valid"
    scene.clock.now += timedelta(seconds=1)
    assert (desk.scans(payload)["outcome"], desk.scans(payload)["entitlements"]) == ("expired", [])
    assert desk.refusal(desk.redeems(payload)) == "expired"
    assert uses(scene) == 0


def test_a_code_that_is_forged_or_belongs_to_nobody_gives_nothing(scene: Scene, desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    refused = {payload[:-4] + "AAAA": "forged", payload.replace(".", "", 1): "unreadable", "人才码": "unreadable"}
    for wrong, outcome in refused.items():
        assert (desk.scans(wrong)["outcome"], desk.scans(wrong)["entitlements"]) == (outcome, [])
        assert desk.refusal(desk.redeems(wrong)) == outcome
    nobodys = issue_code(scene.city.keys, make_claims("Qm3k_x-7PaZ1", scene.clock.now, 60))
    assert (desk.scans(nobodys)["outcome"], desk.refusal(desk.redeems(nobodys))) == ("no_class", "no_class")
    assert uses(scene) == 0


def test_what_a_scanner_adds_to_a_talent_code_does_not_matter(desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    for scanned in (f"{payload}\r\n", f"\ufeff]Q1{payload}", f"\u200b{payload}\t"):
        assert desk.scans(scanned)["outcome"] == "valid"


def test_a_talent_code_of_another_city_has_an_unknown_key(
    scene: Scene, desk: Desk, wang: Citizen, keyring: Keyring
) -> None:
    desk.payload(wang)
    foreign = issue_code(keyring, make_claims("Qm3k_x-7PaZ1", scene.clock.now, 60))
    assert (desk.scans(foreign)["outcome"], desk.refusal(desk.redeems(foreign))) == ("unknown_key", "unknown_key")


def test_a_talent_code_that_was_issued_after_now_shows_how_far_the_clocks_differ(
    scene: Scene, desk: Desk, wang: Citizen
) -> None:
    payload = desk.payload(wang)
    scene.clock.now -= timedelta(seconds=95)
    answer = desk.scans(payload)
    assert (answer["outcome"], answer["message"]["zh"][:8]) == ("clock_differs", "时钟相差95秒，")
    assert answer["message"]["en"].startswith("CLOCK DIFFERS by 95 s")
    assert desk.refusal(desk.redeems(payload)) == "clock_differs"
    assert uses(scene) == 0


def test_a_talent_code_of_an_earlier_edition_is_accepted(scene: Scene, desk: Desk, wang: Citizen) -> None:
    desk.payload(wang)
    [talent] = stored(scene.client, Talent)
    plain = scene.city.keys.sign_code(msgspec.json.encode(make_claims(talent.code_id, scene.clock.now, 60)))
    assert desk.scans(plain)["outcome"] == "valid"


def test_a_person_who_loses_the_class_while_showing_the_code_gets_nothing(
    scene: Scene, desk: Desk, wang: Citizen
) -> None:
    payload = desk.payload(wang)
    scene.has(wang)
    scene.reviewed(wang)
    assert (desk.scans(payload)["outcome"], desk.scans(payload)["entitlements"]) == ("no_class", [])
    assert desk.refusal(desk.redeems(payload)) == "no_class"
