"""The accounts' part of the demonstration: phones to sign in with, and accounts of staff."""

from collections.abc import AsyncIterator

from backend.city.service import City, Demo, DemoAccounts, DemoPerson, DemoStaff
from backend.services.account.accounts import find_account, set_roles
from backend.services.account.synthetic import synthetic_phone

_MAX_SEARCHED = 5_000


async def _people(city: City) -> AsyncIterator[DemoPerson]:
    """Yield the first synthetic people, in the order in which they were created."""
    for number in range(_MAX_SEARCHED):
        phone = synthetic_phone(number)
        account = await find_account(city, phone)
        if account is None or account.citizen_id is None:
            return
        yield DemoPerson(phone.removeprefix("+86"), account.citizen_id)


demo = Demo(staff=[DemoStaff("+8613800000003", "operator", "operator")], accounts=DemoAccounts(_people, set_roles))
