"""Commands refuse a key file that they cannot read, and name it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from integrations.his.command import his

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
