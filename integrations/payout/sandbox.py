"""The sandbox of the bank that pays out benefits: transfers succeed, fail, time out, or are decided late."""

import sqlite3
from datetime import datetime
from typing import ClassVar, Literal

from msgspec import Struct

from backend.city.bank_cards import CardHolder, HolderCheck
from backend.city.upstream import BankAnswer, UpstreamTimeout
from backend.settings import Settings
from integrations._sandbox.bank import TransferBank
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.holders import holder_fits, set_holder


class PayoutEntry(Struct, frozen=True):
    """A completed `payout` to an account or `collection` from it, requested at an instant."""

    id: str
    kind: Literal["payout", "collection"]
    account: str
    amount_fen: int
    at: datetime
    receipt: str


class SandboxPayoutBank(TransferBank):
    """Pays to bank accounts and debits them. Every account exists until it is closed, and has enough money."""

    table = "payouts"
    faults: ClassVar = {"pay_out": "account closed", "collect": "insufficient funds"}

    async def pay_out(self, payout_id: str, account: str, name: str, amount_fen: int) -> BankAnswer:
        """Pay to the account of a holder with this name, once per payout id.

        Raises UpstreamTimeout, or UpstreamRejected if the id was used with other content.
        """
        return await self._move("pay_out", payout_id, account, amount_fen, name)

    async def collect(self, collection_id: str, account: str, name: str, amount_fen: int) -> BankAnswer:
        """Debit the account of a holder with this name, once per collection id.

        Raises UpstreamTimeout or UpstreamRejected, as `pay_out` does.
        """
        return await self._move("collect", collection_id, account, amount_fen, name)

    async def check_holder(self, account: str, holder: CardHolder) -> HolderCheck:
        """Compare all given factors with those of the account's holder.

        `refused`: the bank does not say. `wrong`: it errs. Raises UpstreamTimeout.
        """

        def work(connection: sqlite3.Connection) -> HolderCheck | None:
            match self.database.outcome(connection, "check_holder"):
                case "fine":
                    return "fits" if holder_fits(connection, account, holder) else "differs"
                case "refused":
                    return "unknown"
                case "wrong":
                    return "differs"
                case _:
                    return None

        check = await self.database.work(work)
        if check is None:
            raise UpstreamTimeout("the bank does not answer")
        return check

    def set_holder(self, account: str, holder: CardHolder) -> None:
        """Record the holder of an account."""
        self.database.do(lambda connection: set_holder(connection, account, holder))

    def entries(self) -> list[PayoutEntry]:
        """Return all completed transfers, in order."""
        return self.database.do(lambda file: list(map(_entry, self._done(file))))


def _entry(row: sqlite3.Row) -> PayoutEntry:
    kind: Literal["payout", "collection"] = "payout" if row["kind"] == "pay_out" else "collection"
    at = datetime.fromisoformat(row["at"])
    return PayoutEntry(row["id"], kind, row["payer"], row["fen"], at, row["receipt"])


def make(settings: Settings) -> SandboxPayoutBank:
    """Create the sandbox on the database of the settings."""
    return SandboxPayoutBank(SandboxDatabase(settings.sandbox))
