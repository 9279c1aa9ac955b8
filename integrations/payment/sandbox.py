"""A sandbox bank that can pay, decline, time out, decide late and repeat its notifications."""

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from backend.city.upstream import BankAnswer, UpstreamRejected, UpstreamTimeout
from backend.paylater.ports import BankEntry
from backend.settings import Settings
from integrations._sandbox.bank import TransferBank
from integrations._sandbox.database import SandboxDatabase


class SandboxBank(TransferBank):
    """Debits bound cards and refunds payments. Everyone has a card; debits of a broken account fail."""

    table = "transfers"
    faults: ClassVar = {"pay": "insufficient funds"}

    def __init__(self, database: SandboxDatabase, zone: ZoneInfo) -> None:
        super().__init__(database)
        self._zone = zone

    async def pay(self, payment_id: str, payer: str, amount_fen: int) -> BankAnswer:
        """Debit `payer` once for this payment id.

        Raises UpstreamTimeout, or UpstreamRejected if the id was used with another payer or amount.
        """
        return await self._move("pay", payment_id, payer, amount_fen)

    async def refund(self, refund_id: str, payment_id: str, amount_fen: int) -> BankAnswer:
        """Refund a payment in full or in part, once for this refund id.

        Raises UpstreamTimeout, or UpstreamRejected if the refunds would exceed the payment.
        """

        def work(connection: sqlite3.Connection) -> BankAnswer | None:
            paid = connection.execute(
                "SELECT * FROM transfers WHERE id = ? AND state = 'done'", (payment_id,)
            ).fetchone()
            returned = connection.execute(
                "SELECT COALESCE(SUM(fen), 0) AS fen FROM transfers "
                "WHERE payment = ? AND state IN ('done', 'pending') AND id != ?",
                (payment_id, refund_id),
            ).fetchone()["fen"]
            if paid is None or returned + amount_fen > paid["fen"]:
                raise UpstreamRejected("the refunds would exceed the payment")
            return self._transfer(connection, "refund", refund_id, paid["payer"], amount_fen, payment_id)

        return self._answered(await self.database.work(work))

    async def statement(self, day: date) -> Sequence[BankEntry]:
        """Return the bank's entries of a day in the city's time zone. Raises UpstreamTimeout."""

        def work(connection: sqlite3.Connection) -> list[BankEntry] | None:
            if self.database.outcome(connection, "statement") != "fine":
                return None
            entries = map(_entry, self._done(connection))
            return [entry for entry in entries if entry.at.astimezone(self._zone).date() == day]

        entries = await self.database.work(work)
        if entries is None:
            raise UpstreamTimeout("the bank does not answer")
        return entries

    def entries(self) -> list[BankEntry]:
        """Return all entries, oldest first."""
        return self.database.do(lambda connection: list(map(_entry, self._done(connection))))


def _entry(row: sqlite3.Row) -> BankEntry:
    kind: Literal["payment", "refund"] = "payment" if row["kind"] == "pay" else "refund"
    return BankEntry(row["id"], kind, row["fen"], datetime.fromisoformat(row["at"]), row["receipt"], row["payer"])


def open_sandbox(settings: Settings) -> SandboxBank:
    """Open the sandbox whose file the settings name."""
    return SandboxBank(SandboxDatabase(settings.sandbox), ZoneInfo(settings.time_zone))
