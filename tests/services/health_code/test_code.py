"""The payload of a health code: who can verify it, how long it is valid, and what is forged."""

import json
from datetime import UTC, datetime, timedelta

import jwt
import msgspec
import pytest

from backend.codes.signed_code import GenuineCode, make_code_id
from backend.security.keyring import Keyring, verify_with_jwks
from backend.services.health_code.code import make_claims, read_code

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
SKEW = 30


def signed(keyring: Keyring, colour: str = "green", code_id: str = "Qm3k_x-7PaZ1") -> str:
    claims, _, _ = make_claims(code_id, colour, NOON, 60)
    return keyring.sign_code(claims)


@pytest.mark.parametrize("colour", ["green", "yellow", "red"])
def test_a_code_has_at_most_250_characters(keyring: Keyring, colour: str) -> None:
    assert len(signed(keyring, colour, make_code_id())) <= 250


def test_a_code_holds_a_colour_and_a_minute_and_no_personal_data(keyring: Keyring) -> None:
    claims = json.loads(verify_with_jwks(signed(keyring), keyring.jwks()) or b"")
    nonce = claims.pop("jti")
    assert len(nonce) == 6
    assert claims == {"aud": "hc", "sub": "Qm3k_x-7PaZ1", "col": "g", "iat": 1650427200, "exp": 1650427260}


def test_no_two_codes_are_the_same(keyring: Keyring) -> None:
    assert len({signed(keyring) for _ in range(50)}) == 50


def test_anyone_can_verify_a_code_with_the_published_keys_and_a_jwt_library(keyring: Keyring) -> None:
    token = signed(keyring, "red")
    keys = jwt.PyJWKSet.from_dict(keyring.jwks())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="hc", options=options)
    assert (claims["sub"], claims["col"]) == ("Qm3k_x-7PaZ1", "r")


def test_a_code_is_verified_offline(keyring: Keyring) -> None:
    reading = read_code(signed(keyring, "yellow"), keyring.jwks(), NOON, SKEW)
    assert isinstance(reading, GenuineCode)
    assert (reading.outcome, reading.claims.colour, reading.claims.sub) == ("valid", "yellow", "Qm3k_x-7PaZ1")
    assert (reading.claims.issued_at, reading.claims.expires_at) == (NOON, NOON + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-31, "expired"), (-30, "valid"), (0, "valid"), (60, "valid"), (89.999, "valid"), (90, "expired")],
)
def test_a_code_is_valid_for_a_minute_and_the_allowed_clock_difference(
    keyring: Keyring, seconds: float, outcome: str
) -> None:
    at = NOON + timedelta(seconds=seconds)
    assert read_code(signed(keyring), keyring.jwks(), at, SKEW).outcome == outcome


def test_a_changed_code_is_forged(keyring: Keyring) -> None:
    head, body, signature = signed(keyring, "red").split(".")
    green = jwt.utils.base64url_encode(jwt.utils.base64url_decode(body).replace(b'"r"', b'"g"')).decode()
    assert read_code(f"{head}.{green}.{signature}", keyring.jwks(), NOON, SKEW).outcome == "forged"


def test_a_payload_of_another_issuer_is_forged(keyring: Keyring) -> None:
    other = jwt.utils.base64url_encode(b'{"alg":"none"}').decode()
    _, body, signature = signed(keyring).split(".")
    for payload in (f"{other}.{body}.", f"{other}.{body}.{signature}", "x", "..", "健康码", "", "a" * 251):
        assert read_code(payload, keyring.jwks(), NOON, SKEW).outcome == "forged"


def test_a_code_longer_than_250_characters_is_forged(keyring: Keyring) -> None:
    claims = msgspec.json.encode({**json.loads(make_claims("x" * 12, "green", NOON, 60)[0]), "name": "x" * 100})
    assert read_code(keyring.sign_code(claims), keyring.jwks(), NOON, SKEW).outcome == "forged"


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"[]",
        b'{"aud":"receipt","sub":"x","jti":"y","col":"g","iat":1650427200,"exp":1650427260}',
        b'{"aud":"hc","sub":"x","jti":"y","col":"blue","iat":1650427200,"exp":1650427260}',
        b'{"aud":"hc","sub":"x","jti":"y","col":"g","iat":1650427200}',
        b'{"aud":"hc","sub":"x","jti":"y","col":"g","iat":1650427200,"exp":99999999999999999}',
    ],
)
def test_another_document_signed_by_the_city_is_forged(keyring: Keyring, claims: bytes) -> None:
    assert read_code(keyring.sign_code(claims), keyring.jwks(), NOON, SKEW).outcome == "forged"
