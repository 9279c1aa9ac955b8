"""What a pay-later service holds on a person, and what must be settled before they close their account."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from msgspec import Struct

from backend.city.personal_data import naming_person, of_person, once_settled
from backend.city.service import City, OpenMatter, PersonalData, PersonalRecords, Subject
from backend.i18n import Text, yuan
from backend.paylater.account import Account, close_account
from backend.paylater.bill import Billable
from backend.paylater.family import FamilyConsent
from backend.paylater.problems import NotEnrolled, OutstandingBalance
from backend.store.paging import find_all

PAYMENTS = Text(
    zh="交易记录须依反洗钱法等规定保存。",
    en="The law on money laundering, among others, requires records of transactions to be kept.",
)


class PayLaterRecords(Struct, frozen=True, kw_only=True):
    """The documents of a pay-later service, with their titles and how a person has them corrected."""

    account: type[Account]
    account_title: Text
    correct_account: Text
    billable: type[Billable]
    billable_title: Text
    correct_billable: Text
    hidden: Sequence[str] = ()
    consent: type[FamilyConsent]

    def personal_data(self, *others: PersonalRecords) -> PersonalData:
        """Return what the service holds on a person; `others` are its records of other kinds."""
        return PersonalData(records=[*others, *self._records()], open_matters=self._open_matters, end=self._end)

    def _records(self) -> list[PersonalRecords]:
        return [
            PersonalRecords(
                kind=self.consent,
                title=Text(zh="代付家属授权", en="Consents of family payers"),
                kept=Text(zh="保留至任何一方注销账户。", en="Until either of the two closes their account."),
                find=self._consents,
                correct=Text(zh="可自行解除后重新设置。", en="End it, and request it again."),
            ),
            PersonalRecords(
                kind=self.account,
                title=self.account_title,
                kept=Text(zh="保留至账户注销且没有账单须保留。", en="Until the account is closed and no bill is kept."),
                find=of_person(self.account),
                correct=self.correct_account,
                keep_until=self._with_last_billable,
                reason=PAYMENTS,
            ),
            PersonalRecords(
                kind=self.billable,
                title=self.billable_title,
                kept=Text(zh="结清后按规定期限保留。", en="For the period of law once nothing is owed."),
                find=naming_person(self.billable, "person"),
                correct=self.correct_billable,
                hidden=self.hidden,
                keep_until=once_settled,
                reason=PAYMENTS,
            ),
        ]

    async def _billables(self, city: City, person: str) -> list[Billable]:
        return [one async for one in naming_person(self.billable, "person")(city, Subject("", person))]

    async def _in_progress(self, city: City, person: str) -> list[Billable]:
        return [one for one in await self._billables(city, person) if one.stage() not in ("paid", "cancelled")]

    async def _open_matters(self, city: City, subject: Subject) -> list[OpenMatter]:
        matters: list[OpenMatter] = []
        for one in [] if subject.person is None else await self._in_progress(city, subject.person):
            owed_fen = one.owed_fen()
            amount = yuan(owed_fen)
            text = Text(zh=f"有一笔账单{amount}元未付，请先支付。", en=f"Pay your bill of {amount} yuan first.")
            if owed_fen <= 0:
                text = Text(
                    zh="有一笔账单尚未结算或退款，请等待办结。", en="Wait until your bill is settled and refunded."
                )
            matters.append(OpenMatter(text, owed_fen or None))
        return matters

    async def _end(self, city: City, subject: Subject) -> list[OpenMatter]:
        """Close the account for paying later, so that nothing more can be billed on credit."""
        if subject.person is None:
            return []
        person = subject.person

        async def is_in_progress() -> bool:
            return bool(await self._in_progress(city, person))

        try:
            await close_account(city, self.account, person, is_in_progress)
        except NotEnrolled:
            return []
        except OutstandingBalance as outstanding:
            return [OpenMatter(outstanding.detail, outstanding.members["owed_fen"] or None)]
        return []

    async def _consents(self, city: City, subject: Subject) -> AsyncIterator[FamilyConsent]:
        if subject.person is None:
            return
        for role in ("patient", "payer"):
            for live in (True, False):
                async for consent in find_all(city.store, self.consent, {role: subject.person, "live": live}, None):
                    yield consent

    async def _with_last_billable(self, city: City, account: Account, now: datetime) -> datetime | None:
        """Keep the account as long as a bill: it says what was owed and paid."""
        ends = [await once_settled(city, one, now) for one in await self._billables(city, account.id)]
        return max((end for end in ends if end is not None), default=None)
