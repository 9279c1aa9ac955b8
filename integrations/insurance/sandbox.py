"""A sandbox of the national medical insurance interface: it settles claims, times out and reverses.

The codes are those of the interface (2201, 2204, 2207, 2208, 2601, 3201, 3202); the shares are invented [A].
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.ports import InsuranceClaim, InsuredVisit, SettlementRecord, Split
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase

DEDUCTIBLE_FEN: dict[VisitKind, int] = {"outpatient": 0, "emergency": 0, "inpatient": 80_000}
FUND_PERCENT: dict[VisitKind, int] = {"outpatient": 60, "emergency": 60, "inpatient": 85}
MAX_BALANCE_FEN = 200_000
UNINSURED_DIGIT = "9"
"""People whose ID number has this digit before the check digit are not insured."""


class SandboxInsurance:
    """Implements the interface on its own books."""

    def __init__(self, database: SandboxDatabase, zone: ZoneInfo) -> None:
        self.database = database
        self._zone = zone

    async def settle(self, claim: InsuranceClaim) -> Split:
        """Register the visit, upload its lines and settle it (2201, 2204, 2207).

        Raises UpstreamTimeout or UpstreamRejected.
        """

        def work(connection: sqlite3.Connection) -> tuple[Split | None, bool]:
            outcome = self.database.outcome(connection, "settle")
            if outcome == "lost_before":
                return None, False
            for code in ("2201", "2204", "2207"):
                self.database.note_call(connection, code, claim.message_id)
            if outcome == "refused":
                raise UpstreamRejected("the interface refuses the claim")
            split = self.settle_claim(connection, claim)
            if outcome == "wrong":
                return replace(split, cash_fen=split.cash_fen + 1), True
            return split, outcome == "fine"

        split, answered = await self.database.work(work)
        if split is None or not answered:
            raise UpstreamTimeout("the insurance does not answer (2207)")
        return split

    def settle_claim(self, connection: sqlite3.Connection, claim: InsuranceClaim) -> Split:
        """Enter the settlement of a claim into the books. Raises UpstreamRejected."""
        row = connection.execute("SELECT * FROM settlements WHERE message = ?", (claim.message_id,)).fetchone()
        if row is not None:
            if row["state"] != "in_force":
                raise UpstreamRejected(f"the settlement {row['id']} was cancelled")
            return _split(row)
        if connection.execute("SELECT 1 FROM reversed WHERE message = ?", (claim.message_id,)).fetchone():
            raise UpstreamRejected(f"the message {claim.message_id} was reversed (2601)")
        if connection.execute(
            "SELECT 1 FROM settlements WHERE visit = ? AND state = 'in_force'", (claim.visit,)
        ).fetchone():
            raise UpstreamRejected("the visit has a settlement in force; cancel it first (2208)")
        ids = [line.id for line in claim.lines]
        if len(set(ids)) != len(ids) or any(line.amount_fen <= 0 for line in claim.lines):
            raise UpstreamRejected("a fee line is duplicated or its amount is not above zero (2204)")
        person = _digest(claim.id_number)
        split = self.divide(connection, claim)
        connection.execute("UPDATE balances SET fen = fen - ? WHERE person = ?", (split.account_fen, person))
        lines = json.dumps([[line.id, line.code, line.amount_fen] for line in claim.lines])
        connection.execute(
            "INSERT INTO settlements VALUES (?, ?, ?, ?, ?, ?, 'in_force', ?, ?, ?, ?, ?, ?, ?)",
            (
                split.settlement_id,
                claim.message_id,
                claim.visit,
                claim.hospital,
                person,
                self.database.clock().isoformat(),
                split.medfee_fen,
                split.fund_fen,
                split.hospital_part_fen,
                split.account_fen,
                split.family_account_fen,
                split.cash_fen,
                lines,
            ),
        )
        return split

    def divide(self, connection: sqlite3.Connection, claim: InsuranceClaim) -> Split:
        """Return how a claim would be split now (2206)."""
        return _divide(claim, self.balance(connection, claim.id_number))

    def balance(self, connection: sqlite3.Connection, id_number: str) -> int:
        """Return the balance of a person's account (1101)."""
        return self._balance(connection, _digest(id_number))

    def _balance(self, connection: sqlite3.Connection, person: str) -> int:
        """Return the balance of a person's account; the first balance is derived from their digest."""
        invented = int(person[:8], 16) % (MAX_BALANCE_FEN + 1)
        connection.execute("INSERT OR IGNORE INTO balances VALUES (?, ?)", (person, invented))
        return connection.execute("SELECT fen FROM balances WHERE person = ?", (person,)).fetchone()["fen"]

    async def cancel(self, settlement_id: str, message_id: str, insured: InsuredVisit | None = None) -> None:
        """Cancel a settlement (2208). Raises UpstreamTimeout or UpstreamRejected."""
        del insured

        def work(connection: sqlite3.Connection) -> bool:
            outcome = self.database.outcome(connection, "cancel")
            if outcome == "lost_before":
                return False
            self.database.note_call(connection, "2208", message_id)
            if outcome == "refused":
                raise UpstreamRejected(f"there is no settlement {settlement_id}")
            self.cancel_in_books(connection, settlement_id)
            return outcome == "fine"

        if not await self.database.work(work):
            raise UpstreamTimeout("the insurance does not answer (2208)")

    @staticmethod
    def cancel_in_books(connection: sqlite3.Connection, settlement_id: str) -> None:
        """Cancel a settlement in the books, if it is in force. Raises UpstreamRejected if there is none."""
        row = connection.execute("SELECT * FROM settlements WHERE id = ?", (settlement_id,)).fetchone()
        if row is None:
            raise UpstreamRejected(f"there is no settlement {settlement_id}")
        _undo(connection, row)

    async def reverse(self, claim: InsuranceClaim) -> None:
        """Reverse a `settle` whose answer was lost (2601). Raises UpstreamTimeout."""

        def work(connection: sqlite3.Connection) -> bool:
            outcome = self.database.outcome(connection, "reverse")
            if outcome == "lost_before":
                return False
            self.database.note_call(connection, "2601", claim.message_id)
            self.reverse_in_books(connection, claim.message_id)
            return outcome == "fine"

        if not await self.database.work(work):
            raise UpstreamTimeout("the insurance does not answer (2601)")

    @staticmethod
    def reverse_in_books(connection: sqlite3.Connection, message_id: str) -> None:
        """Undo what a message settled, now and if it arrives later."""
        row = connection.execute("SELECT * FROM settlements WHERE message = ?", (message_id,)).fetchone()
        if row is not None:
            _undo(connection, row)
        connection.execute("INSERT OR IGNORE INTO reversed VALUES (?)", (message_id,))

    async def settlements(self, hospital: str, institution: str, day: date) -> Sequence[SettlementRecord]:
        """Return a hospital's settlements of a day that are in force (3201, 3202). Raises UpstreamTimeout."""
        del institution
        await self._record_call("settlements", "3202", f"{hospital} {day}")
        return [settlement for at, settlement in self._in_force(hospital) if self.local_day(at) == day]

    def local_day(self, at: datetime) -> date:
        """Return the day of an instant in the city's time zone."""
        return at.astimezone(self._zone).date()

    def _in_force(self, hospital: str) -> list[tuple[datetime, SettlementRecord]]:
        rows = self.database.do(
            lambda connection: connection.execute(
                "SELECT * FROM settlements WHERE hospital = ? AND state = 'in_force'", (hospital,)
            ).fetchall()
        )
        return [
            (
                datetime.fromisoformat(row["at"]),
                SettlementRecord(row["id"], row["visit"], row["medfee"], row["fund"], row["account"], row["cash"]),
            )
            for row in rows
        ]

    def in_force(self) -> dict[str, Split]:
        """Return the settlement in force of each visit."""
        rows = self.database.do(
            lambda connection: connection.execute("SELECT * FROM settlements WHERE state = 'in_force'").fetchall()
        )
        return {row["visit"]: _split(row) for row in rows}

    def set_balance(self, id_number: str, fen: int) -> None:
        """Set the balance of a person's account."""
        row = (_digest(id_number), fen)
        self.database.do(lambda connection: connection.execute("INSERT OR REPLACE INTO balances VALUES (?, ?)", row))

    def balance_fen(self, id_number: str) -> int:
        """Return the balance of a person's account."""
        return self.database.do(lambda connection: self.balance(connection, id_number))

    async def _record_call(self, call: str, code: str, call_id: str) -> None:
        def work(connection: sqlite3.Connection) -> bool:
            self.database.note_call(connection, code, call_id)
            return self.database.outcome(connection, call) == "fine"

        if not await self.database.work(work):
            raise UpstreamTimeout(f"the insurance does not answer ({code})")


