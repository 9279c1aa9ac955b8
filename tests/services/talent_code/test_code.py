import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
import msgspec
import pytest
from PIL import Image

from backend.codes.image import draw_png, draw_svg
from backend.codes.signed_code import GenuineCode, issue_code, make_code_id
from backend.security.keyring import Keyring
from backend.services.health_code import code as health_code
from backend.services.health_code.rule_modules import COLOURS
from backend.services.talent_code.code import SIGN, make_claims, read_talent_code
from tests.codes.scanners import (
    PAYLOAD,
    SCANNERS,
    VIEWS,
    Scanner,
    View,
    contrast,
    footer,
    in_grey,
    label_end,
    open_png,
    open_svg,
)
from tests.keys import verify_with_jwks

NOON = datetime(2024, 5, 20, 4, 0, tzinfo=UTC)
SKEW = 30


def signed(keyring: Keyring, code_id: str = "Qm3k_x-7PaZ1") -> str:
    return issue_code(keyring, make_claims(code_id, NOON, 60))


def test_a_talent_code_has_at_most_250_characters(keyring: Keyring) -> None:
    assert len(signed(keyring, make_code_id())) <= 250


def test_a_talent_code_contains_its_minute_and_neither_a_person_nor_a_class(keyring: Keyring) -> None:
    claims = json.loads(verify_with_jwks(signed(keyring), keyring.jwks()) or b"")
    nonce, subject = claims.pop("jti"), claims.pop("sub")
    assert (len(nonce), len(subject)) == (6, 12)
    assert subject != "Qm3k_x-7PaZ1"
    assert claims == {"aud": "tc", "iat": 1716177600, "exp": 1716177660}


def test_the_creator_of_a_code_learns_its_period_of_validity() -> None:
    claims = make_claims("Qm3k_x-7PaZ1", NOON, 60)
    assert (claims.issued_at, claims.expires_at) == (NOON, NOON + timedelta(seconds=60))


def test_no_two_talent_codes_are_the_same(keyring: Keyring) -> None:
    assert len({signed(keyring) for _ in range(50)}) == 50


def test_a_talent_code_is_read_without_the_city(keyring: Keyring) -> None:
    reading = read_talent_code(signed(keyring), keyring.jwks(), NOON, SKEW)
    assert isinstance(reading, GenuineCode)
    assert (reading.outcome, reading.code_ids(keyring)[0]) == ("valid", "Qm3k_x-7PaZ1")
    assert (reading.claims.issued_at, reading.claims.expires_at) == (NOON, NOON + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-31, "clock_differs"), (-30, "valid"), (0, "valid"), (60, "valid"), (89.999, "valid"), (90, "expired")],
)
def test_a_code_is_valid_for_a_minute_and_the_allowed_clock_difference(
    keyring: Keyring, seconds: float, outcome: str
) -> None:
    at = NOON + timedelta(seconds=seconds)
    assert read_talent_code(signed(keyring), keyring.jwks(), at, SKEW).outcome == outcome


def test_an_expired_code_still_contains_its_owner(keyring: Keyring) -> None:
    reading = read_talent_code(signed(keyring), keyring.jwks(), NOON + timedelta(days=1), SKEW)
    assert isinstance(reading, GenuineCode)
    assert (reading.outcome, reading.code_ids(keyring)[0]) == ("expired", "Qm3k_x-7PaZ1")


# ── health codes and talent codes ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("colour", COLOURS)
def test_a_health_code_is_not_accepted_as_a_talent_code(keyring: Keyring, colour: str) -> None:
    payload = issue_code(keyring, health_code.make_claims("Qm3k_x-7PaZ1", colour, NOON, 60))
    assert health_code.read_code(payload, keyring.jwks(), NOON, SKEW).outcome == "valid"
    assert read_talent_code(payload, keyring.jwks(), NOON, SKEW).outcome == "forged"


def test_a_talent_code_is_not_accepted_as_a_health_code(keyring: Keyring) -> None:
    payload = signed(keyring)
    assert read_talent_code(payload, keyring.jwks(), NOON, SKEW).outcome == "valid"
    assert health_code.read_code(payload, keyring.jwks(), NOON, SKEW).outcome == "forged"


def test_a_talent_code_with_a_colour_is_not_accepted_as_a_health_code(keyring: Keyring) -> None:
    claims = msgspec.json.encode({**msgspec.structs.asdict(make_claims("Qm3k_x-7PaZ1", NOON, 60)), "col": "g"})
    assert health_code.read_code(keyring.sign_code(claims), keyring.jwks(), NOON, SKEW).outcome == "forged"


