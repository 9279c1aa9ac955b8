"""A card belongs to one person, the bank compares the holder, and a card that replaces another one waits."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from backend.benefits.ports import PayoutBank
from backend.city.bank_cards import BankCard, CardHolder, card_id, keep_card
from backend.city.notices import Notice
from backend.city.person import Person
from backend.i18n import Text
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Talent
from backend.store.place import Place
from backend.store.update import update_document
from integrations._sandbox.holders import STRANGERS_CARD
from tests.services.health_code.scene import problem, stored
from tests.services.talent_code.scene import CARD, DOCTOR, NOON, OTHER_CARD, Citizen, Scene

NAME = "王芳"


def registers(scene: Scene, person: Citizen, number: str, **proof: str):  # noqa: ANN201  a response
    return scene.client.put("/v1/me/talent/account", json={"number": number, **proof}, headers=person)


def messages(scene: Scene, person: Citizen) -> list[Text]:
    """Return the texts of a person's notices, the oldest first."""
    notices = [one for one in stored(scene.client, Notice) if one.recipient == person.id]
    return [one.text for one in sorted(notices, key=lambda one: one.at_ms)]


# ── the holder's name ──


def test_a_card_in_the_name_of_another_is_refused(scene: Scene) -> None:
    person = scene.citizen()
    refused = problem(registers(scene, person, STRANGERS_CARD), 409, "card-refused")
    assert "户名" in refused["detail"]
    assert scene.shown(person)["account_ending"] is None
    assert stored(scene.client, BankCard) == []


def test_the_name_goes_to_the_bank_with_each_payout_and_a_mismatch_pays_nothing(scene: Scene) -> None:
    """The bank learns of another holder after the card was registered."""
    doctor, bank = scene.talent(DOCTOR), scene.port(PayoutBank)
    bank.set_holder(CARD, CardHolder("李强"))
    claim = scene.claimed(doctor, "monthly_rent")
    assert claim["stage"] == "failed"
    assert "银行卡户名与您的实名不一致" in claim["message"]["zh"]
    assert "not in your name" in claim["message"]["en"]
    assert scene.payouts() == []
    bank.set_holder(CARD, CardHolder(NAME))
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"


def test_a_payout_is_in_the_name_that_the_person_has_now(scene: Scene) -> None:
    """A card that was registered under a name that the city has corrected since is not paid."""
    doctor, city = scene.talent(DOCTOR), scene.city

    def corrected(person: Person) -> Person:
        return replace(person, name=city.encryption.encrypt("李强", Place.of(Person, person.id, "name")))

    scene.call(update_document, city.store, lambda: city.store.get(Person, doctor.id), corrected)
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "failed"
    assert scene.payouts() == []


def test_a_later_instalment_to_a_card_of_another_holder_is_retried_and_the_person_is_told(
    scene: Scene,
) -> None:
    from backend.services.talent_code.ports import SocialInsurance

    doctor, bank = scene.talent(DOCTOR, months=6), scene.port(PayoutBank)
    claim = scene.claimed(doctor, "graduate_allowance")
    scene.time_passes(seconds=30)
    bank.set_holder(CARD, CardHolder("李强"))
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=1)
    assert scene.claim(doctor, claim)["stage"] == "partly_paid"
    assert sum("户名与您的实名不一致" in text.zh for text in messages(scene, doctor)) == 1
    bank.set_holder(CARD, CardHolder(NAME))
    scene.time_passes(days=1)
    shown = scene.claim(doctor, claim)
    assert (shown["stage"], "户名" in shown["message"]["zh"]) == ("paid", False)


# ── one person for each card ──


