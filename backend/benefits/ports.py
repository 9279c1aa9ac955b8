"""External dependencies of benefit services: a bank that pays. Every call may be repeated."""

from typing import Protocol, runtime_checkable

from backend.city.bank_cards import CardVerifyingBank
from backend.city.upstream import BankAnswer, NotifyingBank


@runtime_checkable
class PayoutBank(NotifyingBank, CardVerifyingBank, Protocol):
    """Pays to bank accounts, and collects what was paid wrongly.

    A transfer fails with the reason `NAME_DIFFERS` if the name sent with it is not that of the account's holder.
    """

    async def pay_out(self, payout_id: str, account: str, name: str, amount_fen: int) -> BankAnswer:
        """Pay to the account of a holder with this name, once per payout id.

        Raises UpstreamTimeout, or UpstreamRejected if the id was used with other content.
        """
        ...

    async def collect(self, collection_id: str, account: str, name: str, amount_fen: int) -> BankAnswer:
        """Debit the account of a holder with this name, once per collection id.

        Raises UpstreamTimeout or UpstreamRejected, as `pay_out` does.
        """
        ...

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Return the state of a payout or collection. Raises UpstreamTimeout."""
        ...
