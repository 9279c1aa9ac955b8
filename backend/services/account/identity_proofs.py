"""Prove who an account belongs to, by the registers, and let the number pass from an account that proves less."""

import secrets
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from backend.city.audit_log import Act, with_act
from backend.city.id_number import IdentityDocument
from backend.city.name import parse_name
from backend.city.person import Person, document_of, find_or_create_person, find_person, known_person
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, answer_required, with_timeout
from backend.security.admission import too_many_requests
from backend.security.identity import IN_PERSON, SIGNED_IN, VERIFIED
from backend.services.account.devices import record_use
from backend.services.account.identity_cases import is_rival, open_case, settle_case
from backend.services.account.model.account import Account
from backend.services.account.model.identity import (
    ClaimedIdentity,
    check_id_details,
    count_proof,
    identity_already_verified,
    identity_not_proved,
    is_verified,
    seconds_until_proof,
)
from backend.services.account.model.identity_case import CaseKind, IdentityCase, approve_at_once
from backend.services.account.model.phone import is_empty
from backend.services.account.model.session import Session, session_ended
from backend.services.account.phones import move_phone, release_phone
from backend.services.account.ports import Identity, IdentityProofing, Presence
from backend.store import Duplicate
from backend.store.place import Place
from backend.store.time import to_ms
from backend.store.update import update_document

MAX_RACES = 5
"""Two accounts that prove one number at the same instant are distinguished by trying again."""


class Proof(Struct, frozen=True):
    """How an identity is proved: by the registers, or in person if `presence` shows it.

    With `recover`, a face opens the account that has proved the same number in person before.
    """

    presence: Presence | None = None
    recover: bool = False


class Proved(Struct, frozen=True):
    """The account and the session after a proof. `case` is open if two officers must decide whose the number is."""

    account: Account
    session: Session
    case: IdentityCase | None = None


async def prove_identity(city: City, session: Session, claimed: ClaimedIdentity, proof: Proof) -> Proved:
    """Prove that the person in a session is the one whom they claim to be.

    Raises IdentityMismatch, IdentityAlreadyVerified, IdentityNotProved, TooManyRequests and UpstreamUnavailable.
    A proof that fails leaves no record of the person, and takes the same steps for any number.
    """
    check_id_details(claimed.document, claimed, city.today())
    presence = proof.presence
    account = await _count_proof(city, session.account_id)
    await _check_own(city, account, session, claimed, presence)
    proves = await _ask_registers(city, account, claimed, presence)
    for _ in range(MAX_RACES):
        person, holder = await _holder(city, claimed.document)
        if not proves or not _may_take(account, holder, presence):
            raise identity_not_proved()
        try:
            named = await _named_person(city, claimed, person)
            if proof.recover and holder is not None and holder.id != account.id and holder.level >= IN_PERSON:
                return await _recover(city, session, account, holder)
            return await _give(city, session, account, holder, named, presence)
        except Duplicate:
            continue  # another account proved the same number at the same time
    raise identity_not_proved()


async def _count_proof(city: City, account_id: str) -> Account:
    now = city.now()

    def counted(account: Account) -> Account:
        wait = seconds_until_proof(account, now)
        if wait:
            raise too_many_requests(wait)
        return count_proof(account, now)

    account = await update_document(city.store, lambda: city.store.get(Account, account_id), counted)
    if account is None:
        raise session_ended()
    return account


async def _check_own(
    city: City, account: Account, session: Session, claimed: ClaimedIdentity, presence: Presence | None
) -> None:
    """Check that a verified account proves the same person. Raises IdentityAlreadyVerified and IdentityMismatch.

    In person, a name that the register has changed is proved as well. A caller with only the phone of the account
    learns nothing of its person: their proof fails.
    """
    if not is_verified(account) or account.citizen_id is None:
        return
    person = await known_person(city.store, account.citizen_id)
    is_same = document_of(city.encryption, person) == claimed.document
    if presence is None and person.name is not None:
        is_same = is_same and _name_of(city, person) == claimed.name
    if not is_same:
        raise identity_not_proved() if session.max_level == SIGNED_IN else identity_already_verified()
    check_id_details(person, claimed, city.today())


async def _ask_registers(city: City, account: Account, claimed: ClaimedIdentity, presence: Presence | None) -> bool:
    """Return whether the registers confirm the claim. Raises UpstreamUnavailable."""
    phone = None if account.phone is None else city.encryption.read(account, "phone")
    identity = Identity(claimed.name, str(claimed.document), phone)
    port = city.port(IdentityProofing)
    answer = port.agrees(identity) if presence is None else port.is_present(identity, presence)
    with answer_required(
        zh="身份核验系统暂时没有响应，请稍后再试。",
        en="The registers that confirm identities do not answer; try again later.",
    ):
        try:
            return await with_timeout(answer)
        except UpstreamRejected:
            return False


