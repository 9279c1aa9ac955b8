"""The sandbox of a bank: it pays, fails, stays silent, answers late, and tells twice."""

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from backend.city.service import Integration
from backend.city.upstream import BankAnswer, UpstreamRejected, UpstreamTimeout
from backend.services.medical_credit.ports import Bank, BankEntry
from backend.settings import Settings
from integrations._sandbox.bank import TransferBank
from integrations._sandbox.database import SandboxDatabase


class SandboxBank(TransferBank):
    """Debits bound cards and returns money. Everybody has a card; that of a broken account pays for nothing."""

    table = "transfers"
    faults: ClassVar = {"pay": "insufficient funds"}

    def __init__(self, database: SandboxDatabase, zone: ZoneInfo) -> None:
        super().__init__(database)
        self._zone = zone

    async def pay(self, payment_id: str, payer: str, amount_fen: int) -> BankAnswer:
        """Debit `payer` once for this payment id. Raises Silent, or Refused for the same id with something else."""
        return await self._move("pay", payment_id, payer, amount_fen)

    async def refund(self, refund_id: str, payment_id: str, amount_fen: int) -> BankAnswer:
        """Return a part of a payment, once for this refund id. Raises Silent, or Refused beyond what was paid."""

        def work(file: sqlite3.Connection) -> BankAnswer | None:
            paid = file.execute("SELECT * FROM transfers WHERE id = ? AND state = 'done'", (payment_id,)).fetchone()
            returned = file.execute(
                "SELECT COALESCE(SUM(fen), 0) AS fen FROM transfers "
                "WHERE payment = ? AND state IN ('done', 'pending') AND id != ?",
                (payment_id, refund_id),
            ).fetchone()["fen"]
            if paid is None or returned + amount_fen > paid["fen"]:
                raise UpstreamRejected("no more is returned than was paid")
            return self._moved(file, "refund", refund_id, paid["payer"], amount_fen, payment_id)

        return self._answered(await self.database.work(work))

    async def statement(self, day: date) -> Sequence[BankEntry]:
        """Give what was done on a day of the city's calendar. Raises Silent."""

        def work(file: sqlite3.Connection) -> list[BankEntry] | None:
            if self.database.outcome(file, "statement") != "fine":
                return None
            entries = map(_entry, self._done(file))
            return [entry for entry in entries if entry.at.astimezone(self._zone).date() == day]

        entries = await self.database.work(work)
        if entries is None:
            raise UpstreamTimeout("the bank does not answer")
        return entries

    def entries(self) -> list[BankEntry]:
        """Give all that was ever done, in its order."""
        return self.database.do(lambda file: list(map(_entry, self._done(file))))


def _entry(row: sqlite3.Row) -> BankEntry:
    kind: Literal["payment", "refund"] = "payment" if row["kind"] == "pay" else "refund"
    return BankEntry(row["id"], kind, row["fen"], datetime.fromisoformat(row["at"]), row["receipt"])


def _make(settings: Settings) -> SandboxBank:
    return SandboxBank(SandboxDatabase(settings.sandbox), ZoneInfo(settings.time_zone))


integration = Integration(port=Bank, make=_make)
