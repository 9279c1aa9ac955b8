from pathlib import Path

import pytest

from backend.settings import InvalidSettings, Settings, read_settings


def test_an_empty_environment_gives_the_embedded_default() -> None:
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


def test_what_is_wrong_with_a_file_is_told_without_its_content(tmp_path: Path) -> None:
    secret = tmp_path / "store"
    secret.write_text("mongo://anna:secret@mongo")
    with pytest.raises(InvalidSettings) as caught:
        read_settings(
            {
                "CHENGMA_STORE_FILE": str(secret),
                "CHENGMA_BROKER_FILE": str(tmp_path / "none"),
                "CHENGMA_PORT": "80",
                "CHENGMA_PORT_FILE": str(secret),
                "CHENGMA_SPEED_FILE": str(secret),
            }
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "CHENGMA_BROKER_FILE" in lines[0]
    assert "cannot be read: No such file" in lines[0]
    assert lines[1].startswith("CHENGMA_PORT_FILE: CHENGMA_PORT is given too")
    assert lines[2].startswith("CHENGMA_SPEED_FILE: there is no such setting")
    assert lines[3].startswith("CHENGMA_STORE_FILE: Expected")
    assert "secret" not in str(caught.value)


def test_a_wrong_address_is_told_without_its_password() -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings({"CHENGMA_STORE": "mongo://anna:secret@mongo/x"})
    assert "CHENGMA_STORE='mongo://...@mongo/x'" in str(caught.value)
