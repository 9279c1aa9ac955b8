"""What the sandboxes of banks share: money moves once for an id, late or not at all, and notices are signed."""

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from backend.city.upstream import BankAnswer, BankNotice, ForgedNotice, UpstreamRejected, UpstreamTimeout
from integrations._sandbox import Books

DECIDED_AT_LOOK = 2
"""What is pending is decided when it is looked up for this time."""


class TransferBank:
    """A bank with books of its own, in which its transfers have a table. Everybody has an account.

    In the table, `payer` is whose account it is, and `payment` what a refund returns a part of.
    """

    table: ClassVar[Literal["transfers", "payouts"]]
    faults: ClassVar[Mapping[str, str]]
    """Why transfers of a kind fail while an account is broken; those of other kinds do not."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._row = f"SELECT * FROM {self.table} WHERE id = ?"  # noqa: S608  one of the two tables above
        self._add = f"INSERT INTO {self.table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"  # noqa: S608  likewise
        self._alter = f"UPDATE {self.table} SET state = ?, reason = ?, looks = ? WHERE id = ?"  # noqa: S608  likewise
        self._all_done = f"SELECT * FROM {self.table} WHERE state = 'done' ORDER BY at, id"  # noqa: S608  likewise

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Tell what became of a transfer. Raises Silent."""

        def work(file: sqlite3.Connection) -> BankAnswer | None:
            return self._looked_at(file, transfer_id, 1) if self.books.outcome(file, "look_up") == "fine" else None

        return self._answered(await self.books.work(work))

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Check and read a notice of the bank. Raises ForgedNotice."""
        if not hmac.compare_digest(self._signature(body).encode(), signature.encode("utf-8", "replace")):
            raise ForgedNotice("the signature is not the bank's")
        return msgspec.json.decode(body, type=BankNotice)

    # ── what only a bank knows ──

    def notice(self, transfer_id: str) -> tuple[bytes, str]:
        """Decide a transfer that is pending, and give the notice that the bank sends of it, with its signature."""
        answer = self.books.do(lambda file: self._looked_at(file, transfer_id, DECIDED_AT_LOOK))
        body = msgspec.json.encode(BankNotice(transfer_id, answer))
        return body, self._signature(body)

    def break_account(self, account: str) -> None:
        """From now on let transfers fail that need this account, those that are still pending as well."""
        row = (self.table, account)
        self.books.do(lambda file: file.execute("INSERT OR IGNORE INTO broken VALUES (?, ?)", row))

    def mend_account(self, account: str) -> None:
        """Let transfers of this account succeed again."""
        row = (self.table, account)
        self.books.do(lambda file: file.execute("DELETE FROM broken WHERE bank = ? AND account = ?", row))

    # ── its books ──

    async def _move(self, call: str, transfer_id: str, account: str, fen: int) -> BankAnswer:
        return self._answered(await self.books.work(lambda file: self._moved(file, call, transfer_id, account, fen)))

    def _moved(
        self, file: sqlite3.Connection, call: str, transfer_id: str, account: str, fen: int, payment: str | None = None
    ) -> BankAnswer | None:
        """Carry a transfer out if its id is new; None: the bank does not answer. Raises Refused."""
        known = file.execute(self._row, (transfer_id,)).fetchone()
        asked = (call, account, payment, fen)
        if known is not None and (known["kind"], known["payer"], known["payment"], known["fen"]) != asked:
            raise UpstreamRejected(f"{transfer_id} was asked for with something else")
        outcome = self.books.outcome(file, call)
        if outcome == "lost_before":
            return None
        if known is None:
            reason = self._fault(file, call, account)
            if outcome == "refused" and reason is None:
                reason = self.faults.get(call, "declined")
            state = "failed" if reason is not None else "pending" if outcome == "pending" else "done"
            at, receipt = self.books.clock().isoformat(), f"R{secrets.token_hex(8)}"
            file.execute(self._add, (transfer_id, call, account, payment, fen, state, at, receipt, reason))
            known = file.execute(self._row, (transfer_id,)).fetchone()
        return None if outcome == "lost_after" else _answer(known)

    def _looked_at(self, file: sqlite3.Connection, transfer_id: str, looks: int) -> BankAnswer:
        """Tell what became of a transfer after so many looks more, of which the last may decide it."""
        known = file.execute(self._row, (transfer_id,)).fetchone()
        if known is None:
            return BankAnswer("unknown")
        if known["state"] == "pending":
            looks += known["looks"]
            reason = self._fault(file, known["kind"], known["payer"]) if looks >= DECIDED_AT_LOOK else None
            state = "failed" if reason is not None else "done" if looks >= DECIDED_AT_LOOK else "pending"
            file.execute(self._alter, (state, reason, looks, transfer_id))
        return _answer(file.execute(self._row, (transfer_id,)).fetchone())

    def _fault(self, file: sqlite3.Connection, kind: str, account: str) -> str | None:
        row = (self.table, account)
        broken = file.execute("SELECT 1 FROM broken WHERE bank = ? AND account = ?", row).fetchone()
        return self.faults.get(kind) if broken is not None else None

    def _done(self, file: sqlite3.Connection) -> list[sqlite3.Row]:
        """Give all that was ever done, in its order."""
        return file.execute(self._all_done).fetchall()

    @staticmethod
    def _answered(answer: BankAnswer | None) -> BankAnswer:
        if answer is None:
            raise UpstreamTimeout("the bank does not answer")
        return answer

    def _signature(self, body: bytes) -> str:
        def work(file: sqlite3.Connection) -> str:
            file.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (self.table, secrets.token_hex(32)))
            return file.execute("SELECT value FROM secrets WHERE name = ?", (self.table,)).fetchone()["value"]

        secret = hashlib.sha256(self.books.do(work).encode()).digest()
        return hmac.new(secret, body, "sha256").hexdigest()


def _answer(row: sqlite3.Row) -> BankAnswer:
    return BankAnswer(row["state"], row["receipt"] if row["state"] == "done" else None, row["reason"])