async def _holder(city: City, document: IdentityDocument) -> tuple[Person | None, Account | None]:
    """Return the person with a document and the account that has it now; the same is read if there is neither."""
    person = await find_person(city.store, city.encryption, document)
    page = await city.store.find(Account, {"citizen_id": "" if person is None else person.id}, limit=1)
    return person, page.documents[0] if page.documents else None


def _may_take(account: Account, holder: Account | None, presence: Presence | None) -> bool:
    """Return whether a proof may concern a number that `holder` has; between two of level 3, officers decide."""
    return holder is None or holder.id == account.id or presence is not None


async def _named_person(city: City, claimed: ClaimedIdentity, person: Person | None) -> Person:
    """Return the person who was proved, with the name of the register. Raises IdentityMismatch."""
    if person is None:
        person = await find_or_create_person(city.store, city.encryption, claimed.document, city.now())
    check_id_details(person, claimed, city.today())
    is_named = person.name is not None and _name_of(city, person) == claimed.name
    named = replace(
        person,
        name=person.name if is_named else city.encryption.encrypt(claimed.name, Place.of(Person, person.id, "name")),
        sex=person.sex or claimed.sex,
        born_on=person.born_on or claimed.born_on,
    )
    return person if named == person else await city.store.replace(named)


def _name_of(city: City, person: Person) -> str:
    assert person.name is not None, "the caller has looked"
    return parse_name(city.encryption.read(person, "name"))


async def _give(
    city: City, session: Session, account: Account, holder: Account | None, person: Person, presence: Presence | None
) -> Proved:
    """Give a proved person to an account, at once or by a case. Raises Duplicate if another account was faster."""
    if holder is None or holder.id == account.id:
        level = VERIFIED if presence is None else IN_PERSON
        known = account.level if is_verified(account) else VERIFIED
        face = presence is not None and presence.method == "face"
        phone_since = account.phone_since if face else city.now()  # the carrier has just said whose the phone is
        proved = replace(
            account, citizen_id=person.id, level=max(level, known), phone_since=phone_since, is_disputed=False
        )
        account = await city.store.replace(proved)
    else:
        case = await _open_case(city, account, holder, person)
        if case.state == "open" or (case := await settle_case(city, case)).state == "open":
            return Proved(account, session, case)
        settled = await city.store.get(Account, account.id)
        assert settled is not None, "it was just given the number"
        account = settled
    return await _raise_session(city, session, account, presence)


async def _recover(city: City, session: Session, account: Account, holder: Account) -> Proved:
    """Move the phone and the session of a fresh account to the account that the same person has proved before.

    A crash on the way leaves the session with the old account, which can still change its phone.
    """
    if not is_empty(account) or account.phone is None:
        raise identity_already_verified()
    phone = city.encryption.read(account, "phone")
    moved = await _update_session(city, session, lambda found: replace(found, account_id=holder.id))
    await release_phone(city, phone)
    recovered = await move_phone(city, holder, phone, session.id)
    return await _raise_session(city, moved, recovered, Presence("face", ""))


async def _raise_session(city: City, session: Session, account: Account, presence: Presence | None) -> Proved:
    """Let a session open what was just proved in it."""
    level = VERIFIED if presence is None else IN_PERSON
    proved_at = session.proved_at if presence is None else city.now()
    raised = await _update_session(
        city,
        session,
        lambda found: replace(found, max_level=max(level, found.max_level), proved_at=proved_at),
    )
    return Proved(await record_use(city, account, raised.device), raised)


async def _update_session(city: City, session: Session, change: Callable[[Session], Session]) -> Session:
    """Change a session. Raises SessionEnded."""
    changed = await update_document(city.store, lambda: city.store.get(Session, session.id), change, session)
    if changed is None:
        raise session_ended()
    return changed


async def _open_case(city: City, account: Account, holder: Account, person: Person) -> IdentityCase:
    """Store the case of a number that another account has; it needs no officer if that account proves less."""
    now = city.now()
    open_cases = await city.store.find(IdentityCase, {"account": account.id, "state": "open"}, limit=10)
    for case in open_cases.documents:
        if case.person == person.id and case.kind is CaseKind.TAKEOVER:
            return case
    case = IdentityCase(
        id=secrets.token_urlsafe(12),
        kind=CaseKind.TAKEOVER,
        account=account.id,
        person=person.id,
        holder=holder.id,
        opened_ms=to_ms(now),
    )
    if is_rival(holder):
        return await open_case(city, case)
    act = Act(
        id=secrets.token_urlsafe(12),
        at=now,
        action="account.number_taken",
        account=account.id,
        role="citizen",
        about=person.id,
        reason="proved in person",
        person=person.id,
    )
    return await city.store.insert(with_act(approve_at_once(case), act))