def _digest(id_number: str) -> str:
    return hashlib.sha256(f"insured\n{id_number}".encode()).hexdigest()


def _is_insured(id_number: str) -> bool:
    return id_number[-2] != UNINSURED_DIGIT


def _divide(claim: InsuranceClaim, balance_fen: int) -> Split:
    """Split a claim: the fund pays a share above the deductible, then the account pays, and the rest is cash."""
    medfee = sum(line.amount_fen for line in claim.lines)
    insured = _is_insured(claim.id_number)
    above = max(0, medfee - DEDUCTIBLE_FEN[claim.kind])
    fund = above * FUND_PERCENT[claim.kind] // 100 if insured else 0
    account = min(balance_fen, medfee - fund) if insured else 0
    settlement_id = hashlib.sha256(f"settlement\n{claim.message_id}".encode()).hexdigest()[:24]
    return Split(settlement_id, medfee, fund, 0, account, 0, medfee - fund - account)


def _undo(connection: sqlite3.Connection, row: sqlite3.Row) -> None:
    if row["state"] == "in_force":
        connection.execute("UPDATE settlements SET state = 'cancelled' WHERE id = ?", (row["id"],))
        connection.execute("UPDATE balances SET fen = fen + ? WHERE person = ?", (row["account"], row["person"]))


def _split(row: sqlite3.Row) -> Split:
    return Split(
        row["id"], row["medfee"], row["fund"], row["hospital_part"], row["account"], row["family"], row["cash"]
    )


def open_sandbox(settings: Settings) -> SandboxInsurance:
    """Open the sandbox whose file the settings name."""
    return SandboxInsurance(SandboxDatabase(settings.sandbox), ZoneInfo(settings.time_zone))
