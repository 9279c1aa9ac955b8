"""`chengma his key` makes key files; commands refuse a key file that they cannot read, and name it."""

import json
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from integrations.his.command import his
from integrations.his.public_keys import parse_key_file, signing_key

DEEP = "[" * 50_000


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [7]}', DEEP, '{"keys": ' + DEEP, '{"keys": [{"n": [[[[[]]]]]}]}'],
)
def test_a_file_that_is_not_a_set_of_public_keys_connects_no_hospital(content: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(content)
    found = CliRunner().invoke(his, ["hospitals", "add", "HZ001", "市第一医院", "--jwks", str(file)])
    assert found.exit_code == 1
    assert f"{file} is not a JSON Web Key Set" in found.output


def test_a_private_key_by_itself_connects_no_hospital_and_is_called_private(tmp_path: Path) -> None:
    file = tmp_path / "private.jwk"
    file.write_text('{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "d": "AA"}')
    found = CliRunner().invoke(his, ["hospitals", "add", "HZ001", "市第一医院", "--jwks", str(file)])
    assert found.exit_code == 1
    assert f"{file} contains a private key" in found.output


def test_a_new_key_pair_signs_assertions_with_the_public_key_that_is_registered(tmp_path: Path) -> None:
    private, public = tmp_path / "private.jwk", tmp_path / "keys.json"
    files = ["--private", str(private), "--public", str(public)]
    assert CliRunner().invoke(his, ["key", *files]).exit_code == 0
    (registered,) = parse_key_file(public.read_bytes())
    fhir = ["--fhir", "http://127.0.0.1:8000/fhir"]
    signed = CliRunner().invoke(his, ["assertion", "HZ002", "--key", str(private), *fhir])
    assert jwt.decode(
        signed.output.strip(), signing_key(registered), ["ES384"], audience="http://127.0.0.1:8000/fhir/token"
    )
    assert jwt.get_unverified_header(signed.output.strip())["kid"] == registered["kid"]
    assert private.stat().st_mode & 0o077 == 0


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    private, public = tmp_path / "private.jwk", tmp_path / "keys.json"
    for existing, other in ((private, public), (public, private)):
        existing.write_text("kept")
        found = CliRunner().invoke(his, ["key", "--private", str(private), "--public", str(public)])
        assert (found.exit_code, existing.read_text(), other.exists()) == (1, "kept", False)
        existing.unlink()


def test_a_single_public_key_is_a_set_of_one() -> None:
    key = {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "one"}
    assert parse_key_file(json.dumps(key).encode()) == parse_key_file(json.dumps({"keys": [key]}).encode()) == [key]


@pytest.mark.parametrize("secret", ["d", "k"])
def test_a_file_with_a_private_key_connects_no_hospital(secret: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(f'{{"keys": [{{"kty": "OKP", "{secret}": "AA"}}]}}')
    found = CliRunner().invoke(his, ["hospitals", "add", "HZ001", "市第一医院", "--jwks", str(file)])
    assert found.exit_code == 1
    assert f"{file} contains a private key" in found.output


@pytest.mark.parametrize("content", ["", "[]", DEEP, '{"kty": ' + DEEP])
def test_a_file_that_is_not_a_key_runs_no_conformance_test(content: str, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(content)
    fhir = ["--fhir", "http://127.0.0.1:1/fhir", "--key", str(file)]
    found = CliRunner().invoke(his, ["conformance", *fhir, "--hospital", "HZ001", "--patient", "330106200001010018"])
    assert found.exit_code == 2
    assert "is not a JSON Web Key" in found.output
