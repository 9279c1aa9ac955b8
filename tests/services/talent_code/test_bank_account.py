"""The bank card to which money is paid: taken as it is typed, encrypted, and shown only by its last digits."""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from backend.services.talent_code.model.talent import Talent
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import CARD, DOCTOR, Citizen, Scene


def registers(scene: Scene, person: Citizen, number: Any) -> httpx.Response:  # noqa: ANN401  also invalid numbers
    return scene.client.put("/v1/me/talent/account", json={"number": number}, headers=person)


def test_a_number_of_8_to_32_digits_is_taken_however_it_is_typed(scene: Scene) -> None:
    person = scene.citizen()
    good = {
        "6217000010000000003": "0003",
        "6217 0000 1000 0000 003": "0003",
        " 4111  1111 1111 1111 ": "1111",
        "4 2 2 2 2 2 2 2 2 2 2 2 2": "2222",
        "4111-1111-1111-1111": "1111",
        "４１１１１１１１１１１１１１１１": "1111",
        "4111–1111—1111 1111": "1111",
        "12345678": "5678",
        "1" * 28 + "2345": "2345",
    }
    for number, ending in good.items():
        answer = registers(scene, person, number)
        assert (answer.status_code, answer.json()) == (200, {"ending": ending})
        assert scene.shown(person)["account_ending"] == ending


@pytest.mark.parametrize("number", ["6217000010000000", "6013820800012345678", "6217000010000000004"])
def test_a_card_without_a_right_check_digit_is_left_to_the_bank(scene: Scene, number: str) -> None:
    """UnionPay debit cards and passbooks whose last digit is not that of ISO/IEC 7812 are in use."""
    person = scene.citizen()
    assert registers(scene, person, number).json() == {"ending": number[-4:]}
    assert scene.shown(person)["account_ending"] == number[-4:]


def test_what_is_no_number_is_refused_and_the_right_one_before_it_stays(scene: Scene) -> None:
    person = scene.citizen()
    scene.registers_account(person, "4111 1111 1111 1111")
    wrong_length = ("1234567 ", "1" * 33, "           7", "              ", "--------")
    no_number = ("411111111111111l", "+4111111111111111", "٤١١١١١١١١١١١١١١١", "银行卡银行卡银行卡银行卡")
    for number in (*wrong_length, *no_number):
        refused = problem(registers(scene, person, number), 400, "invalid-bank-account")
        assert refused["errors"] == [{"pointer": "/number", "detail": refused["detail"]}]
    for unlike in ("1234567", "4" * 65, 4111111111111111, None, ["4111111111111111"]):
        assert "4111" not in str(problem(registers(scene, person, unlike), 400, "invalid-request"))
    assert scene.shown(person)["account_ending"] == "1111"


def test_the_number_is_encrypted_and_only_its_last_digits_are_shown(
    scene: Scene, stored_bytes: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    person = scene.talent(DOCTOR)
    number = CARD.replace(" ", "")
    contents = stored_bytes()
    assert person.id.encode() in contents, "the store was read"
    for secret in (number, CARD, number[:-4]):
        assert secret.encode() not in contents
        assert secret not in caplog.text
        assert secret not in str(scene.shown(person))
    [talent] = stored(scene.client, Talent)
    assert scene.city.encryption.read(talent, "account") == number
    assert (talent.account_ending, scene.shown(person)["account_ending"]) == ("0003", "0003")


def test_an_account_can_be_registered_before_any_evidence_and_is_shown_only_to_its_owner(scene: Scene) -> None:
    person, other = scene.citizen(), scene.citizen("13800000102")
    scene.registers_account(person)
    assert (scene.shown(person)["account_ending"], scene.shown(other)["account_ending"]) == ("0003", None)
    own = {"number": "6217000010000000000"}
    answer = scene.client.put("/v1/me/talent/account", json=own, headers=scene.officer())
    assert answer.status_code == 200, "an officer registers their own"
    assert (scene.shown(person)["account_ending"], scene.shown(other)["account_ending"]) == ("0003", None)
