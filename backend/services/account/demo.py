"""The accounts' part of the demonstration: phones to sign in with, accounts of staff, and ID numbers to report."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import date

from msgspec.structs import replace
from stdnum.cn import ric  # pyright: ignore[reportMissingTypeStubs]  untyped library

from backend.city.id_number import parse_id_number
from backend.city.invented_people import (
    MAX_PEOPLE,
    invented_face,
    invented_id_number,
    invented_name,
    phone_of_place,
)
from backend.city.person import document_of, find_or_create_person, known_person
from backend.city.service import City, Demo, DemoAccounts, DemoOutput, DemoPerson, DemoStaff
from backend.security.identity import IN_PERSON
from backend.services.account.accounts import find_account, find_or_create_account
from backend.services.account.model.account import Account, parse_phone
from backend.services.account.model.staff import OPERATOR, ROSTER, OperatorRoster, with_operator
from backend.store.time import to_ms
from backend.store.update import create_or_update, update_document

_MAX_SEARCHED = 5_000
_MAX_SHOWN = 3
_INVENTED = "99"
_BORN_ON = date(1990, 3, 7)


async def _people(city: City) -> AsyncIterator[DemoPerson]:
    """Yield the first synthetic people, in the order in which they were created."""
    for number in range(_MAX_SEARCHED):
        phone = phone_of_place(number)
        account = await find_account(city, phone)
        if account is None or account.citizen_id is None:
            return
        yield DemoPerson(phone.removeprefix("+86"), account.citizen_id)


async def _show(city: City, people: Callable[[], AsyncIterator[DemoPerson]]) -> DemoOutput:
    """Show some invented ID numbers; others are never shown."""
    notes = ["\nInvented ID numbers, for what hospitals and officers report:\n"]
    async for person in people():
        number = document_of(city.encryption, await known_person(city.store, person.citizen_id)).number
        if number.startswith(_INVENTED):
            notes.append(f"  {number}  {person.phone}")
        if len(notes) > _MAX_SHOWN:
            break
    await _prove_people(city)
    return DemoOutput(notes=[*notes, *_two_requests()])


async def _prove_people(city: City) -> None:
    """Prove the people of a city that was invented before identities were proved."""
    for place in range(MAX_PEOPLE):
        account = await find_account(city, phone_of_place(place))
        if account is None or account.citizen_id is None or account.level >= IN_PERSON:
            return
        await city.store.replace(replace(account, level=IN_PERSON))


def _two_requests() -> list[str]:
    """Return the requests by which a fresh phone gets to the third level, as somebody who has no account yet."""
    number = invented_id_number(MAX_PEOPLE - 1, "female", _BORN_ON)
    identity = {"name": invented_name(number), "id_number": number}
    face = identity | {"method": "face", "evidence": invented_face(number)}
    return [
        "\nWith any other phone, these requests prove an invented identity (level 2, then level 3):\n",
        f"  PUT /v1/me/real-name {json.dumps(identity, ensure_ascii=False)}",
        f"  POST /v1/me/identity-proofs {json.dumps(face, ensure_ascii=False)}",
    ]


async def enter_demo_staff(
    city: City, phone: str, roles: tuple[str, ...], venues: tuple[str, ...] = ()
) -> Account | None:
    """Enter an invented member of staff, whose identity is proved in person, with exactly these roles and venues.

    Returns None, and enters nobody, in a city that has real operators.
    """
    phone = parse_phone(phone, city.settings.phone_region)
    account = await find_or_create_account(city, phone)
    joining = account.id if OPERATOR in roles else None
    empty = OperatorRoster(id=ROSTER, operators=(), demonstration=True)

    def entered(roster: OperatorRoster) -> OperatorRoster:
        return roster if joining is None or not roster.demonstration else with_operator(roster, joining)

    if not (await create_or_update(city.store, empty, entered)).demonstration:
        return None
    citizen_id = account.citizen_id or await _invented_person(city, phone)

    def granted(account: Account) -> Account:
        since_ms = account.staff_since_ms or to_ms(city.now())
        return replace(
            account, citizen_id=citizen_id, level=IN_PERSON, roles=roles, venues=venues, staff_since_ms=since_ms
        )

    return await update_document(city.store, lambda: city.store.get(Account, account.id), granted)


async def _invented_person(city: City, phone: str) -> str:
    """Return the id of the invented person of a phone, born on 1 March 1980."""
    body = f"{_INVENTED}{phone[-7:-3]}19800301{phone[-3:]}"
    number = parse_id_number(body + str(ric.calc_check_digit(body + "0")), city.today())  # pyright: ignore[reportUnknownMemberType]  untyped library
    return (await find_or_create_person(city.store, city.encryption, number, city.now())).id


demo = Demo(
    staff=[
        DemoStaff("+8613800000003", "operator", "operator"),
        DemoStaff("+8613800000006", "operator", "operator"),
        DemoStaff("+8613800000007", "auditor", "auditor"),
    ],
    accounts=DemoAccounts(_people, enter_demo_staff),
    show=_show,
)