def test_a_card_that_one_person_named_cannot_be_named_by_another(scene: Scene) -> None:
    """Both have the same name, so the bank confirms it for both."""
    one, other = scene.citizen(), scene.citizen("13800000102")
    assert registers(scene, one, CARD).status_code == 200
    refused = problem(registers(scene, other, f"{CARD[:4]} {CARD[4:]}"), 409, "card-refused")
    assert refused["detail"] == problem(registers(scene, other, STRANGERS_CARD), 409, "card-refused")["detail"]
    assert scene.shown(other)["account_ending"] is None
    assert registers(scene, one, CARD).status_code == 200, "the same person may repeat it"


def test_a_refused_card_leaves_the_one_before_it_in_use(scene: Scene) -> None:
    one, other = scene.citizen(), scene.citizen("13800000102")
    scene.registers_account(one)
    scene.registers_account(other)
    problem(registers(scene, other, CARD), 409, "card-refused")
    assert scene.shown(other)["account_ending"] == scene.card_of(other)[-4:]


def test_a_card_that_was_replaced_can_be_named_by_another(scene: Scene) -> None:
    one, other = scene.citizen(), scene.citizen("13800000102")
    for number in (CARD, OTHER_CARD):
        scene.registers_account(one, number)
    scene.time_passes(seconds=1)
    assert registers(scene, other, CARD).status_code == 200
    problem(registers(scene, other, OTHER_CARD), 409, "card-refused")
    assert stored(scene.client, Talent)[0].former_cards == ()


def test_a_card_is_kept_by_its_hash_alone(scene: Scene) -> None:
    person = scene.citizen()
    scene.registers_account(person)
    [card] = stored(scene.client, BankCard)
    assert (card.id, card.holder, card.assurance) == (card_id(scene.city, CARD), person.id, "name")
    assert CARD not in str(card)


def test_whoever_proves_a_card_takes_it_from_somebody_with_the_same_name(scene: Scene) -> None:
    one, owner = scene.talent(DOCTOR), scene.citizen("13800000102")
    scene.port(PayoutBank).set_holder(CARD, CardHolder(NAME, owner.id_number, owner.phone))
    assert registers(scene, owner, CARD, phone=owner.phone).status_code == 200
    problem(registers(scene, one, CARD), 409, "card-refused")
    problem(registers(scene, one, CARD, phone=one.phone), 409, "card-refused")


def test_a_card_that_the_bank_says_nothing_about_does_not_keep_its_owner_from_naming_it(scene: Scene) -> None:
    thief, owner = scene.citizen(), scene.citizen("13800000102")
    scene.port(PayoutBank).database.script_outcomes("check_holder", "lost_before", "refused")
    assert registers(scene, thief, CARD).status_code == 200
    problem(registers(scene, owner, CARD), 409, "card-refused")
    assert registers(scene, owner, CARD).status_code == 200


def test_of_many_people_who_name_a_card_at_once_one_gets_it(scene: Scene) -> None:
    async def name_at_once() -> list[object]:
        names = (keep_card(scene.city, CARD, f"person-{n}", "talent_code", "name") for n in range(16))
        return await asyncio.gather(*names, return_exceptions=True)

    kept = [one for one in scene.call(name_at_once) if isinstance(one, str)]
    assert len(kept) == 1


# ── a changed card waits ──


