"""Hospitals, schools, parks and transport scan talent codes; each use of a benefit is counted once."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image

from backend.operations.load_shedding import STORE_UNAVAILABLE_SECONDS
from backend.services.talent_code.tasks import sweep_usages
from backend.store import StoreUnavailable
from tests.services.health_code.scene import problem
from tests.services.talent_code.desk import HOSPITAL, LAKE, METRO, PARK, PLACES, SCHOOL, Desk, uses
from tests.services.talent_code.scene import STATE_SECOND, Citizen, Scene

# ── the partner's view ──


def test_a_partner_sees_only_the_benefits_that_it_grants_and_neither_class_nor_name(
    scene: Scene, desk: Desk, wang: Citizen
) -> None:
    assert desk.scans(desk.payload(wang)) == {
        "outcome": "valid",
        "message": {"zh": "人才码核验通过。", "en": "VALID."},
        "entitlements": [
            {
                "benefit": "park_entry",
                "title": {"zh": "公园景区入园", "en": "Entry to parks"},
                "figure": 100,
                "unit": "percent",
                "remaining": 24,
            }
        ],
    }
    assert desk.redeems(desk.payload(wang)).json() == {
        "benefit": "park_entry",
        "title": {"zh": "公园景区入园", "en": "Entry to parks"},
        "figure": 100,
        "unit": "percent",
        "remaining": 23,
    }
    assert desk.scans(desk.payload(wang))["entitlements"][0]["remaining"] == 23, "a scan alone is not a use"
    assert scene.code(wang)["entitlements"][0].keys() == {"benefit", "title", "figure", "unit", "remaining", "because"}


def test_each_kind_of_partner_sees_only_its_own_services(scene: Scene, desk: Desk, wang: Citizen) -> None:
    leader = scene.talent(STATE_SECOND, "13800000102")

    def entitlements(person: Citizen) -> dict[str, list[tuple[str, int, int | None]]]:
        payload = desk.payload(person)
        return {
            place: [
                (one["benefit"], one["figure"], one["remaining"]) for one in desk.scans(payload, place)["entitlements"]
            ]
            for place in PLACES[:-1]
        }

    assert entitlements(wang) == {
        PARK: [("park_entry", 100, 24)],
        LAKE: [("park_entry", 100, 24)],
        HOSPITAL: [],
        SCHOOL: [("school_choice", 3, 1)],
        METRO: [("transport", 50, 730)],
        "housing-office": [("home_lottery", 20, 1)],
        "fund-office": [("provident_fund_cap", 50, None), ("provident_fund_wait", 3, None)],
    }
    assert entitlements(leader)[HOSPITAL] == [("medical_service", 3, None)]
    assert entitlements(leader)[SCHOOL] == [("school_choice", 2, 1)]
    shown = {one["benefit"] for one in scene.code(leader)["entitlements"]}
    assert shown == {one for ours in entitlements(leader).values() for one, _, _ in ours}


def test_a_code_image_from_the_app_can_be_scanned_and_redeemed(scene: Scene, desk: Desk, wang: Citizen) -> None:
    png = scene.client.get("/v1/me/talent-code/image.png", headers=wang)
    svg = scene.client.get("/v1/me/talent-code/image.svg", headers=wang)
    assert [drawn.headers["content-type"].partition(";")[0] for drawn in (png, svg)] == ["image/png", "image/svg+xml"]
    assert {drawn.headers["cache-control"] for drawn in (png, svg)} == {"no-store"}
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(png.content)))
    assert desk.redeems(read.text).json()["remaining"] == 23


# ── permission to scan ──


def test_a_partner_scans_only_at_assigned_places_of_a_known_kind(scene: Scene, desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    for place in ("park-of-others", "museum-west-lake", "park", "PARK-xixi"):
        for path, body in (
            ("verifications", {"payload": payload, "place": place}),
            ("redemptions", desk.redemption_body(payload, place=place)),
        ):
            answer = scene.client.post(f"/v1/talent-{path}", json=body, headers=desk.person)
            problem(answer, 403, "place-not-assigned")
    assert uses(scene) == 0


def test_only_partners_scan(scene: Scene, desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    for caller in (wang, scene.officer(), scene.gate(PARK)):
        scan = {"payload": payload, "place": PARK}
        problem(scene.client.post("/v1/talent-verifications", json=scan, headers=caller), 403, "not-allowed")
        problem(
            scene.client.post("/v1/talent-redemptions", json=desk.redemption_body(payload), headers=caller),
            403,
            "not-allowed",
        )
    problem(scene.client.post("/v1/talent-redemptions", json=desk.redemption_body(payload)), 401, "not-signed-in")


def test_an_invalid_redemption_is_refused(scene: Scene, desk: Desk, wang: Citizen) -> None:
    good = desk.redemption_body(desk.payload(wang))
    for field, value in (
        ("payload", ""),
        ("payload", "x" * 2_001),
        ("place", "p" * 65),
        ("benefit", ""),
        ("redemption_id", "short"),
        ("redemption_id", 12345678),
        ("times", 2),
    ):
        answer = scene.client.post("/v1/talent-redemptions", json={**good, field: value}, headers=desk.person)
        problem(answer, 400, "invalid-request")
    assert uses(scene) == 0


# ── counting of uses ──


def test_a_repeated_redemption_is_counted_once_whenever_it_arrives(scene: Scene, desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    first = desk.redeems(payload, "turnstile-0001").json()
    assert first["remaining"] == 23
    assert desk.redeems(payload, "turnstile-0001").json() == first
    scene.clock.now += timedelta(hours=3)
    assert desk.redeems(payload, "turnstile-0001").json() == first, "the code has expired in the meantime"
    scene.has(wang)
    scene.reviewed(wang)
    assert desk.redeems(payload, "turnstile-0001").json() == first, "the class was lost in the meantime"
    assert desk.refusal(desk.redeems(payload, "turnstile-0002")) == "expired"
    assert uses(scene) == 1


def test_a_code_is_redeemed_once_and_its_screenshot_is_refused(scene: Scene, desk: Desk, wang: Citizen) -> None:
    payload = desk.payload(wang)
    desk.redeems(payload, "turnstile-0001")
    for redemption, place in (("turnstile-0002", PARK), ("turnstile-0001", LAKE)):
        refused = problem(desk.redeems(payload, redemption, place=place), 409, "code-not-accepted")
        assert (refused["outcome"], refused["detail"]) == ("replayed", "此码已核销过，请对方刷新后重新出示。")
    assert uses(scene) == 1
    assert desk.redeem_new_code(wang) == 22, "a new code is a new use"


def test_a_redemption_id_is_not_used_for_another_code_at_the_same_place(desk: Desk, wang: Citizen) -> None:
    desk.redeems(desk.payload(wang), "turnstile-0001")
    problem(desk.redeems(desk.payload(wang), "turnstile-0001"), 409, "redemption-id-reused")
    assert desk.redeems(desk.payload(wang), "turnstile-0001", place=LAKE).json()["remaining"] == 22, (
        "another place has its own ids"
    )


def test_a_yearly_quota_is_used_up_and_renewed_with_the_next_year(scene: Scene, desk: Desk, wang: Citizen) -> None:
    scene.clock.now = datetime(2026, 12, 31, 15, 59, 50, tzinfo=UTC)
    old = desk.payload(wang)
    assert desk.redeem_new_code(wang, place=SCHOOL, benefit="school_choice") == 0
    problem(desk.redeems(desk.payload(wang), place=SCHOOL, benefit="school_choice"), 409, "quota-exhausted")
    assert desk.scans(desk.payload(wang), SCHOOL)["entitlements"][0]["remaining"] == 0
    scene.clock.now += timedelta(seconds=10)
    assert desk.scans(desk.payload(wang), SCHOOL)["entitlements"][0]["remaining"] == 1
    problem(desk.redeems(old, place=SCHOOL, benefit="school_choice"), 409, "quota-exhausted")
    assert desk.redeem_new_code(wang, place=SCHOOL, benefit="school_choice") == 0


def test_the_place_of_a_use_is_deleted_a_month_after_its_year(scene: Scene, desk: Desk, wang: Citizen) -> None:
    desk.redeem_new_code(wang)
    for moment, kept in (("2027-01-30T16:00:00Z", 1), ("2027-01-30T16:00:00.001Z", 0)):
        scene.clock.now = datetime.fromisoformat(moment).astimezone(UTC)
        scene.call(sweep_usages, scene.city)
        assert uses(scene) == kept


def test_a_benefit_without_a_quota_can_be_used_any_number_of_times(scene: Scene, desk: Desk) -> None:
    leader = scene.talent(STATE_SECOND)
    for _ in range(3):
        answer = desk.redeems(desk.payload(leader), place=HOSPITAL, benefit="medical_service").json()
        assert (answer["figure"], answer["remaining"]) == (3, None)


def test_a_benefit_is_refused_if_the_place_or_the_class_does_not_offer_it(
    scene: Scene, desk: Desk, wang: Citizen
) -> None:
    payload = desk.payload(wang)
    for place, benefit in (
        (PARK, "transport"),
        (HOSPITAL, "medical_service"),
        (PARK, "monthly_rent"),
        (PARK, "no_such_benefit"),
        (PARK, "park_entry:2026"),
    ):
        problem(desk.redeems(payload, place=place, benefit=benefit), 409, "benefit-not-offered")
    assert uses(scene) == 0


def send_at_once(scene: Scene, desk: Desk, *bodies: dict[str, Any]) -> list[httpx.Response]:
    """Send all redemptions at once, in the server's event loop."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=scene.client.app)  # pyright: ignore[reportArgumentType]  both mean ASGI
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
            sent = (client.post("/v1/talent-redemptions", json=body, headers=desk.person) for body in bodies)
            return await asyncio.gather(*sent)

    return scene.call(send)


