"""The sandbox of the bank that pays benefits out: it pays, fails, stays silent, answers late, and tells twice."""

import sqlite3
from datetime import datetime
from typing import ClassVar, Literal

from msgspec import Struct

from backend.city.service import Integration
from backend.city.upstream import BankAnswer
from backend.services.talent_code.ports import PayoutBank
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_bank import TransferBank


class PayoutEntry(Struct, frozen=True):
    """What was paid to an account (`payout`) or taken back from it (`collection`), asked for at an instant."""

    id: str
    kind: Literal["payout", "collection"]
    account: str
    amount_fen: int
    at: datetime
    receipt: str


class SandboxPayoutBank(TransferBank):
    """Pays to bank accounts and debits them. Every account is there until it is broken, and has money enough."""

    table = "payouts"
    faults: ClassVar = {"pay_out": "account closed", "collect": "insufficient funds"}

    async def pay_out(self, payout_id: str, account: str, amount_fen: int) -> BankAnswer:
        """Pay to an account once for this payout id. Raises Silent, or Refused for the same id with something else."""
        return await self._move("pay_out", payout_id, account, amount_fen)

    async def collect(self, collection_id: str, account: str, amount_fen: int) -> BankAnswer:
        """Debit an account once for this collection id. Raises Silent, or Refused likewise."""
        return await self._move("collect", collection_id, account, amount_fen)

    def entries(self) -> list[PayoutEntry]:
        """Give all that was ever done, in its order."""
        return self.books.do(lambda file: list(map(_entry, self._done(file))))


def _entry(row: sqlite3.Row) -> PayoutEntry:
    kind: Literal["payout", "collection"] = "payout" if row["kind"] == "pay_out" else "collection"
    at = datetime.fromisoformat(row["at"])
    return PayoutEntry(row["id"], kind, row["payer"], row["fen"], at, row["receipt"])


def _make(settings: Settings) -> SandboxPayoutBank:
    return SandboxPayoutBank(Books(settings.sandbox))


integration = Integration(port=PayoutBank, make=_make)
