"""The database of the sandboxes of insurance, banks and registries: one SQLite file that outlives the process.

The sandboxes replace external systems, so they share nothing with the city's store. Several processes of the city may
use the file at once. Tests and developers inject faults through it; these are stored in the file as well.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Literal, TypeVar

from integrations._sandbox.connection import shared_connection

T = TypeVar("T")
CallOutcome = Literal["fine", "lost_before", "lost_after", "refused", "pending", "wrong", "hang", "slow", "repeated"]
"""The outcome of a call: success; lost before or after it took effect; refused (a bank: failed); decided later; an
answer to another query, or with wrong sums; no answer at all; a late answer; the answer to the call before.

`refused` suits calls that request an action, `pending` calls that move money; a call that does not support an outcome
times out. The registries of the talent code support the first seven, and the insurance all but `pending`.
"""

_TABLES = """
CREATE TABLE IF NOT EXISTS trouble (call TEXT PRIMARY KEY, per_mille TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS script (place INTEGER PRIMARY KEY, call TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (place INTEGER PRIMARY KEY, code TEXT NOT NULL, id TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settlements (
  id TEXT PRIMARY KEY, message TEXT UNIQUE NOT NULL, visit TEXT NOT NULL, hospital TEXT NOT NULL, person TEXT NOT NULL,
  at TEXT NOT NULL, state TEXT NOT NULL, medfee INTEGER NOT NULL, fund INTEGER NOT NULL, hospital_part INTEGER NOT NULL,
  account INTEGER NOT NULL, family INTEGER NOT NULL, cash INTEGER NOT NULL, lines TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_in_force ON settlements (visit) WHERE state = 'in_force';
CREATE TABLE IF NOT EXISTS reversed (message TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS insured_people (psn_no TEXT PRIMARY KEY, card TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS insured_visits (
  id TEXT PRIMARY KEY, institution TEXT NOT NULL, person TEXT NOT NULL, number TEXT NOT NULL, type TEXT NOT NULL,
  visit TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS fee_lines (
  visit TEXT NOT NULL, number TEXT NOT NULL, code TEXT NOT NULL, fen INTEGER NOT NULL, PRIMARY KEY (visit, number)
);
CREATE TABLE IF NOT EXISTS insurance_messages (
  place INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, digest TEXT NOT NULL, answer TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS balances (person TEXT PRIMARY KEY, fen INTEGER NOT NULL CHECK (fen >= 0));
CREATE TABLE IF NOT EXISTS transfers (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, payer TEXT NOT NULL, payment TEXT, fen INTEGER NOT NULL, state TEXT NOT NULL,
  at TEXT NOT NULL, receipt TEXT NOT NULL, reason TEXT, looks INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS payouts (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, payer TEXT NOT NULL, payment TEXT, fen INTEGER NOT NULL, state TEXT NOT NULL,
  at TEXT NOT NULL, receipt TEXT NOT NULL, reason TEXT, looks INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS broken (bank TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (bank, account));
CREATE TABLE IF NOT EXISTS holders (account TEXT PRIMARY KEY, name TEXT NOT NULL, id_number TEXT, phone TEXT);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (person TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS families (person TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS registered (
  what TEXT NOT NULL, person TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (what, person)
);
"""


class SandboxDatabase:
    """The file of the sandboxes. Each call of `do` or `work` is one transaction, durable before it returns."""

    def __init__(self, path: str) -> None:
        self._shared = shared_connection(Path(path), _TABLES)
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._random = SystemRandom()

    async def work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a transaction in a thread."""
        return await asyncio.to_thread(self.do, work)

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a transaction in this thread; it is rolled back if it raises."""
        return self._shared.run(work)

    # ── faults ──

    def inject_faults(self, call: str, per_mille: Mapping[CallOutcome, int]) -> None:
        """Set how many of a thousand calls of a port's method (`settle`, `pay`, `pay_out`, ...) have each outcome.

        A method name that several ports share (`look_up` of both banks) is one call here.
        """
        self.do(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO trouble VALUES (?, ?)", (call, json.dumps(per_mille))
            )
        )

    def script_outcomes(self, call: str, *outcomes: CallOutcome) -> None:
        """Set the outcomes of the next calls, in order; after them the injected faults apply again."""
        rows = [(call, outcome) for outcome in outcomes]
        self.do(lambda connection: connection.executemany("INSERT INTO script (call, outcome) VALUES (?, ?)", rows))

    def clear_faults(self) -> None:
        """Remove all injected faults and scripted outcomes."""
        self.do(
            lambda connection: (connection.execute("DELETE FROM trouble"), connection.execute("DELETE FROM script"))
        )

    def outcome(self, connection: sqlite3.Connection, call: str) -> CallOutcome:
        """Draw the outcome of a call."""
        scripted = connection.execute("SELECT * FROM script WHERE call = ? ORDER BY place LIMIT 1", (call,)).fetchone()
        if scripted is not None:
            connection.execute("DELETE FROM script WHERE place = ?", (scripted["place"],))
            return scripted["outcome"]
        plan = connection.execute("SELECT per_mille FROM trouble WHERE call = ?", (call,)).fetchone()
        drawn = self._random.randrange(1_000)
        shares: dict[CallOutcome, int] = json.loads(plan["per_mille"]) if plan is not None else {}
        for outcome, share in shares.items():
            if drawn < share:
                return outcome
            drawn -= share
        return "fine"

    def note_call(self, connection: sqlite3.Connection, code: str, call_id: str) -> None:
        """Record a call in the interface's log."""
        connection.execute(
            "INSERT INTO calls (code, id, at) VALUES (?, ?, ?)", (code, call_id, self.clock().isoformat())
        )

    def calls(self, code: str) -> list[str]:
        """Return the ids of the calls with a code, in order."""
        return self.do(
            lambda connection: [
                row["id"] for row in connection.execute("SELECT id FROM calls WHERE code = ? ORDER BY place", (code,))
            ]
        )
