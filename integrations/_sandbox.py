"""Where the sandboxes of insurance, banks and registries keep their books: one SQLite file, which outlives us.

They stand in for what is outside the city, so they share nothing with its store, and several processes of the city may
use the same file at once. What misbehaves is written into the file too, by tests and by whoever wants to see it.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Literal, TypeVar

from backend.store.sqlite.store import enable_write_ahead_log

T = TypeVar("T")
Outcome = Literal["fine", "lost_before", "lost_after", "refused", "pending", "wrong", "hang"]
"""How a call ends: as it should; unheard; carried out without an answer; refused (a bank: failed); decided later;
with the answer to another question; never.

`refused` fits what asks for something to be done, `pending` what moves money; where a call cannot end so, it ends in
silence. The calls of the talent code's registries may end in all these ways, and they alone with `wrong` and `hang`.
"""

BUSY_SECONDS = 20.0

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
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (person TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS families (person TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS registered (
  what TEXT NOT NULL, person TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (what, person)
);
"""


class Books:
    """The file of the sandboxes. Every piece of work on it is one transaction, durable before anybody is answered."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._chance = SystemRandom()
        self._made = False

    async def work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work in a thread."""
        return await asyncio.to_thread(self.do, work)

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a piece of work here: all of it, or nothing where it raises."""
        if not self._made:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as file:
            file.row_factory = sqlite3.Row
            if not self._made:
                enable_write_ahead_log(file)
                file.executescript(_TABLES)
                self._made = True
            file.execute("PRAGMA synchronous = FULL")
            file.execute("BEGIN IMMEDIATE")
            try:
                done = work(file)
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")
            return done

    # ── what misbehaves ──

    def make_trouble(self, call: str, per_mille: Mapping[Outcome, int]) -> None:
        """From now on let so many of a thousand calls of a port's method (`settle`, `pay`, `pay_out`, ...) end so.

        A method that several ports have (`look_up` of either bank) is one call here.
        """
        self.do(
            lambda file: file.execute("INSERT OR REPLACE INTO trouble VALUES (?, ?)", (call, json.dumps(per_mille)))
        )

    def script(self, call: str, *outcomes: Outcome) -> None:
        """Let the next calls end so, one after the other, before chance decides again."""
        rows = [(call, outcome) for outcome in outcomes]
        self.do(lambda file: file.executemany("INSERT INTO script (call, outcome) VALUES (?, ?)", rows))

    def calm(self) -> None:
        """End all trouble."""
        self.do(lambda file: (file.execute("DELETE FROM trouble"), file.execute("DELETE FROM script")))

    def outcome(self, file: sqlite3.Connection, call: str) -> Outcome:
        """Decide how a call ends."""
        scripted = file.execute("SELECT * FROM script WHERE call = ? ORDER BY place LIMIT 1", (call,)).fetchone()
        if scripted is not None:
            file.execute("DELETE FROM script WHERE place = ?", (scripted["place"],))
            return scripted["outcome"]
        plan = file.execute("SELECT per_mille FROM trouble WHERE call = ?", (call,)).fetchone()
        drawn = self._chance.randrange(1_000)
        shares: dict[Outcome, int] = json.loads(plan["per_mille"]) if plan is not None else {}
        for outcome, share in shares.items():
            if drawn < share:
                return outcome
            drawn -= share
        return "fine"

    def note_call(self, file: sqlite3.Connection, code: str, call_id: str) -> None:
        """Keep a line of the interface's log."""
        file.execute("INSERT INTO calls (code, id, at) VALUES (?, ?, ?)", (code, call_id, self.clock().isoformat()))

    def calls(self, code: str) -> list[str]:
        """Give the ids of the calls with a code, in their order."""
        return self.do(
            lambda file: [
                row["id"] for row in file.execute("SELECT id FROM calls WHERE code = ? ORDER BY place", (code,))
            ]
        )
