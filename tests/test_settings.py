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
