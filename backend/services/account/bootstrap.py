"""Enter the first two operators of a city, once, on one of its machines.

The roster of operators is the claim: of several runs on several machines one inserts it. A run that was interrupted is
resumed by the same command.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from backend.city.audit_log import city_act, with_act
from backend.city.service import City
from backend.services.account.accounts import find_account, find_or_create_account
from backend.services.account.model.account import Account, parse_phone
from backend.services.account.model.staff import OPERATOR, ROSTER, OperatorRoster, exclusive_pair
from backend.services.account.staff import STAFF
from backend.store import Duplicate
from backend.store.paging import find_all
from backend.store.time import to_ms
from backend.store.update import update_document


class BootstrapRefused(Exception):
    """The first two operators cannot be entered. The message says why and what to do."""


async def bootstrap_operators(city: City, first: str, second: str) -> None:
    """Make the holders of two phones the first operators; their role is in force once their identity is proved.

    Raises BootstrapRefused or InvalidPhone.
    """
    phones = [parse_phone(phone, city.settings.phone_region) for phone in (first, second)]
    if phones[0] == phones[1]:
        raise BootstrapRefused("the first two operators are two people: give two phones")
    await _refuse_present_operators(city, phones)
    accounts = [await find_or_create_account(city, phone) for phone in phones]
    pair = next(
        (found for one in accounts if (found := exclusive_pair((*one.roles, OPERATOR), city.exclusive_roles))), None
    )
    if pair is not None:
        raise BootstrapRefused(f"an account has a role already: nobody may be {' and '.join(pair)} at once")
    roster = await _claim(city, tuple(sorted(one.id for one in accounts)))
    for account_id in roster.operators:
        await _enter(city, account_id)
    await update_document(city.store, partial(city.store.get, OperatorRoster, ROSTER), _completed)


async def _refuse_present_operators(city: City, phones: Sequence[str]) -> None:
    """Refuse a city with operators, unless an interrupted run has entered them.

    The only operator of a city of an earlier edition, who can grant nothing alone, may be one of the two.
    """
    roster = await city.store.get(OperatorRoster, ROSTER)
    if roster is not None:
        if roster.complete:
            raise _bootstrapped()
        return
    present = {one.id async for one in find_all(city.store, Account, {}, STAFF) if OPERATOR in one.roles}
    if len(present) > 1:
        raise BootstrapRefused("the city has operators already: they propose and approve all other grants")
    named = {one.id for phone in phones if (one := await find_account(city, phone)) is not None}
    if not present <= named:
        raise BootstrapRefused("the city has an operator already: give their phone as one of the two")


async def _claim(city: City, operators: tuple[str, ...]) -> OperatorRoster:
    """Return the roster of the first operators, after storing it if there is none."""
    roster = OperatorRoster(id=ROSTER, operators=operators, complete=False)
    with suppress(Duplicate):
        return await city.store.insert(with_act(roster, city_act("account.operators_bootstrapped", ROSTER, city.now())))
    found = await city.store.get(OperatorRoster, ROSTER)
    if found is None or found.complete:
        raise _bootstrapped()
    if found.operators != operators:
        raise BootstrapRefused("a run for other phones has begun: repeat the command with the phones of that run")
    return found


async def _enter(city: City, account_id: str) -> None:
    def entered(account: Account) -> Account:
        if OPERATOR in account.roles:
            return account
        since_ms = account.staff_since_ms or to_ms(city.now())
        changed = replace(account, roles=(*account.roles, OPERATOR), staff_since_ms=since_ms)
        return with_act(changed, city_act("account.operator_entered", account.id, city.now()))

    await update_document(city.store, lambda: city.store.get(Account, account_id), entered)


def _completed(roster: OperatorRoster) -> OperatorRoster:
    """Return the roster as complete. Raises BootstrapRefused if another run has completed it."""
    if roster.complete:
        raise _bootstrapped()
    return replace(roster, complete=True)


def _bootstrapped() -> BootstrapRefused:
    return BootstrapRefused(
        "the first operators of this city were entered before; operators propose and approve others"
    )
