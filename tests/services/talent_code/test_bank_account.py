"""The bank card to which benefits are paid: its number is checked, encrypted, and shown only by its last digits."""

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


def test_a_card_number_has_a_check_digit_and_12_to_19_digits(scene: Scene) -> None:
    """Calculated by hand, from the right, doubling each second digit: 3+2+7+7+9+6+7+4+9+9+7 = 70, a multiple of ten."""
    person = scene.citizen()
    good = {
        "079927398713": "8713",
        "6217000010000000003": "0003",
        "6217 0000 1000 0000 003": "0003",
        " 4111  1111 1111 1111 ": "1111",
        "4 2 2 2 2 2 2 2 2 2 2 2 2": "2222",
    }
    for number, ending in good.items():
        answer = registers(scene, person, number)
        assert (answer.status_code, answer.json()) == (200, {"ending": ending})
        assert scene.shown(person)["account_ending"] == ending


def test_a_wrong_number_is_refused_and_the_previous_one_stays(scene: Scene) -> None:
    person = scene.citizen()
    scene.registers_account(person, "4111 1111 1111 1111")
    wrong_digit = ("6217000010000000004", "4111111111111112", "1411111111111111")
    wrong_length = ("79927398713 ", "00079927398713 0000 79", "           7", "              ")
    no_number = (
        "4111-1111-1111-1111",
        "411111111111111l",
        "４１１１１１１１１１１１１１１１",
        "+4111111111111111",
        "银行卡银行卡银行卡银行卡",
    )
    for number in (*wrong_digit, *wrong_length, *no_number):
        refused = problem(registers(scene, person, number), 400, "invalid-bank-account")
        assert refused["errors"] == [{"pointer": "/number", "detail": "the length or the check digit is wrong"}]
    for unlike in ("79927398713", "4" * 31, 4111111111111111, None, ["4111111111111111"]):
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
    assert scene.city.encryption.decrypt(talent.account) == number
    assert (talent.account_ending, scene.shown(person)["account_ending"]) == ("0003", "0003")


def test_an_account_can_be_registered_before_any_evidence_and_is_shown_only_to_its_owner(scene: Scene) -> None:
    person, other = scene.citizen(), scene.citizen("13800000102")
    scene.registers_account(person)
    assert (scene.shown(person)["account_ending"], scene.shown(other)["account_ending"]) == ("0003", None)
    problem(
        scene.client.put("/v1/me/talent/account", json={"number": CARD}, headers=scene.officer()), 403, "not-allowed"
    )
