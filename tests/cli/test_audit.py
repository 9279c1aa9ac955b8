"""`chengma audit`: verify the log, show its entries, and print its signed head, as an auditor does."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from backend.city.audit_chain import HEAD_FILE, extend_chain
from backend.city.audit_log import record_act
from backend.city.service import City
from backend.settings import Settings
from tests.city.audited_city import in_city, permit_act
from tests.cli.command import chengma
from tests.conftest import Clock
from tests.keys import new_keys

pytestmark = pytest.mark.slow


class Auditor:
    """An auditor on the city's machine."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.store, self.keys = folder / "city.db", folder / "keys"
        self.clock = Clock(datetime.now(UTC))

    def acts(self, count: int) -> None:
        """Let an officer act, each time in a block of its own."""

        async def work(city: City) -> None:
            for number in range(count):
                self.clock.now += timedelta(milliseconds=1)
                await record_act(city, permit_act(city, number, "permit-1"))
                await extend_chain(city)

        settings = Settings(store=f"sqlite:///{self.store}", keys=str(self.keys), sandbox=f"{self.folder}/sandbox.db")
        in_city(settings, self.clock, work)

    def runs(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status and the output of a command."""
        done = chengma("audit", *arguments, environment=self.environment, folder=self.folder)
        return done.returncode, done.stdout + done.stderr

    def change(self, statement: str, *values: object) -> None:
        """Change the store as somebody does who has its file."""
        with sqlite3.connect(self.store) as connection:
            connection.execute(statement, values)
        connection.close()

    def edit(self, table: str, place: int, **fields: object) -> None:
        """Edit fields in the body of the row with this place."""
        with sqlite3.connect(self.store) as connection:
            row = connection.execute(f"SELECT id, body FROM {table} ORDER BY rowid LIMIT 1 OFFSET ?", (place,))  # noqa: S608
            row_id, body = row.fetchone()
            changed = msgspec.msgpack.encode(msgspec.msgpack.decode(body) | fields)
            connection.execute(f"UPDATE {table} SET body = ? WHERE id = ?", (changed, row_id))  # noqa: S608
        connection.close()


@pytest.fixture
def auditor(environment: dict[str, str], tmp_path: Path) -> Auditor:
    new_keys(tmp_path / "keys")
    environment |= {"CHENGMA_STORE": f"sqlite:///{tmp_path}/city.db", "CHENGMA_KEYS": str(tmp_path / "keys")}
    return Auditor(tmp_path, environment)


def test_an_intact_log_is_verified(auditor: Auditor) -> None:
    auditor.acts(3)
    assert auditor.runs("verify") == (
        0,
        "The audit log is intact: 3 entries in 3 blocks, 0 closed days, 1 kept statements.\n",
    )


def test_an_edited_entry_is_named(auditor: Auditor) -> None:
    auditor.acts(3)
    auditor.edit("audit_entries", 1, account="nobody")
    status, output = auditor.runs("verify")
    assert status == 1
    assert output.startswith("Error: block 2: the entry ")
    assert output.endswith("was edited\n")


def test_a_block_that_cannot_be_read_is_a_fault_and_no_crash(auditor: Auditor) -> None:
    auditor.acts(2)
    auditor.edit("audit_blocks", 0, number="one")
    status, output = auditor.runs("verify")
    assert (status, "Traceback" in output) == (1, False)
    assert "cannot be read" in output


def test_a_cut_log_is_found_by_the_folder_of_keys_and_by_kept_statements(auditor: Auditor) -> None:
    auditor.acts(3)
    status, head = auditor.runs("head")
    assert status == 0
    kept = auditor.folder / "heads.txt"
    kept.write_text(f"# kept on another machine\n{head}")
    assert auditor.runs("verify", "--roots", str(kept))[0] == 0
    auditor.change("DELETE FROM audit_blocks WHERE number = 3")
    auditor.change("DELETE FROM audit_entries WHERE rowid = 3")
    assert "the log was cut after block 2, and the folder of keys" in auditor.runs("verify")[1]
    (auditor.keys / HEAD_FILE).unlink()
    assert auditor.runs("verify")[0] == 0
    status, output = auditor.runs("verify", "--roots", str(kept))
    assert (status, f"{kept}, line 2 has block 3" in output) == (1, True)


def test_a_log_is_verified_with_public_keys_alone(auditor: Auditor) -> None:
    auditor.acts(1)
    published = chengma("keys", "publish", "--use", "audit", environment=auditor.environment, folder=auditor.folder)
    keys = auditor.folder / "audit.json"
    keys.write_text(published.stdout)
    auditor.environment["CHENGMA_KEYS"] = str(auditor.folder / "none")
    assert auditor.runs("verify", "--keys", str(keys))[0] == 0
    assert auditor.runs("verify")[0] == 1


def test_entries_are_shown_by_day_account_object_and_action(auditor: Auditor) -> None:
    auditor.acts(2)
    for arguments in ([], ["--about", "permit-1"], ["--account", "city", "--action", "permit.granted"]):
        status, output = auditor.runs("show", *arguments)
        assert (status, output.count("permit.granted ")) == (0, 2), output
    status, output = auditor.runs("show", "--action", "permit.granted", "--json", "--limit", "1")
    assert (status, json.loads(output)["reason"]) == (0, "1")
    assert auditor.runs("show", "--about", "nothing") == (0, "0 entries.\n")


def test_showing_entries_is_an_entry(auditor: Auditor) -> None:
    auditor.acts(1)
    auditor.runs("show", "--about", "permit-1")
    assert "audit.read" in auditor.runs("show", "--action", "audit.read")[1]


def test_a_store_that_does_not_exist_is_not_created(auditor: Auditor) -> None:
    for command in ("verify", "show", "head"):
        status, output = auditor.runs(command)
        assert (status, "there is no such file" in output) == (1, True)
    assert not auditor.store.exists()
