"""What citizens see and declare: the colour and its reason, the history, check-ins and images."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image

from backend.city.service import City
from backend.codes.image_worker import MAX_QUEUED, image_worker
from backend.services.health_code.model import HealthRecord, apply_reports
from backend.services.health_code.records import update_record
from backend.services.health_code.reports import ContactReported, Report
from tests.keys import verify_with_jwks
from tests.services.health_code.scene import Client, Headers, Scene, problem, stored


def declare(client: Client, person: Headers, **details: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return client.post("/v1/me/health-declarations", headers=person, json={"symptoms": [], **details})


def test_a_citizen_without_reports_is_green(scene: Scene, wang: Headers) -> None:
    code = scene.code(wang)
    assert (code["colour"], code["label"], code["shape"]) == ("green", {"zh": "绿码", "en": "GREEN"}, "circle")
    assert (code["rule"], code["because"]["zh"], code["remedy"]) == ("otherwise", "未见异常", None)
    assert (code["changes_at"], code["changes_to"]) == (None, None)
    assert code["since"] == "2022-04-20T04:00:00Z"
    assert (code["issued_at"], code["expires_at"]) == ("2022-04-20T04:00:00Z", "2022-04-20T04:01:00Z")


def test_a_code_shows_its_reason_its_remedy_and_when_it_changes(scene: Scene, wang: Headers) -> None:
    scene.report(scene.event("contact", level="close", at="2022-04-19T08:00:00+08:00"))
    code = scene.code(wang)
    assert (code["colour"], code["shape"], code["rule"]) == ("red", "octagon", "close-contact")
    assert code["because"] == {"zh": "您是确诊病例的密切接触者", "en": "You are a close contact of a confirmed case"}
    assert code["remedy"]["en"] == (
        "Contact your community office and isolate as required; "
        "the red code ends automatically when the isolation is over"
    )
    assert (code["changes_at"], code["changes_to"]) == ("2022-05-03T00:00:00Z", "yellow")


def test_a_code_changes_its_colour_on_the_second_without_any_request(scene: Scene, wang: Headers) -> None:
    scene.report(scene.event("isolation", place="observation", began_at="2022-04-20T08:00:00+08:00"))
    scene.set_clock("2022-04-27T07:59:59.999999+08:00")
    assert scene.colour(wang) == "yellow"
    scene.set_clock("2022-04-27T08:00:00+08:00")
    assert scene.colour(wang) == "green"


def test_history_has_the_exact_second_though_it_was_read_a_month_later(scene: Scene, wang: Headers) -> None:
    scene.code(wang)
    scene.set_clock("2022-04-20T13:00:00+08:00")
    scene.report(scene.event("isolation", place="observation", began_at="2022-04-20T08:00:00+08:00"))
    scene.set_clock("2022-06-01T12:00:00+08:00")
    expected = [
        ("2022-04-27T00:00:00Z", "green"),
        ("2022-04-20T05:00:00Z", "yellow"),
        ("2022-04-20T04:00:00Z", "green"),
    ]
    assert scene.history(wang) == expected
    scene.set_clock("2022-06-01T12:00:01+08:00")
    assert scene.history(wang) == expected


def test_a_code_read_while_an_event_is_reported_shows_the_event(
    client: Client, scene: Scene, wang: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.report(scene.event("isolation", place="observation", began_at="2022-04-20T08:00:00+08:00"))
    scene.set_clock("2022-04-28T12:00:00+08:00")
    city: City = client.app.state.city
    [record] = stored(client, HealthRecord)
    replace_document = city.store.replace

    async def overtaken(found: HealthRecord) -> HealthRecord:
        monkeypatch.undo()
        contact = Report(ContactReported("close", city.now()), "an event")
        await update_record(
            city, record.id, city.now(), lambda record: apply_reports(record, [contact], city.rulebook, city.now())
        )
        return await replace_document(found)

    monkeypatch.setattr(city.store, "replace", overtaken)
    assert scene.colour(wang) == "red"
    assert [colour for _, colour in scene.history(wang)] == ["red", "green", "yellow", "green"]


def test_the_payload_is_short_and_holds_no_personal_data(client: Client, scene: Scene, wang: Headers) -> None:
    code = scene.code(wang)
    assert len(code["payload"]) <= 250
    claims = json.loads(verify_with_jwks(code["payload"], client.app.state.city.keys.jwks()))
    assert set(claims) == {"aud", "sub", "jti", "col", "iat", "exp"}
    assert (claims["col"], claims["exp"] - claims["iat"]) == ("g", 60)
    assert not any(personal in json.dumps(claims) for personal in ("13800138001", "王芳", "330106"))


def test_two_payloads_of_a_person_have_nothing_in_common_but_their_time_and_colour(
    client: Client, scene: Scene, wang: Headers
) -> None:
    jwks = client.app.state.city.keys.jwks()
    first, second = (json.loads(verify_with_jwks(scene.code(wang)["payload"], jwks)) for _ in range(2))
    assert first["sub"] != second["sub"]
    assert first["jti"] != second["jti"]


def test_a_code_is_not_cached(client: Client, wang: Headers) -> None:
    for page in ("", "/history", "/image.svg", "/image.png"):
        assert client.get(f"/v1/me/health-code{page}", headers=wang).headers["cache-control"] == "no-store"


def test_the_gold_frame_and_the_latest_test_are_shown_next_to_the_colour(scene: Scene, wang: Headers) -> None:
    assert scene.code(wang)["decoration"] == {"frame": "none", "latest_pcr": None}
    scene.report(
        scene.event("vaccination", at="2021-06-01T09:00:00+08:00"),
        scene.event("vaccination", at="2021-06-29T09:00:00+08:00"),
        scene.event("test", test="pcr", result="negative", sampled_at="2022-04-18T11:30:00+08:00"),
    )
    decoration = scene.code(wang)["decoration"]
    assert decoration["frame"] == "gold"
    assert decoration["latest_pcr"] == {
        "result": "negative",
        "sampled_at": "2022-04-18T03:30:00Z",
        "reported_at": None,
        "hours": 48,
    }


# ── Declarations ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_who_declares_a_fever_is_yellow_at_once(client: Client, scene: Scene, wang: Headers) -> None:
    answer = declare(client, wang, symptoms=["fever"])
    assert answer.status_code == 201
    assert (answer.json()["colour"], answer.json()["rule"]) == ("yellow", "fever")
    assert scene.colour(wang) == "yellow"


def test_a_fever_is_ended_by_a_test_and_not_by_declaring_to_be_well(
    client: Client, scene: Scene, wang: Headers
) -> None:
    declare(client, wang, symptoms=["fever"])
    scene.clock.now += timedelta(days=2)
    assert declare(client, wang).json()["colour"] == "yellow"
    scene.report(scene.event("test", test="pcr", result="negative", sampled_at=scene.ago(hours=12)))
    assert scene.colour(wang) == "green"


def test_a_cough_ends_when_the_person_declares_to_be_well_a_day_later(
    client: Client, scene: Scene, wang: Headers
) -> None:
    declare(client, wang, symptoms=["cough"])
    scene.clock.now += timedelta(hours=23)
    assert declare(client, wang).json()["colour"] == "yellow"
    scene.clock.now += timedelta(hours=1)
    assert declare(client, wang).json()["colour"] == "green"


@pytest.mark.parametrize(
    ("details", "rule"),
    [
        ({"contacts": [{"level": "close", "at": "2022-04-19T08:00:00+08:00"}]}, "close-contact"),
        ({"stays": [{"risk": "high", "entered_at": "2022-04-19T08:00:00+08:00"}]}, "high-risk-area"),
        ({"stays": [{"risk": "medium", "entered_at": "2022-04-19T08:00:00+08:00"}]}, "medium-risk-area"),
        ({"entries": [{"country": "IT", "entered_at": "2022-04-19T08:00:00+08:00"}]}, "abroad"),
    ],
)
def test_contacts_stays_and_entries_are_declared_in_the_same_way(
    client: Client, wang: Headers, details: dict[str, Any], rule: str
) -> None:
    assert declare(client, wang, **details).json()["rule"] == rule


def test_a_declaration_withdraws_nothing_that_an_officer_reported(client: Client, scene: Scene, wang: Headers) -> None:
    scene.report(scene.event("stay", risk="high", entered_at="2022-04-01T08:00:00+08:00"))
    stay = {"risk": "high", "entered_at": "2022-04-01T08:00:00+08:00", "left_at": "2022-04-02T08:00:00+08:00"}
    assert declare(client, wang, stays=[stay]).json()["colour"] == "red"


def test_an_event_in_the_future_is_refused_and_nothing_is_stored(client: Client, scene: Scene, wang: Headers) -> None:
    stays = [{"risk": "high", "entered_at": "2022-04-20T12:00:00.001+08:00"}]
    refused = problem(declare(client, wang, symptoms=["fever"], stays=stays), 422, "event-in-future")
    assert refused["errors"] == [{"pointer": "/stays/0/entered_at", "detail": "is in the future"}]
    assert scene.colour(wang) == "green"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/symptoms"),
        ({"symptoms": ["joy"]}, "/symptoms/0"),
        ({"symptoms": "fever"}, "/symptoms"),
        ({"symptoms": ["fever"] * 8}, "/symptoms"),
        ({"symptoms": [], "colour": "green"}, "/colour"),
        (
            {"symptoms": [], "entries": [{"country": "Italy", "entered_at": "2022-04-01T00:00:00Z"}]},
            "/entries/0/country",
        ),
        ({"symptoms": [], "entries": [{"country": "IT", "entered_at": "2022-04-01"}]}, "/entries/0/entered_at"),
        (
            {"symptoms": [], "entries": [{"country": "IT", "entered_at": "2022-04-01T00:00:00"}]},
            "/entries/0/entered_at",
        ),
        ({"symptoms": [], "stays": [{"risk": "none", "entered_at": "2022-04-01T00:00:00Z"}]}, "/stays/0/risk"),
        ({"symptoms": [], "contacts": [{"level": "close", "at": "1970-01-01T00:00:00Z"}]}, "/contacts/0/at"),
        ({"symptoms": [], "contacts": [{"level": "close", "at": "0001-01-01T00:00:00+14:00"}]}, "/contacts/0/at"),
        ({"symptoms": [], "contacts": [{"level": "close", "at": "2022-04-01T00:00:00Z"}] * 21}, "/contacts"),
        (
            {
                "symptoms": [],
                "stays": [{"risk": "low", "entered_at": "2022-04-02T00:00:00Z", "left_at": "2022-04-01T00:00:00Z"}],
            },
            "/stays/0/left_at",
        ),
    ],
)
def test_an_invalid_declaration_is_refused_with_a_pointer(
    client: Client, wang: Headers, body: dict[str, Any], pointer: str
) -> None:
    answer = client.post("/v1/me/health-declarations", headers=wang, json=body)
    assert [error["pointer"] for error in problem(answer, 400, "invalid-request")["errors"]] == [pointer]


# ── Isolation ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fourteen_daily_check_ins_turn_red_to_green_and_thirteen_do_not(
    client: Client, scene: Scene, wang: Headers
) -> None:
    scene.report(scene.event("isolation", place="home", began_at="2022-04-20T08:00:00+08:00"))
    scene.set_clock("2022-04-20T21:00:00+08:00")
    for _ in range(13):
        assert client.post("/v1/me/isolation-check-ins", headers=wang).json()["rule"] == "isolation"
        scene.clock.now += timedelta(days=1)
    scene.set_clock("2022-05-04T08:00:00+08:00")
    assert scene.code(wang)["rule"] == "check-in-missing"


def test_the_last_check_in_of_fourteen_ends_isolation_to_the_second(
    client: Client, scene: Scene, wang: Headers
) -> None:
    scene.report(scene.event("isolation", place="home", began_at="2022-04-20T08:00:00+08:00"))
    scene.set_clock("2022-04-20T21:00:00+08:00")
    for _ in range(14):
        client.post("/v1/me/isolation-check-ins", headers=wang)
        scene.clock.now += timedelta(days=1)
    scene.set_clock("2022-05-04T07:59:59+08:00")
    assert scene.code(wang)["rule"] == "isolation"
    scene.set_clock("2022-05-04T08:00:00+08:00")
    assert scene.colour(wang) == "green"


def test_two_check_ins_on_a_day_of_the_city_count_once(client: Client, scene: Scene, wang: Headers) -> None:
    scene.report(scene.event("isolation", place="home", began_at="2022-04-20T08:00:00+08:00"))
    for instant in ("2022-04-20T12:30:00+08:00", "2022-04-20T23:59:59+08:00", "2022-04-21T00:00:00+08:00"):
        scene.set_clock(instant)
        assert client.post("/v1/me/isolation-check-ins", headers=wang).status_code == 201
    [record] = stored(client, HealthRecord)
    days = [day.isoformat() for day in record.facts.isolations[0].check_ins]
    assert days == ["2022-04-19T16:00:00+00:00", "2022-04-20T16:00:00+00:00"]


def test_a_person_who_is_not_in_isolation_need_not_check_in(client: Client, scene: Scene, wang: Headers) -> None:
    problem(client.post("/v1/me/isolation-check-ins", headers=wang), 409, "not-in-isolation")
    scene.report(
        scene.event("isolation", place="home", began_at="2022-04-18T08:00:00+08:00"),
        scene.event("isolation_ended", at="2022-04-19T08:00:00+08:00"),
    )
    problem(client.post("/v1/me/isolation-check-ins", headers=wang), 409, "not-in-isolation")


# ── Images ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_holds_a_new_code(client: Client, wang: Headers) -> None:
    answer = client.get("/v1/me/health-code/image.png", headers=wang)
    assert answer.headers["content-type"] == "image/png"
    [found] = zxingcpp.read_barcodes(Image.open(io.BytesIO(answer.content)))
    assert json.loads(verify_with_jwks(found.text, client.app.state.city.keys.jwks()))["col"] == "g"


def test_a_vector_image_is_served_as_svg(client: Client, scene: Scene, wang: Headers) -> None:
    scene.report(scene.event("contact", level="close", at="2022-04-19T08:00:00+08:00"))
    answer = client.get("/v1/me/health-code/image.svg", headers=wang)
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "红码 RED" in answer.text


def test_only_a_green_code_has_its_gold_frame(client: Client, scene: Scene, wang: Headers) -> None:
    def corner() -> Any:  # noqa: ANN401  a pixel, as the library gives it
        image = Image.open(io.BytesIO(client.get("/v1/me/health-code/image.png", headers=wang).content))
        return image.convert("RGB").getpixel((1, 1))

    scene.report(
        scene.event("vaccination", at="2021-06-01T09:00:00+08:00"),
        scene.event("vaccination", at="2021-06-29T09:00:00+08:00"),
    )
    assert corner() == (0xD4, 0xA0, 0x17)
    scene.report(scene.event("isolation", place="observation", began_at="2022-04-20T08:00:00+08:00"))
    assert scene.code(wang)["decoration"]["frame"] == "gold"
    assert corner() == (0xFF, 0xC4, 0x00)


def test_a_request_for_an_image_is_refused_when_the_queue_is_full(
    client: Client, wang: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_worker, "pending", MAX_QUEUED)
    answer = client.get("/v1/me/health-code/image.svg", headers=wang)
    problem(answer, 503, "image-worker-busy")
    assert answer.headers["retry-after"] == "1"


# ── Access ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PAGES = ("/v1/me/health-code", "/v1/me/health-code/history", "/v1/me/health-code/image.svg")


@pytest.mark.parametrize("page", PAGES)
def test_a_caller_who_is_not_signed_in_sees_no_code(client: Client, page: str) -> None:
    problem(client.get(page), 401, "not-signed-in")


@pytest.mark.parametrize("page", PAGES)
def test_someone_without_a_real_name_has_no_code(client: Client, sign_in: Callable[..., Headers], page: str) -> None:
    assert client.get(page, headers=sign_in("13800138009")).status_code == 403


def test_two_people_have_two_codes(scene: Scene, wang: Headers, sign_in: Callable[..., Headers]) -> None:
    li = sign_in("13800138004", name="李强", id_number="11010519491231002X")
    scene.report(scene.event("contact", level="close", at=scene.ago(days=1)))
    assert (scene.colour(wang), scene.colour(li)) == ("red", "green")