def test_a_first_card_whose_name_the_bank_confirms_is_paid_at_once(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    assert scene.shown(doctor)["account_usable_from"] is None
    assert scene.claimed(doctor, "monthly_rent")["stage"] == "paid"


def test_a_card_that_replaces_another_one_is_paid_after_three_days(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.registers_account(doctor, OTHER_CARD)
    assert scene.shown(doctor)["account_usable_from"] == "2026-03-05T04:00:00Z"
    claim = scene.claimed(doctor, "monthly_rent")
    assert (claim["stage"], scene.payouts()) == ("granted", [])
    scene.time_passes(days=2, hours=23)
    assert scene.payouts() == []
    scene.time_passes(hours=1)
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert scene.payouts() == [(OTHER_CARD, 2_500)]
    assert scene.shown(doctor)["account_usable_from"] is None


@pytest.mark.parametrize("numbers", [(OTHER_CARD,), (OTHER_CARD, CARD), (OTHER_CARD, OTHER_CARD)])
def test_naming_cards_again_and_again_does_not_shorten_the_wait(scene: Scene, numbers: tuple[str, ...]) -> None:
    doctor = scene.talent(DOCTOR)
    for number in numbers:
        scene.registers_account(doctor, number)
    scene.claimed(doctor, "monthly_rent")
    scene.time_passes(days=2, hours=23)
    assert scene.payouts() == []


def test_a_changed_card_that_the_bank_proves_is_paid_at_once(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).set_holder(OTHER_CARD, CardHolder(NAME, doctor.id_number, doctor.phone))
    scene.registers_account(doctor, OTHER_CARD)
    claim = scene.claimed(doctor, "monthly_rent")
    assert claim["stage"] == "granted"
    scene.registers_account(doctor, OTHER_CARD, phone=doctor.phone)
    scene.time_passes(seconds=5)
    assert scene.claim(doctor, claim)["stage"] == "paid"


def test_a_changed_card_with_a_phone_that_the_bank_does_not_have_is_refused(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).set_holder(OTHER_CARD, CardHolder(NAME, doctor.id_number, "13900139000"))
    problem(registers(scene, doctor, OTHER_CARD, phone=doctor.phone), 409, "card-refused")
    assert scene.shown(doctor)["account_ending"] == CARD[-4:]


def test_a_first_card_that_the_bank_says_nothing_about_waits(scene: Scene) -> None:
    doctor = scene.citizen()
    scene.port(PayoutBank).database.script_outcomes("check_holder", "lost_before")
    scene.registers_account(doctor)
    assert scene.shown(doctor)["account_usable_from"] == "2026-03-05T04:00:00Z"


def test_an_instalment_that_is_due_while_the_card_waits_goes_to_it_later(scene: Scene) -> None:
    from backend.services.talent_code.ports import SocialInsurance

    doctor = scene.talent(DOCTOR, months=6)
    claim = scene.claimed(doctor, "graduate_allowance")
    scene.registers_account(doctor, OTHER_CARD)
    scene.port(SocialInsurance).set_months(doctor.id_number, 12)
    scene.time_passes(days=1)
    assert scene.payouts() == [(CARD, 50_000)]
    scene.time_passes(days=2)
    assert scene.claim(doctor, claim)["stage"] == "paid"
    assert scene.payouts() == [(CARD, 50_000), (OTHER_CARD, 50_000)]
    assert stored(scene.client, Claim)[0].payable_from == NOON + timedelta(days=3)


def test_an_order_that_the_bank_never_received_is_not_sent_to_a_card_that_waits(scene: Scene) -> None:
    doctor = scene.talent(DOCTOR)
    scene.port(PayoutBank).database.script_outcomes("pay_out", "lost_before")
    claim = scene.claimed(doctor, "monthly_rent")
    assert claim["stage"] == "paying"
    scene.registers_account(doctor, OTHER_CARD)
    scene.time_passes(days=2)
    assert scene.payouts() == []
    scene.time_passes(days=2)
    assert scene.payouts() == [(OTHER_CARD, 2_500)]


# ── notices to the person ──


def test_the_person_is_notified_of_a_first_and_of_a_changed_card_once(
    scene: Scene,
) -> None:
    person = scene.citizen()
    for number in (CARD, CARD, OTHER_CARD):
        scene.registers_account(person, number)
        scene.time_passes(seconds=1)
    sent = messages(scene, person)
    assert [text.zh for text in sent] == [
        "您已登记尾号0003的收款银行卡。如非本人操作，请拨打12345。",
        "收款银行卡已变更为尾号0011的卡。如非本人操作，请拨打12345。3月5日12:00起发放。",
    ]
    assert sent[1].en.endswith("call 12345. Paid from 5 March at 12:00.")
