"""The keys of a city: how they are made, rotated and read, and which signatures they verify."""

import base64
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from backend.security import keyring
from backend.security.keyring import (
    JWKS_SECONDS,
    PUBLICATION_LEAD,
    USES,
    InvalidKeys,
    Keyring,
    Use,
    VerifiedToken,
    encode_segment,
    make_keys,
    rotate,
    verify_token,
)
from tests.conftest import Clock
from tests.keys import verify_with_jwks

NOW = datetime(2022, 5, 20, 4, 0, tzinfo=UTC)
CLAIMS = b'{"col":"g"}'


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of new keys; key rings re-read it at every use."""
    monkeypatch.setattr(keyring, "REFRESH_SECONDS", -1.0)
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


def segment(value: dict[str, Any] | bytes) -> str:
    """Return a segment of a token, in base64url without padding."""
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_new_folder_has_a_key_of_each_use_that_only_its_owner_can_read(folder: Path) -> None:
    assert sorted(key.use for key in Keyring.open(folder).keys(None)) == sorted(USES)
    assert {oct(path.stat().st_mode & 0o777) for path in folder.glob("*.json")} == {"0o600"}
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


def test_making_keys_again_creates_only_missing_keys(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    (lost,) = folder.glob("code_*.json")
    lost.unlink()
    make_keys(folder)
    after = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    assert len(after) == len(before)
    assert {name for name in before if after.get(name) != before[name]} == {lost.name}


def test_starters_that_make_keys_at_once_make_one_set(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as starters:
        list(starters.map(lambda _: make_keys(tmp_path / "keys"), range(8)))
    assert len(list((tmp_path / "keys").glob("*.json"))) == len(USES)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"kid": 1}', b'{"x": ' + b"[" * 50_000])
def test_an_invalid_key_file_is_named(folder: Path, content: bytes) -> None:
    (path,) = folder.glob("code_*.json")
    path.write_bytes(content)
    with pytest.raises(InvalidKeys, match=path.name):
        Keyring.open(folder)


def test_a_key_that_is_too_short_or_under_another_name_is_named(folder: Path) -> None:
    (path,) = folder.glob("code_*.json")
    key = json.loads(path.read_bytes())
    path.write_text(json.dumps(key | {"material": base64.b64encode(b"short").decode()}))
    with pytest.raises(InvalidKeys, match=path.name):
        Keyring.open(folder)
    path.write_text(json.dumps(key))
    path.rename(folder / "code_other.json")
    with pytest.raises(InvalidKeys, match=r"code_other\.json"):
        Keyring.open(folder)


def test_the_error_for_a_missing_folder_or_key_explains_how_to_create_it(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidKeys, match=r"nowhere: the folder of keys does not exist; `chengma keys make` creates it"
    ):
        Keyring.open(tmp_path / "nowhere")
    for path in folder.glob("token_*.json"):
        path.unlink()
    with pytest.raises(InvalidKeys, match="the token key is missing; `chengma keys make`"):
        Keyring.open(folder)


def test_a_signed_code_verifies(folder: Path) -> None:
    ring = Keyring.open(folder)
    assert verify_with_jwks(ring.sign_code(CLAIMS), ring.jwks()) == CLAIMS


def test_the_public_keys_alone_verify_with_another_library(folder: Path) -> None:
    ring = Keyring.open(folder)
    (public,) = ring.jwks()["keys"]
    assert set(public) == {"kty", "crv", "kid", "use", "alg", "x"}
    token = ring.sign_code(CLAIMS)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": public["kid"]}
    assert jwt.decode(token, jwt.PyJWK(public), algorithms=["EdDSA"]) == {"col": "g"}


def test_a_part_of_a_signed_text_is_not_verified_by_its_signature(folder: Path) -> None:
    """Libsodium reads the bytes after a signature as the beginning of the text."""
    ring = Keyring.open(folder)
    header, claims, _ = ring.sign_code(CLAIMS).split(".")
    private = crypto_sign_seed_keypair(ring.current("code").material)[1]
    for beginning in (b"", b"AAAA"):
        signature = crypto_sign(beginning + f"{header}.{claims}".encode(), private)[: 64 + len(beginning)]
        token = f"{header}.{claims}.{encode_segment(signature).decode()}"
        assert isinstance(verify_token(token, ring.jwks()), VerifiedToken) is (beginning == b"")


def test_after_a_rotation_the_old_key_verifies_until_its_overlap_ends(folder: Path, clock: Clock) -> None:
    ring = Keyring.open(folder, clock)
    old = ring.sign_code(CLAIMS)
    made = rotate(folder, "code", NOW, timedelta(hours=24))
    new = ring.sign_code(CLAIMS)
    assert jwt.get_unverified_header(new)["kid"] == made.kid
    assert ring.jwks()["keys"][0]["kid"] == made.kid
    clock.now = NOW + timedelta(hours=24) - timedelta(seconds=1)
    assert (verify_with_jwks(old, ring.jwks()), verify_with_jwks(new, ring.jwks())) == (CLAIMS, CLAIMS)
    clock.now = NOW + timedelta(hours=24)
    assert (verify_with_jwks(old, ring.jwks()), verify_with_jwks(new, ring.jwks())) == (None, CLAIMS)
    assert [key["kid"] for key in ring.jwks()["keys"]] == [made.kid]


def test_a_running_ring_notices_a_rotation_within_seconds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "REFRESH_SECONDS", 0.05)
    ring = Keyring.open(folder)
    before = ring.current("code").kid
    made = rotate(folder, "code", NOW, timedelta(hours=1))
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while jwt.get_unverified_header(ring.sign_code(CLAIMS))["kid"] == before:
        assert datetime.now(UTC) < deadline
    assert ring.current("code").kid == made.kid


def test_a_new_key_is_published_before_it_signs_in_every_process(folder: Path, clock: Clock) -> None:
    rings = [Keyring.open(folder, clock) for _ in range(2)]
    (old,) = (key["kid"] for key in rings[0].jwks()["keys"])
    made = rotate(folder, "code", NOW, timedelta(hours=1), PUBLICATION_LEAD)
    cached = rings[1].jwks()
    assert {key["kid"] for key in cached["keys"]} == {old, made.kid}
    for seconds, kid in ((0, old), (599, old), (600, made.kid), (4_199, made.kid), (4_200, made.kid)):
        clock.now = NOW + timedelta(seconds=seconds)
        for ring in rings:
            token = ring.sign_code(CLAIMS)
            assert jwt.get_unverified_header(token)["kid"] == ring.current("code").kid == kid
            assert verify_with_jwks(token, cached) == CLAIMS
    assert [key["kid"] for key in rings[0].jwks()["keys"]] == [made.kid]


def test_a_code_verifies_with_a_key_set_that_was_cached_before_the_rotation(folder: Path, clock: Clock) -> None:
    ring = Keyring.open(folder, clock)
    cached = ring.jwks()
    rotate(folder, "code", NOW, timedelta(hours=1), PUBLICATION_LEAD)
    for seconds in range(JWKS_SECONDS + 30):
        clock.now = NOW + timedelta(seconds=seconds)
        assert verify_with_jwks(ring.sign_code(CLAIMS), cached) == CLAIMS


@pytest.mark.parametrize("use", ["token", "field"])
def test_a_new_key_of_another_use_also_waits_until_all_processes_know_it(folder: Path, clock: Clock, use: Use) -> None:
    ring = Keyring.open(folder, clock)
    old = ring.current(use)
    made = rotate(folder, use, NOW, timedelta(hours=1), PUBLICATION_LEAD)
    assert (ring.current(use).kid, {key.kid for key in ring.keys(use)}) == (old.kid, {old.kid, made.kid})
    clock.now += PUBLICATION_LEAD
    assert ring.current(use).kid == made.kid


def test_a_key_that_is_used_at_once_precedes_one_that_still_waits(folder: Path, clock: Clock) -> None:
    ring = Keyring.open(folder, clock)
    rotate(folder, "code", NOW, timedelta(hours=1), PUBLICATION_LEAD)
    urgent = rotate(folder, "code", NOW + timedelta(seconds=1), timedelta(hours=1))
    for minutes in (0, 20):
        clock.now = NOW + timedelta(minutes=minutes)
        assert jwt.get_unverified_header(ring.sign_code(CLAIMS))["kid"] == urgent.kid


def test_a_folder_whose_only_key_still_waits_signs_with_it(folder: Path, clock: Clock) -> None:
    rotate(folder, "code", NOW, timedelta(hours=1), PUBLICATION_LEAD)
    for path in folder.glob("code_*.json"):
        if "retires" in json.loads(path.read_bytes()):
            path.unlink()
    ring = Keyring.open(folder, clock)
    assert verify_with_jwks(ring.sign_code(CLAIMS), ring.jwks()) == CLAIMS


def test_a_ring_notices_a_rotation_of_a_minute_ago(folder: Path) -> None:
    ring = Keyring.open(folder)
    made = rotate(folder, "code", NOW, timedelta(hours=1))
    minute_ago = time.time() - 60
    os.utime(folder, (minute_ago, minute_ago))
    assert ring.current("code").kid == made.kid


def test_a_ring_notices_both_rotations_when_their_timestamps_are_equal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, changed = Keyring.open(folder), time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: changed + 1_000_000_000)
    for _ in range(2):
        made = rotate(folder, "code", NOW, timedelta(hours=1))
        os.utime(folder, ns=(changed, changed))
        assert ring.current("code").kid == made.kid


def test_the_lookup_key_is_not_rotated(folder: Path) -> None:
    with pytest.raises(InvalidKeys, match="the lookup key cannot be rotated"):
        rotate(folder, "lookup", NOW, timedelta())


def forgeries(token: str, ring: Keyring) -> dict[str, str]:
    """Return the forgeries that an attacker could derive from a valid token and the public keys."""
    header, claims, signature = token.split(".")
    (public,) = ring.jwks()["keys"]
    stranger = Ed25519PrivateKey.generate()
    foreign = f"{segment({'alg': 'EdDSA', 'kid': 'zzzz'})}.{claims}"
    ours = f"{header}.{claims}"
    as_hmac = f"{segment({'alg': 'HS256', 'kid': public['kid']})}.{claims}"
    critical = segment({"alg": "EdDSA", "kid": public["kid"], "crit": ["b64"]})
    decoded_key = base64.urlsafe_b64decode(public["x"] + "=")
    hmac_signature = segment(jwt.api_jws.PyJWS().get_algorithm_by_name("HS256").sign(as_hmac.encode(), decoded_key))
    return {
        "other claims": f"{header}.{segment({'col': 'r'})}.{signature}",
        "no signature": f"{ours}.",
        "alg none": f"{segment({'alg': 'none', 'kid': public['kid']})}.{claims}.",
        "alg none with a signature": f"{segment({'alg': 'none', 'kid': public['kid']})}.{claims}.{signature}",
        "public key as a secret": f"{as_hmac}.{hmac_signature}",
        "foreign kid": f"{foreign}.{segment(stranger.sign(foreign.encode()))}",
        "foreign key under our kid": f"{ours}.{segment(stranger.sign(ours.encode()))}",
        "padding": f"{token}=",
        "another form of the last character": token[:-1] + chr(ord(token[-1]) + 1),
        "white space": f" {token}",
        "four segments": f"{token}.{signature}",
        "a critical extension": f"{critical}.{claims}.{signature}",
        "nothing": "",
        "dots": "..",
        "Chinese": "城.码.绿",
        "too long": token + "A" * 3_000,
        "deeply nested": f"{segment(b'[' * 900)}.{claims}.{signature}",
    }


def test_forgeries_are_refused(folder: Path) -> None:
    ring = Keyring.open(folder)
    unreadable = {
        "padding",
        "another form of the last character",
        "white space",
        "four segments",
        "nothing",
        "Chinese",
        "too long",
        "deeply nested",
        "dots",
    }
    for name, forged in forgeries(ring.sign_code(CLAIMS), ring).items():
        fault = "unreadable" if name in unreadable else "unknown_key" if name == "foreign kid" else "forged"
        assert (verify_with_jwks(forged, ring.jwks()), verify_token(forged, ring.jwks())) == (None, fault), name


def test_a_verified_token_names_its_key(folder: Path) -> None:
    ring = Keyring.open(folder)
    expected = VerifiedToken(ring.current("code").kid, CLAIMS)
    assert verify_token(ring.sign_code(CLAIMS), ring.jwks()) == expected


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA", "crit": ["b64"]}])
def test_a_signature_of_our_key_under_another_header_is_refused(folder: Path, header: dict[str, Any]) -> None:
    ring = Keyring.open(folder)
    key = ring.current("code")
    signed = f"{segment(header | {'kid': key.kid})}.{segment(CLAIMS)}"
    assert verify_with_jwks(f"{signed}.{segment(key.private.sign(signed.encode()))}", ring.jwks()) is None


def test_a_signed_token_has_at_most_2_000_characters(folder: Path) -> None:
    ring = Keyring.open(folder)
    longest, too_long = (b"x" * size for size in (1_405, 1_406))
    assert [len(ring.sign_code(claims)) for claims in (longest, too_long)] == [2_000, 2_001]
    assert verify_with_jwks(ring.sign_code(longest), ring.jwks()) == longest
    assert verify_with_jwks(ring.sign_code(too_long), ring.jwks()) is None


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": [{}]}, {"keys": 7}, {"keys": [{"kty": "RSA"}]}])
def test_a_set_without_usable_keys_verifies_nothing(folder: Path, jwks: dict[str, Any]) -> None:
    assert verify_with_jwks(Keyring.open(folder).sign_code(CLAIMS), jwks) is None


def test_the_draft_of_a_killed_rotation_is_ignored(folder: Path) -> None:
    (whole,) = folder.glob("code_*.json")
    (folder / f".{whole.name}").write_bytes(whole.read_bytes()[:20])
    assert len(Keyring.open(folder).keys()) == len(USES)
    make_keys(folder)


def test_a_running_ring_keeps_its_keys_when_the_folder_breaks(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = Keyring.open(folder)
    (folder / "code_stray.json").write_text("{}")
    assert verify_with_jwks(ring.sign_code(CLAIMS), ring.jwks()) == CLAIMS
    assert "the previous ones stay active" in caplog.text
    assert "code_stray.json" in caplog.text
    shutil.rmtree(folder)
    assert verify_with_jwks(ring.sign_code(CLAIMS), ring.jwks()) == CLAIMS


def test_a_key_whose_end_has_no_time_zone_is_refused(folder: Path) -> None:
    (path,) = folder.glob("code_*.json")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"retires": "2022-05-20T00:00:00"}))
    with pytest.raises(InvalidKeys, match=path.name):
        Keyring.open(folder)


def test_a_folder_that_holds_all_keys_is_only_read(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / ".lock").unlink()
    make_keys(tmp_path)
    assert not (tmp_path / ".lock").exists()
