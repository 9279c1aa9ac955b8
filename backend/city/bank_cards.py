"""Bank cards that people name for payouts: each belongs to one person, in all services, and its holder must fit.

A card is a document whose id is the keyed hash of its number, so two people cannot name it at once. It is written
before the service's own document names it, and released after another card is named there. A crash between the two
leaves a card with the person who named it, who may name it again.
"""

from datetime import datetime
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from backend.city.person import Person, document_of
from backend.city.service import City
from backend.city.upstream import UpstreamRejected, UpstreamTimeout, with_timeout
from backend.problems import NotAllowed, Problem
from backend.store import Document, Index
from backend.store.retention import Retention
from backend.store.update import create_or_update, retry_on_conflict

Assurance = Literal["none", "name", "proved"]
"""What the bank has confirmed, ascending: nothing yet; the holder's name; also their ID number and phone."""

NAME_DIFFERS = "the holder's name differs"
"""The reason of a bank's answer that the name sent with a transfer is not that of the account."""


class CardRefused(Problem):
    """The card is not in the person's name, or somebody else named it. It is not told which, nor whose it is."""

    status, title, title_zh = 409, "Bank card refused", "银行卡不可用"


class CardHolder(Struct, frozen=True):
    """The holder of a card as the city knows them. With ID number and phone, the bank checks all four factors."""

    name: str
    id_number: str | None = None
    phone: str | None = None


HolderCheck = Literal["fits", "differs", "unknown"]


@runtime_checkable
class CardVerifyingBank(Protocol):
    """A bank that knows who holds a card."""

    async def check_holder(self, account: str, holder: CardHolder) -> HolderCheck:
        """Compare all given factors with those of the account's holder, without telling which of them differs.

        `unknown`: the bank of the account does not say. Raises UpstreamTimeout or UpstreamRejected.
        """
        ...


class BankCard(Document, kw_only=True):
    """A card that `holder`, the id of a person or firm, named in `services`; its `id` is the hash of its number."""

    collection: ClassVar[str] = "bank_cards"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("holder",)),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each bank card that is registered",
        ends="once its holder registers another one, or closes their account",
        names="a person",
    )

    holder: str
    named_at: datetime
    services: tuple[str, ...] = ()
    assurance: Assurance = "none"


def card_id(city: City, number: str) -> str:
    """Return the id of the card with a number."""
    return city.encryption.digest("bank-card", number)


async def verify_card(city: City, bank: CardVerifyingBank, person: Person, number: str, phone: str | None) -> Assurance:
    """Return what the bank confirms about a person's card. With a phone, all four factors must fit.

    A bank that does not answer confirms nothing. Raises CardRefused if a factor differs, or NotAllowed if the person's
    name is not verified.
    """
    if person.name is None:
        raise NotAllowed(zh="请先完成实名认证。", en="Verify your identity first.")
    holder = CardHolder(city.encryption.read(person, "name"))
    if phone is not None:
        holder = replace(holder, id_number=document_of(city.encryption, person).number, phone=phone)
    try:
        check = await with_timeout(bank.check_holder(number, holder))
    except (UpstreamTimeout, UpstreamRejected):
        check = "unknown"
    if check == "differs":
        raise card_refused()
    if check == "unknown":
        return "none"
    return "name" if phone is None else "proved"


async def keep_card(city: City, number: str, holder: str, service: str, assurance: Assurance = "none") -> str:
    """Let a card belong to `holder`, and return its id. Safe to repeat.

    A card of somebody else is taken over if the bank confirms more about this holder than about that one: naming the
    card of others keeps nobody from naming their own. Raises CardRefused.
    """
    now = city.now()

    def keep(card: BankCard) -> BankCard:
        if card.holder != holder:
            if _rank(assurance) <= _rank(card.assurance):
                raise card_refused()
            return replace(card, holder=holder, named_at=now, services=(service,), assurance=assurance)
        known = service in card.services
        if known and _rank(assurance) <= _rank(card.assurance):
            return card
        services = card.services if known else (*card.services, service)
        return replace(card, services=services, assurance=max(assurance, card.assurance, key=_rank))

    new = BankCard(id=card_id(city, number), holder=holder, named_at=now)
    return (await create_or_update(city.store, new, keep)).id


async def release_card(city: City, card: str, holder: str, service: str) -> None:
    """Let others name a card that its holder no longer uses in any service. Safe to repeat."""

    async def release() -> None:
        found = await city.store.get(BankCard, card)
        if found is None or found.holder != holder:
            return
        others = tuple(one for one in found.services if one != service)
        if others:
            await city.store.replace(replace(found, services=others))
        else:
            await city.store.delete(found)

    await retry_on_conflict(release)


async def payee_name(city: City, person_id: str) -> str:
    """Return the name that goes to the bank with a payout. Raises UpstreamRejected while it is not verified.

    It is read for each payout and not copied when the card is registered: a number that passed to its owner, or a name
    that was corrected since, must not be paid to a card in the former name.
    """
    person = await city.store.get(Person, person_id)
    if person is None or person.name is None:
        raise UpstreamRejected("the payee's name is not verified")
    return city.encryption.read(person, "name")


def card_refused() -> CardRefused:
    """Return the Problem of a card that is not the person's own; its text is the same for every reason."""
    return CardRefused(
        zh="该银行卡不能登记。户名、证件号码和预留手机号须与您本人的一致，且每张卡只能由一人登记。请核对后重试，或换用本人的"
        "另一张银行卡。",
        en="This bank card cannot be registered. Its holder must be you, with your name, ID number and phone at the "
        "bank, and each card can be registered by one person only. Check it, or use another card of your own.",
    )


def _rank(assurance: Assurance) -> int:
    return get_args(Assurance).index(assurance)