# ── forged codes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_health_code_whose_audience_was_changed_is_forged(keyring: Keyring) -> None:
    payload = issue_code(keyring, health_code.make_claims("Qm3k_x-7PaZ1", "green", NOON, 60))
    head, body, signature = payload.split(".")
    changed = jwt.utils.base64url_encode(jwt.utils.base64url_decode(body).replace(b'"hc"', b'"tc"')).decode()
    assert read_talent_code(f"{head}.{changed}.{signature}", keyring.jwks(), NOON, SKEW).outcome == "forged"


def test_a_talent_code_signed_with_another_key_is_forged(keyring: Keyring) -> None:
    other = jwt.utils.base64url_encode(b'{"alg":"none"}').decode()
    _, body, signature = signed(keyring).split(".")
    for payload in (f"{other}.{body}.", f"{other}.{body}.{signature}"):
        assert read_talent_code(payload, keyring.jwks(), NOON, SKEW).outcome == "forged"
    for text in ("x", "..", "人才码", "", "a" * 251):
        assert read_talent_code(text, keyring.jwks(), NOON, SKEW).outcome == "unreadable"


def test_a_thousand_talent_codes_of_ten_people_cannot_be_paired(keyring: Keyring) -> None:
    people = [make_code_id() for _ in range(10)]
    codes = [signed(keyring, people[number % 10]) for number in range(1_000)]
    claims = [json.loads(verify_with_jwks(code, keyring.jwks()) or b"") for code in codes]
    assert {name: len({one[name] for one in claims}) for name in claims[0]} == {
        "aud": 1,
        "sub": 1_000,
        "jti": 1_000,
        "iat": 1,
        "exp": 1,
    }
    readings = [read_talent_code(code, keyring.jwks(), NOON, SKEW) for code in codes]
    assert [one.code_ids(keyring)[0] for one in readings if isinstance(one, GenuineCode)] == people * 100


def test_a_code_longer_than_250_characters_is_not_a_talent_code(keyring: Keyring) -> None:
    claims = msgspec.json.encode({**msgspec.structs.asdict(make_claims("x" * 12, NOON, 60)), "name": "x" * 100})
    assert read_talent_code(keyring.sign_code(claims), keyring.jwks(), NOON, SKEW).outcome == "forged"


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"[]",
        b'{"aud":"tc","sub":"x","jti":"y","iat":1716177600}',
        b'{"aud":"tc","sub":"x","jti":"y","iat":"noon","exp":1716177660}',
        b'{"aud":"tc","sub":"x","jti":"y","iat":1716177600,"exp":99999999999999999}',
    ],
)
def test_other_data_signed_by_the_city_is_not_a_talent_code(keyring: Keyring, claims: bytes) -> None:
    assert read_talent_code(keyring.sign_code(claims), keyring.jwks(), NOON, SKEW).outcome == "forged"


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def png() -> Image.Image:
    return open_png(draw_png(PAYLOAD, SIGN))


def svg() -> Image.Image:
    return open_svg(draw_svg(PAYLOAD, SIGN))


@pytest.mark.parametrize("read", SCANNERS)
@pytest.mark.parametrize("seen", VIEWS)
@pytest.mark.parametrize("draw", [png, svg])
def test_its_image_is_read_by_every_scanner(draw: Callable[[], Image.Image], seen: View, read: Scanner) -> None:
    assert read(seen(draw())) == [PAYLOAD]


def test_without_colours_a_talent_code_looks_different_from_every_health_code() -> None:
    feet = [draw_png(PAYLOAD, sign) for sign in (SIGN, *health_code.STYLES.values())]
    assert len({in_grey(footer(open_png(drawn))).tobytes() for drawn in feet}) == 4
    assert SIGN.shape not in {sign.shape for sign in health_code.STYLES.values()}


def test_the_label_is_white_on_blue_with_a_diamond() -> None:
    image = png()
    assert image.getpixel((1, 1)) == (0x0B, 0x4F, 0x9E)
    assert contrast(SIGN.background, SIGN.foreground) >= 4.5
    assert '<polygon points="11.00,74.00 17.00,80.00 11.00,86.00 5.00,80.00" fill="#ffffff"/>' in draw_svg(
        PAYLOAD, SIGN
    )


def test_a_vector_image_has_its_label_in_both_languages() -> None:
    drawn = draw_svg(PAYLOAD, SIGN)
    assert 'aria-label="人才码 TALENT"' in drawn
    assert ">人才码 TALENT</text>" in drawn


def test_the_label_ends_before_the_edge() -> None:
    assert label_end(draw_svg(PAYLOAD, SIGN)) < 1
