"""Put identity cases into effect: a number passes to another account, or a person is corrected.

Each step may be repeated, so a case that a crash interrupts is completed by the sweep: the number then has one holder.
"""

from collections.abc import Callable

from msgspec.structs import replace

from backend.city.audit_log import new_act, with_act
from backend.city.ended_access import end_access, restore_access
from backend.city.notices import notify
from backend.city.person import Person
from backend.city.service import City
from backend.i18n import Text
from backend.security.identity import IN_PERSON, SIGNED_IN, Caller, access_keys
from backend.services.account.model.account import Account
from backend.services.account.model.identity_case import (
    IDENTITY_OFFICER,
    CaseKind,
    IdentityCase,
    Vote,
    contested,
    decide,
    put_into_effect,
)
from backend.store import Duplicate
from backend.store.due import Due
from backend.store.place import Place
from backend.store.update import update_document

_TAKEN = Text(
    zh="您账户中的证件号码已由本人当面核验并转至其本人的账户，本账户不再显示其信息。如有疑问，请拨打12345。",
    en="Somebody has proved in person that the ID number of your account is theirs, so it has passed to their account. "
    "Your account no longer shows it. If you object, call 12345.",
)
_GIVEN = Text(
    zh="您的证件号码原登记在另一账户，现已转至您的账户。如非您本人操作，请立即拨打12345。",
    en="Your ID number was registered with another account and has passed to yours. If that was not you, call 12345.",
)
_CLAIMED = Text(
    zh="有人当面核验后申请使用您的证件号码，将由两名工作人员核实。如非您本人操作，请立即拨打12345。",
    en="Somebody has proved in person that your ID number is theirs; officers decide. If that was not you, call 12345.",
)
_REFUSED = Text(
    zh="经两名工作人员核实，您的申请未予通过。如有异议，请拨打12345。",
    en="Officers have checked your request about an ID number and refused it. If you object, call 12345.",
)
_CORRECTED = Text(
    zh="您的实名信息已由两名工作人员核对并更正。如有疑问，请拨打12345。",
    en="Two officers have checked and corrected your identity. If you object, call 12345.",
)


async def holder_of(city: City, person: str) -> Account | None:
    """Return the account that has a person, or None."""
    page = await city.store.find(Account, {"citizen_id": person}, limit=1)
    return page.documents[0] if page.documents else None


async def open_case(city: City, case: IdentityCase, caller: Caller | None = None, reason: str = "") -> IdentityCase:
    """Store a case that officers decide, and warn the holder of the number.

    If an officer opens it, that is the first vote. Raises OwnIdentityCase.
    """
    if caller is not None:
        case = await _with_vote(city, case, caller, approves=True, reason=reason)
    if case.holder is not None:
        await notify(city, case.person, f"identity_cases/{case.id}/opened", _CLAIMED)
    return await city.store.insert(case)


async def decide_case(city: City, caller: Caller, case: IdentityCase, *, approves: bool, reason: str) -> IdentityCase:
    """Store the vote of an officer; the second to approve puts it into effect. Raises as `decide`."""
    decided = await city.store.replace(await _with_vote(city, case, caller, approves=approves, reason=reason))
    if decided.state == "refused":
        await notify(city, decided.account, f"identity_cases/{decided.id}", _REFUSED)
    return await settle_case(city, decided)


async def _with_vote(city: City, case: IdentityCase, caller: Caller, *, approves: bool, reason: str) -> IdentityCase:
    assert caller.citizen_id is not None, "officers have proved in person who they are"
    sealed = city.encryption.encrypt(reason, Place.of(IdentityCase, case.id, "votes"))
    vote = Vote(caller.account_id, caller.citizen_id, approves, sealed, city.now())
    action = "account.identity_approved" if approves else "account.identity_refused"
    hashed = city.encryption.digest("reason", reason)
    act = new_act(city, caller, IDENTITY_OFFICER, action, case.id, hashed, person=case.person)
    return with_act(decide(case, vote, await _concerned(city, case)), act)


async def _concerned(city: City, case: IdentityCase) -> frozenset[str]:
    """Return the ids of all people and accounts whom a case is about."""
    ids = [account_id for account_id in (case.account, case.holder) if account_id is not None]
    accounts = await city.store.get_many(Account, ids)
    people = [account.citizen_id for account in accounts.values() if account.citizen_id is not None]
    return frozenset((case.person, *ids, *people))


APPROVED_CASES = Due(IdentityCase, "due_ms")
"""The approved cases that a crash kept from being put into effect."""


async def settle_case(city: City, case: IdentityCase) -> IdentityCase:
    """Put an approved case into effect, and return it. One that another proof has made contestable is open again."""
    if case.state != "approved":
        return case
    if case.name is not None:
        await _rename(city, case, city.encryption.read(case, "name"))
    if case.kind is not CaseKind.NAME and not await _pass_number(city, case):
        return await _update(city, case, contested)
    await notify(city, case.person, f"identity_cases/{case.id}", _GIVEN if case.holder else _CORRECTED)
    return await _update(city, case, put_into_effect)


async def _rename(city: City, case: IdentityCase, name: str) -> None:
    def renamed(person: Person) -> Person:
        if person.name is not None and city.encryption.read(person, "name") == name:
            return person
        return replace(person, name=city.encryption.encrypt(name, Place.of(Person, person.id, "name")))

    await update_document(city.store, lambda: city.store.get(Person, case.person), renamed)


async def _pass_number(city: City, case: IdentityCase) -> bool:
    """Detach the number from its holder and attach it; return False if another account proves it in person now."""
    while True:
        holder = await holder_of(city, case.person)
        if holder is not None and holder.id != case.account:
            if not case.votes and is_rival(holder):
                return False
            await _detach(city, case, holder)
        try:
            await _attach(city, case)
        except Duplicate:
            continue  # another account proved the number meanwhile
        return True


def is_rival(holder: Account) -> bool:
    """Return whether an account proves its number as well as a person who is present can."""
    return holder.level >= IN_PERSON and holder.phone is not None


async def _detach(city: City, case: IdentityCase, holder: Account) -> None:
    """Take the number from its holder, whose tokens no longer open the person's record."""
    await notify(city, holder.id, f"identity_cases/{case.id}", _TAKEN)

    def without_person(account: Account) -> Account:
        return account if account.citizen_id != case.person else replace(account, citizen_id=None, level=SIGNED_IN)

    await end_access(city, _access_key(holder.id, case.person))  # first: only an account that has the number is found
    await update_document(city.store, lambda: city.store.get(Account, holder.id), without_person)


async def _attach(city: City, case: IdentityCase) -> None:
    account = await city.store.get(Account, case.account)
    if account is not None and account.citizen_id not in (None, case.person):
        await end_access(city, _access_key(account.id, account.citizen_id))

    def with_person(account: Account) -> Account:
        level = IN_PERSON if case.kind is CaseKind.TAKEOVER else account.level
        return account if account.citizen_id == case.person else replace(account, citizen_id=case.person, level=level)

    await restore_access(city, _access_key(case.account, case.person))
    await update_document(city.store, lambda: city.store.get(Account, case.account), with_person)


def _access_key(account_id: str, person: str | None) -> str:
    return access_keys(account_id, "", person)[1]


async def _update(city: City, case: IdentityCase, change: Callable[[IdentityCase], IdentityCase]) -> IdentityCase:
    updated = await update_document(
        city.store,
        lambda: city.store.get(IdentityCase, case.id),
        lambda found: change(found) if found.state == "approved" else found,
        case,
    )
    assert updated is not None, "no case is deleted before it is done"
    return updated
