"""`chengma his hospitals` connects a hospital once, and later changes only the settings that are given."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from backend.services.medical_credit.model.hospital import Hospital
from backend.settings import Settings
from integrations.his.command import his
from tests.services.medical_credit.scene import Client

Command = Callable[..., Result]
KEY = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(his, ["hospitals", *arguments])


@pytest.fixture
def hospitals(client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command, in the city of the client."""
    for name in ("store", "keys", "sandbox", "rules"):
        monkeypatch.setenv(f"CHENGMA_{name.upper()}", getattr(settings, name))
    assert client.app.state.city is not None, "its store is ready"
    return command


@pytest.fixture
def stored(client: Client) -> Callable[[], Hospital]:
    store = client.app.state.city.store
    return lambda: client.blocking_portal.call(store.get, Hospital, "HZ001")


def key_file(folder: Path, *keys: dict[str, Any]) -> str:
    file = folder / "jwks.json"
    file.write_text(json.dumps({"keys": keys}))
    return str(file)


def test_a_change_keeps_all_settings_that_are_not_given(
    hospitals: Command, stored: Callable[[], Hospital], tmp_path: Path
) -> None:
    keys = key_file(tmp_path, {**KEY, "kid": "k1"})
    options = ["--jwks", keys, "--encoding", "gb18030", "--acknowledgement", "enhanced", "--certificate", "first"]
    assert hospitals("add", "HZ001", "市第一医院", *options).exit_code == 0
    before = stored()
    assert hospitals("set", "HZ001", "--name", "市一医院").exit_code == 0
    after = stored()
    assert after.name == "市一医院"
    for name in ("jwks", "encoding", "acknowledgement", "certificate", "scopes", "enabled", "since_ms"):
        assert getattr(after, name) == getattr(before, name), name


def test_a_disconnected_hospital_stays_so_until_it_is_enabled(
    hospitals: Command, stored: Callable[[], Hospital]
) -> None:
    hospitals("add", "HZ001", "市第一医院")
    hospitals("disable", "HZ001")
    hospitals("set", "HZ001", "--encoding", "gb18030")
    assert (stored().enabled, stored().encoding) == (False, "gb18030")
    again = hospitals("add", "HZ001", "市第一医院")
    assert again.exit_code == 1
    assert "`chengma his hospitals set HZ001` changes its settings" in again.output
    assert not stored().enabled
    assert hospitals("enable", "HZ001").exit_code == 0
    assert (stored().enabled, stored().encoding) == (True, "gb18030")


def test_an_empty_text_removes_a_value(hospitals: Command, stored: Callable[[], Hospital]) -> None:
    hospitals("add", "HZ001", "市第一医院", "--certificate", "first")
    hospitals("set", "HZ001", "--certificate", "")
    assert stored().certificate is None


def test_keys_in_a_file_replace_those_at_a_url_and_the_other_way_round(
    hospitals: Command, stored: Callable[[], Hospital], tmp_path: Path
) -> None:
    url = "http://127.0.0.1:9/keys"
    assert "cannot be fetched from this machine" in hospitals("add", "HZ001", "市第一医院", "--jwks-url", url).output
    assert (stored().jwks_url, stored().jwks) == (url, {"keys": []})
    hospitals("set", "HZ001", "--jwks", key_file(tmp_path, KEY))
    assert (stored().jwks_url, len(stored().jwks["keys"])) == (None, 1)
    hospitals("set", "HZ001", "--jwks-url", url)
    assert (stored().jwks_url, stored().jwks) == (url, {"keys": []})
    assert hospitals("set", "HZ001", "--jwks", key_file(tmp_path, KEY), "--jwks-url", url).exit_code == 2


def test_a_hospital_maps_codes_of_its_own_one_after_the_other(
    hospitals: Command, stored: Callable[[], Hospital]
) -> None:
    hospitals("add", "HZ001", "市第一医院", "--class", "X=outpatient", "--identifier-type", "Y=passport")
    assert hospitals("set", "HZ001", "--class", "Z=inpatient", "--class", "X=").exit_code == 0
    assert (stored().visit_classes, stored().identifier_types) == ({"Z": "inpatient"}, {"Y": "passport"})
    for wrong in ("X", "X=hotel", "=outpatient", "A|B=outpatient"):
        assert hospitals("set", "HZ001", "--class", wrong).exit_code == 2, wrong


def test_people_without_credit_are_ignored_for_a_new_hospital_unless_it_is_set_otherwise(
    hospitals: Command, stored: Callable[[], Hospital]
) -> None:
    hospitals("add", "HZ001", "市第一医院")
    assert (stored().people_without_credit, stored().unused_events) == ("ignore", "ignore")
    hospitals("set", "HZ001", "--people-without-credit", "refuse", "--unused-events", "refuse")
    assert (stored().people_without_credit, stored().unused_events) == ("refuse", "refuse")


def test_a_hospital_that_is_unknown_cannot_be_changed(hospitals: Command) -> None:
    for arguments in (["set", "HZ009", "--name", "x"], ["enable", "HZ009"], ["disable", "HZ009"]):
        assert "hospital HZ009 not found" in hospitals(*arguments).output
    assert hospitals("set", "HZ001").exit_code == 2


# ── keys ──


def test_a_key_without_kid_is_named_by_its_thumbprint(
    hospitals: Command, stored: Callable[[], Hospital], tmp_path: Path
) -> None:
    example = {  # RFC 7638, 3.1
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    added = hospitals("add", "HZ001", "市第一医院", "--jwks", key_file(tmp_path, example))
    assert f"Its assertions name one of these keys in kid: {thumbprint}." in added.output
    assert stored().jwks["keys"][0]["kid"] == thumbprint


def weak_rsa() -> dict[str, Any]:
    key = rsa.generate_private_key(65_537, 1_024).public_key()  # noqa: S505  what must be refused
    return RSAAlgorithm.to_jwk(key, as_dict=True)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (weak_rsa(), "has 1,024 bits; RSA needs 2,048 to 8,192"),
        ({"kty": "oct", "k": "AAAA"}, "is private or symmetric"),
        ({"kty": "EC", "crv": "P-256", "x": KEY["x"], "y": KEY["y"]}, "is of an unsupported type"),
        ({**KEY, "alg": "HS384"}, "must be used with ES384, not with HS384"),
        ({**KEY, "use": "enc"}, "is not meant for signatures"),
        ({**KEY, "key_ops": ["encrypt"]}, "is not meant for signatures"),
        ({**KEY, "x": "AA"}, "is damaged"),
        ({"kty": "RSA", "n": 5, "e": "AQAB"}, "is damaged"),
    ],
)
def test_a_key_that_may_not_sign_is_refused_with_a_sentence(key: dict[str, Any], reason: str, tmp_path: Path) -> None:
    found = command("add", "HZ001", "市第一医院", "--jwks", key_file(tmp_path, KEY, key))
    assert found.exit_code == 1
    assert "key 2" in found.output
    assert reason in found.output


@pytest.mark.parametrize(
    "url",
    [
        "http://his.example/keys",
        "ftp://his.example/keys",
        "file:/etc/passwd",
        "https://user:secret@his.example/keys",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/keys",
        "https://0.0.0.0/keys",
        "http://10.0.0.1/keys",
        "https:///keys",
        "https://his.example:99999/keys",
        "https://his.example/a b",
        "https://[::1",
    ],
)
def test_a_url_that_must_not_be_fetched_is_refused(url: str) -> None:
    found = command("add", "HZ001", "市第一医院", "--jwks-url", url)
    assert found.exit_code == 1
    assert "the URL" in found.output
