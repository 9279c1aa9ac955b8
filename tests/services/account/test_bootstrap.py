"""The first two operators are entered once, and no kill leaves an act without its entry or an entry without its act."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.service import City
from backend.security.identity import Caller
from backend.services.account.accounts import find_or_create_account
from backend.services.account.bootstrap import BootstrapRefused, bootstrap_operators
from backend.services.account.model.account import Account
from backend.services.account.model.staff import ROSTER, Grant, LastOperators, OperatorRoster, OwnGrant
from backend.services.account.staff import approve_grant, list_staff, propose_grant, withdraw_grant
from tests.conftest import SignIn
from tests.services.killing import Killed, KillingStore

Client = TestClient[Litestar]
FIRST, SECOND, THIRD = "+8613800000003", "+8613800000006", "+8613800000009"
ZHANG = "+8613912345678"


def run(client: Client, work: Callable[[City], Awaitable[object]]) -> object:
    assert client.blocking_portal is not None
    return client.blocking_portal.call(work, client.app.state.city)


def first_two(city: City) -> Awaitable[None]:
    return bootstrap_operators(city, FIRST, SECOND)


def operators(client: Client) -> list[Account]:
    return run(client, lambda city: list_staff(city, "operator", None, None)).documents  # type: ignore[attr-defined]


def test_the_first_two_operators_are_entered_before_they_sign_in(client: Client, sign_in: SignIn) -> None:
    run(client, first_two)
    assert [one.roles for one in operators(client)] == [("operator",)] * 2
    headers = sign_in("13800000003")
    assert client.get("/v1/me", headers=headers).json()["roles_waiting"] == ["operator"]
    assert client.get("/v1/staff", headers=headers).status_code == 403


def test_it_works_once(client: Client) -> None:
    run(client, first_two)
    for phones in ((FIRST, SECOND), (ZHANG, THIRD)):
        with pytest.raises(BootstrapRefused, match="entered before"):
            run(client, lambda city, phones=phones: bootstrap_operators(city, *phones))
    assert len(operators(client)) == 2


def test_a_city_that_has_an_operator_is_refused(client: Client) -> None:
    async def enter(city: City) -> None:
        account = await find_or_create_account(city, ZHANG)
        await city.store.replace(replace(account, roles=("operator",), staff_since_ms=1))

    run(client, enter)
    with pytest.raises(BootstrapRefused, match="has an operator already"):
        run(client, first_two)


def test_the_only_operator_of_an_earlier_edition_gets_a_second(client: Client) -> None:
    async def enter(city: City) -> None:
        account = await find_or_create_account(city, SECOND)
        await city.store.replace(replace(account, roles=("operator",), staff_since_ms=1))

    run(client, enter)
    run(client, first_two)
    assert [one.roles for one in operators(client)] == [("operator",)] * 2
    with pytest.raises(BootstrapRefused, match="entered before"):
        run(client, first_two)


def test_two_operators_of_an_earlier_edition_get_no_others(client: Client) -> None:
    async def enter(city: City) -> None:
        for phone in (FIRST, THIRD):
            account = await find_or_create_account(city, phone)
            await city.store.replace(replace(account, roles=("operator",), staff_since_ms=1))

    run(client, enter)
    with pytest.raises(BootstrapRefused, match="has operators already"):
        run(client, first_two)


def test_the_first_two_are_two_people(client: Client) -> None:
    with pytest.raises(BootstrapRefused, match="two people"):
        run(client, lambda city: bootstrap_operators(city, FIRST, "138 0000 0003"))


def test_of_runs_at_the_same_time_one_wins(client: Client) -> None:
    async def race(city: City) -> list[object]:
        pairs = [(FIRST, SECOND), (FIRST, SECOND), (THIRD, ZHANG), (SECOND, THIRD)]
        return await asyncio.gather(*(bootstrap_operators(city, *pair) for pair in pairs), return_exceptions=True)

    outcomes = run(client, race)
    assert isinstance(outcomes, list)
    assert [one for one in outcomes if not isinstance(one, BootstrapRefused)] == [None]
    assert len(operators(client)) == 2


# ── kills ──


async def killed_everywhere(
    city: City, work: Callable[[City], Awaitable[object]], check: Callable[[], Awaitable[None]]
) -> int:
    """Run `work` again and again, killed before and after each of its writes, until it ends; check after each."""
    store = KillingStore(city.store)
    dying = replace(city, store=store)
    for write in range(20):
        for after in (False, True):
            store.countdown, store.after = write, after
            try:
                await work(dying)
            except Killed:
                await check()
            except (BootstrapRefused, OwnGrant):
                pass
            else:
                await check()
        if store.countdown is not None:
            break
    store.countdown = None
    return store.kills


async def assert_acts_and_roles_agree(city: City, phones: Sequence[str]) -> None:
    """Check that an account has a role exactly if it has the act that gave it, and none that took it away since."""
    for phone in phones:
        account = await find_or_create_account(city, phone)
        given = {"account.operator_entered": 1, "account.grant_approved": 1, "account.roles_withdrawn": 0}
        changes = [given[act.action] for act in account.acts if act.action in given]
        assert bool(account.roles) == bool(changes and changes[-1]), account
        assert len(account.proposals) == len([a for a in account.acts if a.action == "account.grant_proposed"]) - sum(
            act.action == "account.grant_approved" for act in account.acts
        )
        assert (account.acts_due_ms is None) == (account.acts == ())


def test_a_kill_at_any_write_of_the_first_operators_leaves_acts_and_roles_together(client: Client) -> None:
    async def scenario(city: City) -> None:
        check = partial(assert_acts_and_roles_agree, city, (FIRST, SECOND))
        assert await killed_everywhere(city, first_two, check) > 0
        roster = await city.store.get(OperatorRoster, ROSTER)
        assert roster is not None
        assert roster.complete
        assert [act.action for act in roster.acts] == ["account.operators_bootstrapped"]
        for account_id in roster.operators:
            account = await city.store.get(Account, account_id)
            assert account is not None
            assert [act.action for act in account.acts] == ["account.operator_entered"]

    run(client, scenario)


def test_a_kill_at_any_write_of_a_grant_leaves_acts_and_roles_together(client: Client) -> None:
    async def scenario(city: City) -> None:
        callers = [Caller(f"account-{name}", "s", f"person-{name}", ("operator",)) for name in ("anna", "ben")]
        for roles in (("gate",), ("operator",)):
            grant = Grant(roles)
            phone = ZHANG if roles == ("gate",) else THIRD
            check = partial(assert_acts_and_roles_agree, city, (phone,))

            async def propose(city: City, phone: str = phone, grant: Grant = grant) -> None:
                await propose_grant(city, callers[0], phone, grant, "入职")

            assert await killed_everywhere(city, propose, check) > 0
            account = await find_or_create_account(city, phone)
            proposal = account.proposals[0].id

            async def approve(city: City, proposal: str = proposal, account_id: str = account.id) -> None:
                found = await city.store.get(Account, account_id)
                if found is not None and found.proposals:
                    await approve_grant(city, callers[1], proposal)

            assert await killed_everywhere(city, approve, check) > 0

            async def withdraw(city: City, account_id: str = account.id, grant: Grant = grant) -> None:
                await withdraw_grant(city, callers[1], account_id, grant, "离职")

            if roles == ("gate",):
                assert await killed_everywhere(city, withdraw, check) > 0

    run(client, scenario)


def test_of_withdrawals_at_the_same_time_two_operators_remain(client: Client, sign_in: SignIn) -> None:
    for phone in (FIRST, SECOND, THIRD):
        sign_in(phone, roles=["operator"])
    anna, ben, clara = operators(client)
    callers = [Caller(one.id, "s", one.citizen_id, one.roles) for one in (anna, ben, clara)]

    async def race(city: City) -> list[object]:
        grant = Grant(("operator",))
        pairs = [(callers[0], ben), (callers[1], clara), (callers[2], anna)]
        work = [withdraw_grant(city, caller, one.id, grant, "离职") for caller, one in pairs]
        return await asyncio.gather(*work, return_exceptions=True)

    outcomes = run(client, race)
    assert isinstance(outcomes, list)
    assert sum(isinstance(one, LastOperators) for one in outcomes) == 2
    assert len(operators(client)) == 2