def test_of_thirty_concurrent_redemptions_a_quota_of_24_allows_24(scene: Scene, desk: Desk, wang: Citizen) -> None:
    answers = send_at_once(scene, desk, *(desk.redemption_body(desk.payload(wang)) for _ in range(30)))
    assert Counter(answer.status_code for answer in answers) == {200: 24, 409: 6}
    assert sorted(answer.json()["remaining"] for answer in answers if answer.status_code == 200) == list(range(24))
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} == {"/problems/quota-exhausted"}
    assert uses(scene) == 24


def test_one_redemption_sent_ten_times_at_once_is_counted_once(scene: Scene, desk: Desk, wang: Citizen) -> None:
    answers = send_at_once(scene, desk, *[desk.redemption_body(desk.payload(wang), "turnstile-0001")] * 10)
    assert [(answer.status_code, answer.json()["remaining"]) for answer in answers] == [(200, 23)] * 10
    assert uses(scene) == 1


# ── an unavailable store ──


def test_no_code_is_redeemed_while_the_store_is_unavailable(
    scene: Scene, desk: Desk, wang: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = desk.payload(wang)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store does not answer")

    for method in ("get", "get_many", "find", "insert", "replace"):
        monkeypatch.setattr(type(scene.city.store), method, away)
    for path, body in (
        ("verifications", {"payload": payload, "place": PARK}),
        ("redemptions", desk.redemption_body(payload, "turnstile-0001")),
    ):
        answer = scene.client.post(f"/v1/talent-{path}", json=body, headers=desk.person)
        problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    monkeypatch.undo()
    time.sleep(STORE_UNAVAILABLE_SECONDS)
    assert uses(scene) == 0
    assert desk.redeems(payload, "turnstile-0001").json()["remaining"] == 23


def test_a_use_that_was_stored_without_an_answer_is_repeated_and_counted_once(
    scene: Scene, desk: Desk, wang: Citizen, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload, insert = desk.payload(wang), type(scene.city.store).insert

    async def unanswered(*arguments: Any) -> None:  # noqa: ANN401  a store and a document
        work: Callable[..., Awaitable[object]] = insert
        await work(*arguments)
        raise StoreUnavailable("the outcome of the write is unknown")

    monkeypatch.setattr(type(scene.city.store), "insert", unanswered)
    problem(desk.redeems(payload, "turnstile-0001"), 503, "unavailable")
    monkeypatch.undo()
    time.sleep(STORE_UNAVAILABLE_SECONDS)
    scene.clock.now += timedelta(minutes=5)
    assert desk.redeems(payload, "turnstile-0001").json()["remaining"] == 23
    assert uses(scene) == 1
