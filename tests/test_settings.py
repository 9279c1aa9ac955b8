from pathlib import Path

import pytest

from backend.settings import InvalidSettings, Settings, read_settings
from backend.store.connect import display_address


def test_an_empty_environment_returns_the_embedded_default() -> None:
    assert read_settings({}) == Settings()


def test_a_setting_is_read_in_the_type_that_it_has() -> None:
    assert read_settings({"CHENGMA_PORT": "9000", "CHENGMA_DEVELOPMENT": "true"}) == Settings(
        port=9000, development=True
    )


def test_every_bad_setting_is_named_in_a_line_of_its_own() -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings({"CHENGMA_PORT": "99999", "CHENGMA_STOR": "x", "CHENGMA_TIME_ZONE": "Mars/Olympus"})
    port, misspelt, zone = str(caught.value).splitlines()
    assert port.startswith("CHENGMA_PORT='99999': Expected `int` <= 65535")
    assert misspelt.startswith("CHENGMA_STOR: there is no such setting")
    assert zone.startswith("CHENGMA_TIME_ZONE='Mars/Olympus': not an IANA time zone")


def test_a_setting_may_be_the_content_of_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "store"
    secret.write_text("mongodb://anna:secret@mongo/chengma\n")
    assert read_settings({"CHENGMA_STORE_FILE": str(secret)}).store == "mongodb://anna:secret@mongo/chengma"


def test_an_invalid_file_is_reported_without_its_content(tmp_path: Path) -> None:
    secret = tmp_path / "store"
    secret.write_text("mongo://anna:secret@mongo")
    binary = tmp_path / "rules"
    binary.write_bytes(b"secret\xff")
    with pytest.raises(InvalidSettings) as caught:
        read_settings(
            {
                "CHENGMA_BROKER_FILE": str(tmp_path / "none"),
                "CHENGMA_KEYS_FILE": str(tmp_path),
                "CHENGMA_MONGO_DRIVER_FILE": str(secret),
                "CHENGMA_PORT": "no number",
                "CHENGMA_PORT_FILE": str(secret),
                "CHENGMA_RULES_FILE": str(binary),
                "CHENGMA_SPEED_FILE": str(secret),
                "CHENGMA_STORE_FILE": str(secret),
                "CHENGMA_TIME_ZONE_FILE": str(secret),
            }
        )
    broker, keys, driver, port, port_file, rules, speed, store, zone = str(caught.value).splitlines()
    assert broker == f"CHENGMA_BROKER_FILE='{tmp_path}/none': cannot be read: No such file or directory"
    assert keys == f"CHENGMA_KEYS_FILE='{tmp_path}': cannot be read: Is a directory"
    assert driver.startswith("CHENGMA_MONGO_DRIVER_FILE: the content of the file is invalid; the MongoDB driver")
    assert port.startswith("CHENGMA_PORT='no number': Expected `int`")
    assert port_file == "CHENGMA_PORT_FILE: CHENGMA_PORT is set too; set only one of them"
    assert rules.startswith("CHENGMA_RULES_FILE: the content of the file is invalid")
    assert speed.startswith("CHENGMA_SPEED_FILE: there is no such setting")
    assert store.startswith("CHENGMA_STORE_FILE: the content of the file is invalid; the document store")
    assert zone.startswith("CHENGMA_TIME_ZONE_FILE: the content of the file is invalid; the city's IANA time zone")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "given", "shown"),
    [
        ("CHENGMA_STORE", "mongo://anna:secret@mongo/x", "mongo://...@mongo/x"),
        ("CHENGMA_STORE", "mongo://anna:1/secret@mongo/x", "mongo://...@mongo/x"),
        ("CHENGMA_STORE", "mongodb:/anna:secret@mongo", "...@mongo"),
        ("CHENGMA_STORE", "anna:se@cret@mongo", "...@mongo"),
        ("CHENGMA_BROKER", "reddis://:secret@redis:6379/0", "reddis://...@redis:6379/0"),
        ("CHENGMA_TRACES", "ftp://anna:secret@collector", "ftp://...@collector"),
    ],
)
def test_an_invalid_address_is_reported_without_its_password(variable: str, given: str, shown: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings({variable: given})
    assert str(caught.value).startswith(f"{variable}='{shown}': ")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("sqlite:///var/city.db", "var/city.db"),
        ("mongodb://mongo-1,mongo-2:27018/chengma?replicaSet=city", "mongodb://mongo-1,mongo-2:27018/chengma"),
        ("mongodb://anna:secret@mongo/chengma?w=1", "mongodb://mongo/chengma"),
        ("redis://:se/c?ret@redis:6379/0", "redis://redis:6379/0"),
    ],
)
def test_a_place_is_named_without_a_password(address: str, named: str) -> None:
    assert display_address(address) == named
