"""Shared parts of the banks' sandboxes: money moves once per id, late, or not at all; notices are signed."""

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from backend.city.bank_cards import NAME_DIFFERS, CardHolder
from backend.city.upstream import BankAnswer, BankNotice, ForgedNotice, UpstreamRejected, UpstreamTimeout
from backend.web.json_body import decode_body
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.holders import holder_fits

_notice = msgspec.json.Decoder(BankNotice)

LOOK_UPS_UNTIL_DECIDED = 2
"""A pending transfer is decided at this look-up."""


class TransferBank:
    """A bank whose transfers have their own table. Everyone has an account.

    In the table, `payer` is the account, and `payment` the payment that a refund belongs to.
    """

    table: ClassVar[Literal["transfers", "payouts"]]
    faults: ClassVar[Mapping[str, str]]
    """The reason with which transfers of a kind fail while an account is closed; other kinds do not fail."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database
        self._select_sql = f"SELECT * FROM {self.table} WHERE id = ?"  # noqa: S608  one of the two tables above
        self._insert_sql = f"INSERT INTO {self.table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"  # noqa: S608  likewise
        self._update_sql = f"UPDATE {self.table} SET state = ?, reason = ?, looks = ? WHERE id = ?"  # noqa: S608  likewise
        self._select_done_sql = f"SELECT * FROM {self.table} WHERE state = 'done' ORDER BY at, id"  # noqa: S608  likewise

    async def look_up(self, transfer_id: str) -> BankAnswer:
        """Return the state of a transfer. Raises UpstreamTimeout."""

        def work(connection: sqlite3.Connection) -> BankAnswer | None:
            return (
                self._look_up(connection, transfer_id, 1)
                if self.database.outcome(connection, "look_up") == "fine"
                else None
            )

        return self._answered(await self.database.work(work))

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Verify and read a notice of the bank. Raises ForgedNotice or InvalidRequest."""
        if not hmac.compare_digest(self.sign(body).encode(), signature.encode("utf-8", "replace")):
            raise ForgedNotice("the signature is not the bank's")
        return decode_body(body, _notice)

    # ── controls for tests ──

    def notice(self, transfer_id: str) -> tuple[bytes, str]:
        """Decide a pending transfer, and return the notice that the bank sends about it, with its signature."""
        answer = self.database.do(lambda connection: self._look_up(connection, transfer_id, LOOK_UPS_UNTIL_DECIDED))
        body = msgspec.json.encode(BankNotice(transfer_id, answer))
        return body, self.sign(body)

    def sign(self, body: bytes) -> str:
        """Return the bank's signature of a notice."""

        def work(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (self.table, secrets.token_hex(32)))
            return connection.execute("SELECT value FROM secrets WHERE name = ?", (self.table,)).fetchone()["value"]

        secret = hashlib.sha256(self.database.do(work).encode()).digest()
        return hmac.new(secret, body, "sha256").hexdigest()

    def close_account(self, account: str) -> None:
        """Let transfers of this account fail from now on, including pending ones."""
        row = (self.table, account)
        self.database.do(lambda connection: connection.execute("INSERT OR IGNORE INTO broken VALUES (?, ?)", row))

    def reopen_account(self, account: str) -> None:
        """Let transfers of this account succeed again."""
        row = (self.table, account)
        self.database.do(
            lambda connection: connection.execute("DELETE FROM broken WHERE bank = ? AND account = ?", row)
        )

    # ── transfers ──

    async def _move(self, call: str, transfer_id: str, account: str, fen: int, name: str | None = None) -> BankAnswer:
        def work(connection: sqlite3.Connection) -> BankAnswer | None:
            return self._transfer(connection, call, transfer_id, account, fen, name=name)

        return self._answered(await self.database.work(work))

    def _transfer(
        self,
        connection: sqlite3.Connection,
        call: str,
        transfer_id: str,
        account: str,
        fen: int,
        payment: str | None = None,
        name: str | None = None,
    ) -> BankAnswer | None:
        """Carry out a transfer if its id is new; None: the bank does not answer. Raises UpstreamRejected."""
        row = connection.execute(self._select_sql, (transfer_id,)).fetchone()
        content = (call, account, payment, fen)
        if row is not None and (row["kind"], row["payer"], row["payment"], row["fen"]) != content:
            raise UpstreamRejected(f"{transfer_id} was requested with other content")
        outcome = self.database.outcome(connection, call)
        if outcome == "lost_before":
            return None
        if row is None:
            differs = name is not None and not holder_fits(connection, account, CardHolder(name))
            reason = NAME_DIFFERS if differs else self._fault(connection, call, account)
            if outcome == "refused" and reason is None:
                reason = self.faults.get(call, "declined")
            state = "failed" if reason is not None else "pending" if outcome == "pending" else "done"
            at, receipt = self.database.clock().isoformat(), f"R{secrets.token_hex(8)}"
            connection.execute(self._insert_sql, (transfer_id, call, account, payment, fen, state, at, receipt, reason))
            row = connection.execute(self._select_sql, (transfer_id,)).fetchone()
        return None if outcome == "lost_after" else _answer(row)

    def _look_up(self, connection: sqlite3.Connection, transfer_id: str, looks: int) -> BankAnswer:
        """Return the state of a transfer after a number of further look-ups, the last of which may decide it."""
        row = connection.execute(self._select_sql, (transfer_id,)).fetchone()
        if row is None:
            return BankAnswer("unknown")
        if row["state"] == "pending":
            looks += row["looks"]
            reason = self._fault(connection, row["kind"], row["payer"]) if looks >= LOOK_UPS_UNTIL_DECIDED else None
            state = "failed" if reason is not None else "done" if looks >= LOOK_UPS_UNTIL_DECIDED else "pending"
            connection.execute(self._update_sql, (state, reason, looks, transfer_id))
        return _answer(connection.execute(self._select_sql, (transfer_id,)).fetchone())

    def _fault(self, connection: sqlite3.Connection, kind: str, account: str) -> str | None:
        row = (self.table, account)
        broken = connection.execute("SELECT 1 FROM broken WHERE bank = ? AND account = ?", row).fetchone()
        return self.faults.get(kind) if broken is not None else None

    def _done(self, connection: sqlite3.Connection) -> list[sqlite3.Row]:
        """Return all completed transfers, in order."""
        return connection.execute(self._select_done_sql).fetchall()

    @staticmethod
    def _answered(answer: BankAnswer | None) -> BankAnswer:
        if answer is None:
            raise UpstreamTimeout("the bank does not answer")
        return answer


def _answer(row: sqlite3.Row) -> BankAnswer:
    return BankAnswer(row["state"], row["receipt"] if row["state"] == "done" else None, row["reason"])
