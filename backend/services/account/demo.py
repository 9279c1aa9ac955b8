"""The accounts' part of the demonstration: phones to sign in with, accounts of staff, and ID numbers to report."""

from collections.abc import AsyncIterator, Callable

from backend.city.invented_people import invented_phone
from backend.city.person import document_of, known_person
from backend.city.service import City, Demo, DemoAccounts, DemoOutput, DemoPerson, DemoStaff
from backend.services.account.accounts import find_account, set_roles

_MAX_SEARCHED = 5_000
_MAX_SHOWN = 3
_INVENTED = "99"


async def _people(city: City) -> AsyncIterator[DemoPerson]:
    """Yield the first synthetic people, in the order in which they were created."""
    for number in range(_MAX_SEARCHED):
        phone = invented_phone(number)
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
    return DemoOutput(notes=notes)


demo = Demo(
    staff=[DemoStaff("+8613800000003", "operator", "operator")], accounts=DemoAccounts(_people, set_roles), show=_show
)
