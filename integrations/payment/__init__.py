"""The sandbox of a bank: it pays, fails, stays silent, answers late, and tells twice."""

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from backend.outside import BankAnswer, BankNotice, ForgedNotice, Refused, Silent
from backend.service import Integration
from backend.services.medical_credit.ports import Bank, BankEntry
from backend.settings import Settings
from integrations._sandbox import Books

DECIDED_AT_LOOK = 2
"""What is pending is decided when it is looked up for this time."""


class SandboxBank:
    """Debits bound cards and returns money, with books of its own. Everybody has a card."""

    def __init__(self, books: Books, zone: ZoneInfo) -> None:
        self.books = books
        self._zone = zone

    async def pay(self, payment_id: str, payer: str, amount_fen: int) -> BankAnswer:
        """Debit `payer` once for this payment id. Raises Silent, or Refused for the same id with something else."""

        def work(file: sqlite3.Connection) -> BankAnswer | None:
            return self._transfer(file, "pay", payment_id, payer, None, amount_fen)

        return self._answered(await self.books.work(work))

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
                raise Refused("no more is returned than was paid")
            return self._transfer(file, "refund", refund_id, paid["payer"], payment_id, amount_fen)

        return self._answered(await self.books.work(work))

    def _transfer(
        self,
        file: sqlite3.Connection,
        call: Literal["pay", "refund"],
        transfer_id: str,
        payer: str,
        payment: str | None,
        fen: int,
    ) -> BankAnswer | None:
        known = file.execute("SELECT * FROM transfers WHERE id = ?", (transfer_id,)).fetchone()
        if known is not None and (known["payer"], known["payment"], known["fen"]) != (payer, payment, fen):
            raise Refused(f"{transfer_id} was asked for with another amount or payer")
        outcome = self.books.outcome(file, call)
        if outcome == "lost_before":
            return None
        if known is None:
            broke = call == "pay" and file.execute("SELECT 1 FROM broke WHERE payer = ?", (payer,)).fetchone()
            state = "failed" if outcome == "refused" or broke else "pending" if outcome == "pending" else "done"
            receipt, reason = f"R{secrets.token_hex(8)}", "insufficient funds" if state == "failed" else None
            file.execute(
                "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (transfer_id, call, payer, payment, fen, state, self.books.clock().isoformat(), receipt, reason),
            )
            known = file.execute("SELECT * FROM transfers WHERE id = ?", (transfer_id,)).fetchone()
        return None if outcome == "lost_after" else _answer(known)

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Tell what became of a payment or refund. Raises Silent."""

        def work(file: sqlite3.Connection) -> BankAnswer | None:
            if self.books.outcome(file, "look_up") != "fine":
                return None
            known = file.execute("SELECT * FROM transfers WHERE id = ?", (transfer_id,)).fetchone()
            if known is None:
                return BankAnswer("unknown")
            if known["state"] == "pending":
                file.execute("UPDATE transfers SET looks = looks + 1 WHERE id = ?", (transfer_id,))
                if known["looks"] + 1 >= DECIDED_AT_LOOK:
                    _decide(file, transfer_id)
            return _answer(file.execute("SELECT * FROM transfers WHERE id = ?", (transfer_id,)).fetchone())

        return self._answered(await self.books.work(work))

    @staticmethod
    def _answered(answer: BankAnswer | None) -> BankAnswer:
        if answer is None:
            raise Silent("the bank does not answer")
        return answer

    async def statement(self, day: date) -> Sequence[BankEntry]:
        """Give what was done on a day of the city's calendar. Raises Silent."""

        def work(file: sqlite3.Connection) -> list[BankEntry] | None:
            if self.books.outcome(file, "statement") != "fine":
                return None
            rows = file.execute("SELECT * FROM transfers WHERE state = 'done' ORDER BY at, id").fetchall()
            return [entry for entry in map(_entry, rows) if entry.at.astimezone(self._zone).date() == day]

        entries = await self.books.work(work)
        if entries is None:
            raise Silent("the bank does not answer")
        return entries

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Check and read a notice of the bank. Raises ForgedNotice."""
        expected = hmac.new(self._secret(), body, "sha256").hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise ForgedNotice("the signature is not the bank's")
        return msgspec.json.decode(body, type=BankNotice)

    # ── what only a bank knows ──

    def notice(self, transfer_id: str) -> tuple[bytes, str]:
        """Decide a transfer that is pending, and give the notice that the bank sends of it, with its signature."""

        def work(file: sqlite3.Connection) -> BankAnswer:
            _decide(file, transfer_id)
            return _answer(file.execute("SELECT * FROM transfers WHERE id = ?", (transfer_id,)).fetchone())

        body = msgspec.json.encode(BankNotice(transfer_id, self.books.do(work)))
        return body, hmac.new(self._secret(), body, "sha256").hexdigest()

    def entries(self) -> list[BankEntry]:
        """Give all that was ever done."""
        rows = self.books.do(lambda file: file.execute("SELECT * FROM transfers WHERE state = 'done'").fetchall())
        return [_entry(row) for row in rows]

    def break_card(self, payer: str) -> None:
        """From now on let every payment of this payer fail for want of money."""
        self.books.do(lambda file: file.execute("INSERT OR IGNORE INTO broke VALUES (?)", (payer,)))

    def mend_card(self, payer: str) -> None:
        """Let payments of this payer succeed again."""
        self.books.do(lambda file: file.execute("DELETE FROM broke WHERE payer = ?", (payer,)))

    def _secret(self) -> bytes:
        def work(file: sqlite3.Connection) -> str:
            file.execute("INSERT OR IGNORE INTO secrets VALUES ('bank', ?)", (secrets.token_hex(32),))
            return file.execute("SELECT value FROM secrets WHERE name = 'bank'").fetchone()["value"]

        return hashlib.sha256(self.books.do(work).encode()).digest()


def _decide(file: sqlite3.Connection, transfer_id: str) -> None:
    file.execute("UPDATE transfers SET state = 'done' WHERE id = ? AND state = 'pending'", (transfer_id,))


def _answer(row: sqlite3.Row) -> BankAnswer:
    return BankAnswer(row["state"], row["receipt"] if row["state"] == "done" else None, row["reason"])


def _entry(row: sqlite3.Row) -> BankEntry:
    kind: Literal["payment", "refund"] = "payment" if row["kind"] == "pay" else "refund"
    return BankEntry(row["id"], kind, row["fen"], datetime.fromisoformat(row["at"]), row["receipt"])


def _make(settings: Settings) -> SandboxBank:
    return SandboxBank(Books(settings.sandbox), ZoneInfo(settings.time_zone))


integration = Integration(port=Bank, make=_make)
