"""The payload of a health code: who can verify it, how long it is valid, and what is forged."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import msgspec
import pytest

from backend.codes.signed_code import GenuineCode, issue_code, make_code_id
from backend.security.keyring import Keyring, make_keys
from backend.services.health_code.code import make_claims, read_code
from tests.keys import verify_with_jwks

NOON = datetime(2022, 4, 20, 4, 0, tzinfo=UTC)
SKEW = 30


def signed(keyring: Keyring, colour: str = "green", code_id: str = "Qm3k_x-7PaZ1") -> str:
    return issue_code(keyring, make_claims(code_id, colour, NOON, 60))


@pytest.mark.parametrize("colour", ["green", "yellow", "red"])
def test_a_code_has_at_most_250_characters(keyring: Keyring, colour: str) -> None:
    assert len(signed(keyring, colour, make_code_id())) <= 250


def test_a_code_holds_a_colour_and_a_minute_and_no_personal_data(keyring: Keyring) -> None:
    claims = json.loads(verify_with_jwks(signed(keyring), keyring.jwks()) or b"")
    nonce, subject = claims.pop("jti"), claims.pop("sub")
    assert (len(nonce), len(subject)) == (6, 12)
    assert subject != "Qm3k_x-7PaZ1"
    assert claims == {"aud": "hc", "col": "g", "iat": 1650427200, "exp": 1650427260}


def test_no_two_codes_are_the_same(keyring: Keyring) -> None:
    assert len({signed(keyring) for _ in range(50)}) == 50


def test_anyone_can_verify_a_code_with_the_published_keys_and_a_jwt_library(keyring: Keyring) -> None:
    token = signed(keyring, "red")
    keys = jwt.PyJWKSet.from_dict(keyring.jwks())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="hc", options=options)
    assert claims["col"] == "r"


def test_a_code_is_verified_offline(keyring: Keyring) -> None:
    reading = read_code(signed(keyring, "yellow"), keyring.jwks(), NOON, SKEW)
    assert isinstance(reading, GenuineCode)
    assert (reading.outcome, reading.claims.colour) == ("valid", "yellow")
    assert reading.code_ids(keyring)[0] == "Qm3k_x-7PaZ1"
    assert (reading.claims.issued_at, reading.claims.expires_at) == (NOON, NOON + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(-31, "clock_differs"), (-30, "valid"), (0, "valid"), (60, "valid"), (89.999, "valid"), (90, "expired")],
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


def test_a_payload_without_a_signature_of_the_city_is_forged(keyring: Keyring) -> None:
    other = jwt.utils.base64url_encode(b'{"alg":"none"}').decode()
    head, body, signature = signed(keyring).split(".")
    _, _, foreign = signed(keyring).split(".")
    for payload in (f"{other}.{body}.", f"{other}.{body}.{signature}", f"{head}.{body}.", f"{head}.{body}.{foreign}"):
        assert read_code(payload, keyring.jwks(), NOON, SKEW).outcome == "forged"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "..",
        "健康码",
        "",
        "a" * 251,
        "a" * 2_500,
        "https://example.org/?code=1",
        "e30.e30",
        "W10.e30.e30",
        "a.b.c.d",
    ],
)
def test_a_text_that_is_not_a_code_cannot_be_read(keyring: Keyring, text: str) -> None:
    assert read_code(text, keyring.jwks(), NOON, SKEW).outcome == "unreadable"


def test_a_code_that_was_not_scanned_completely_cannot_be_read(keyring: Keyring) -> None:
    payload = signed(keyring)
    for part in (payload[: payload.rindex(".")], payload[1:].replace(".", "", 1), payload[:100]):
        assert read_code(part, keyring.jwks(), NOON, SKEW).outcome == "unreadable"


def test_the_key_of_a_code_of_another_city_is_unknown(keyring: Keyring, tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    elsewhere = Keyring.open(tmp_path / "keys")
    for jwks in (elsewhere.jwks(), {}, {"keys": []}):
        assert read_code(signed(keyring), jwks, NOON, SKEW).outcome == "unknown_key"


NOISE = [
    "\r\n",
    "\n",
    "\t",
    " ",
    "\0",
    "\x1d",
    "\x7f",
    "\x85",
    "\xa0",
    "\u200b",
    "\u200d",
    "\u2060",
    "\u202e",
    "\u3000",
    "\ufeff",
]


@pytest.mark.parametrize("noise", NOISE)
def test_what_scanners_add_to_a_code_is_ignored(keyring: Keyring, noise: str) -> None:
    payload = signed(keyring)
    for scanned in (f"{payload}{noise}", f"{noise}{payload}", f"{payload[:90]}{noise}{payload[90:]}{noise}{noise}"):
        assert read_code(scanned, keyring.jwks(), NOON, SKEW).outcome == "valid"


@pytest.mark.parametrize("prefix", ["]Q1", "]Q3", "]d2", "\ufeff]Q1", "]Q1\ufeff\r\n"])
def test_the_symbology_that_a_scanner_names_is_ignored(keyring: Keyring, prefix: str) -> None:
    assert read_code(f"{prefix}{signed(keyring)}\r\n", keyring.jwks(), NOON, SKEW).outcome == "valid"


def test_a_thousand_codes_of_ten_people_cannot_be_paired(keyring: Keyring) -> None:
    people = [make_code_id() for _ in range(10)]
    codes = [signed(keyring, "green", people[number % 10]) for number in range(1_000)]
    claims = [json.loads(verify_with_jwks(code, keyring.jwks()) or b"") for code in codes]
    for name in claims[0]:
        values = {one[name] for one in claims}
        assert len(values) in (1, 1_000), f"{name} has values that only some codes share"
    readings = [read_code(code, keyring.jwks(), NOON, SKEW) for code in codes]
    assert [one.code_ids(keyring)[0] for one in readings if isinstance(one, GenuineCode)] == people * 100


def test_neither_a_known_code_id_nor_the_public_keys_open_another_code(keyring: Keyring) -> None:
    """What one code reveals to a person who knows their own code_id says nothing about other codes."""
    mine, other = (json.loads(verify_with_jwks(signed(keyring), keyring.jwks()) or b"")["sub"] for _ in range(2))
    raw = [jwt.utils.base64url_decode(text) for text in (mine, other, "Qm3k_x-7PaZ1")]
    keystreams = [bytes(a ^ b for a, b in zip(sealed, raw[2], strict=True)) for sealed in raw[:2]]
    assert keystreams[0] != keystreams[1]


def test_a_code_of_an_earlier_edition_stays_readable_until_it_expires(keyring: Keyring) -> None:
    plain = keyring.sign_code(msgspec.json.encode(make_claims("Qm3k_x-7PaZ1", "green", NOON, 60)))
    reading = read_code(plain, keyring.jwks(), NOON, SKEW)
    assert isinstance(reading, GenuineCode)
    assert (reading.outcome, reading.code_ids(keyring)[1]) == ("valid", "Qm3k_x-7PaZ1")


def test_a_code_longer_than_250_characters_is_forged(keyring: Keyring) -> None:
    claims = msgspec.json.encode(
        {**msgspec.structs.asdict(make_claims("x" * 12, "green", NOON, 60)), "name": "x" * 100}
    )
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
