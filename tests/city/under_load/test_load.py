"""A city under load: two servers, two workers, MongoDB and Redis; a rulebook is published in the middle."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec import Struct

from backend.city.id_number import parse_id_number
from backend.city.person import Person, new_person
from backend.city.service import discover_services, rule_modules_of
from backend.operations.access_log import _LONG_NUMBER
from backend.rulebook import load_rulebook
from backend.rulebook.needs import facts_of
from backend.security.field_encryption import FieldEncryption
from backend.security.identity import Access, Caller
from backend.security.keyring import Keyring, make_keys
from backend.services.account.model.account import Account
from backend.services.account.model.session import Session
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, VenueVisit
from backend.services.health_code.reports import ContactReported, HealthDeclared
from backend.services.health_code.sources import ReportingSource
from backend.settings import Settings
from backend.store.mongo.store import MongoStore
from tests.accounts import keep_account
from tests.city.under_load.crowd import VENUES, Citizen, Crowd
from tests.conftest import ROOT, id_number_for
from tests.draws import draws
from tests.servers import chengma, city_environment, free_port, listens, messages, wait_until

pytestmark = pytest.mark.slow

KINDS = (Account, Session, Person, HealthRecord, HealthEventReceipt, ReportingSource, VenueVisit)
PEOPLE = 640
CLIENTS = 64
SECONDS = draws(30, soak=60)
MAX_ACTIVATION_SECONDS = 5


class RunningCity(Struct):
    """The processes and files of a running city."""

    folder: Path
    environment: dict[str, str]
    ports: Sequence[int]
    servers: Sequence[Path]
    workers: Sequence[Path]


@pytest.fixture
def running_city(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[RunningCity]:
    ports = [free_port(), free_port()]
    environment = city_environment(tmp_path, database_url, f"{redis_url.rpartition('/')[0]}/2")
    make_keys(tmp_path / "keys")
    command(["migrate"], environment, tmp_path)
    workers = [chengma(tmp_path, f"worker-{name}", environment, "worker", "--name", name) for name in ("a", "b")]
    servers = [
        chengma(tmp_path, f"server-{port}", environment | {"CHENGMA_PORT": str(port)}, "serve") for port in ports
    ]
    try:
        wait_until(lambda: all(map(listens, ports)), servers[0].log_text)
        wait_until(lambda: all(messages(worker.output) for worker in workers), workers[0].log_text)
        yield RunningCity(
            tmp_path,
            environment,
            ports,
            [server.output for server in servers],
            [worker.output for worker in workers],
        )
        assert all(process.runs for process in (*servers, *workers)), "no process ended"
    finally:
        for process in (*servers, *workers):
            process.stop()


def command(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    """Run a `chengma` command."""
    subprocess.run([sys.executable, "-m", "backend", *arguments], env=environment, cwd=folder, check=True, timeout=120)


def test_a_city_under_load_loses_nothing_while_a_rulebook_is_published(running_city: RunningCity) -> None:
    old, rules = digest_of(ROOT / "rules"), reworded_rules(running_city.folder / "reworded")
    new = digest_of(rules)
    assert old != new
    crowd, published = asyncio.run(use_city(running_city, rules, new))
    assert {digest for _, _, digest in crowd.done.rulebooks} == {old, new}
    late = [
        (port, digest) for sent_at, port, digest in crowd.done.rulebooks if sent_at > published + MAX_ACTIVATION_SECONDS
    ]
    assert set(late) == {(port, new) for port in running_city.ports}
    asyncio.run(check_everything_stored_once(running_city, crowd))


def reworded_rules(folder: Path) -> Path:
    """Copy the rules and reword one text, so that they make the same decisions under another digest."""
    shutil.copytree(ROOT / "rules", folder)
    frame = folder / "health_code" / "frame.yaml"
    text = frame.read_text(encoding="utf-8")
    assert "There is no record of full vaccination" in text
    frame.write_text(text.replace("There is no record of full", "We know of no full"), encoding="utf-8")
    return folder


def digest_of(rules: Path) -> str:
    return load_rulebook(rules, facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai")).digest


async def use_city(running_city: RunningCity, rules: Path, new: str) -> tuple[Crowd, float]:
    """Let the crowd use the city, publish a rulebook halfway, and return the crowd and the time of the publication."""
    crowd = await create_crowd(running_city)
    ended = asyncio.Event()
    load = asyncio.create_task(crowd.use_city(CLIENTS, ended))
    await asyncio.sleep(SECONDS / 2)
    author = running_city.environment | {"CHENGMA_DEVELOPMENT": "true"}  # else two people would release it
    await asyncio.to_thread(command, ["rules", "publish", str(rules)], author, running_city.folder)
    published = time.monotonic()
    digest = _LONG_NUMBER.sub("[number]", new[:16])  # logs mask anything that may be a personal number
    log_line = f"rulebook {digest} is in force"
    for log in [*running_city.workers, *running_city.servers]:
        left = published + MAX_ACTIVATION_SECONDS - time.monotonic()
        await asyncio.to_thread(wait_until, lambda log=log: log_line in messages(log), log.read_text, left)
    await asyncio.sleep(max(SECONDS / 4, published + MAX_ACTIVATION_SECONDS + 1 - time.monotonic()))
    ended.set()
    await load
    return crowd, published


async def create_crowd(running_city: RunningCity) -> Crowd:
    """Create people who have only a Profile, an officer and a gate."""
    now = datetime.now(UTC).replace(microsecond=0)
    keys = Keyring.open(running_city.folder / "keys")
    access = Access(Settings(), keys, lambda: now)

    def headers(caller: Caller) -> dict[str, str]:
        return {"Authorization": f"Bearer {access.issue(caller, now)}"}

    numbers = [id_number_for(f"13800138{number:03}") for number in range(PEOPLE)]
    profiles = [
        new_person(FieldEncryption(keys), parse_id_number(number, now.date()), f"person-{index:04}", now)
        for index, number in enumerate(numbers)
    ]
    store = MongoStore(running_city.environment["CHENGMA_STORE"], KINDS)
    await store.restore(profiles)
    key = FieldEncryption(keys).digest("reporting-source", "load")
    await store.insert(ReportingSource(id=key, name="load", kind="register", accounts=("officer",)))

    async def signed_in(caller: Caller) -> dict[str, str]:
        return headers(await keep_account(store, FieldEncryption(keys), caller, now))

    people = [
        Citizen(profile.id, number, await signed_in(Caller(f"account-{profile.id}", "session", profile.id, level=3)))
        for profile, number in zip(profiles, numbers, strict=True)
    ]
    officer = await signed_in(Caller("officer", "session", "an-officer", roles=("health_officer",)))
    gate = await signed_in(Caller("gate", "session", roles=("gate",), venues=VENUES))
    await store.close()
    return Crowd(running_city.ports, people, officer, gate, now - timedelta(days=1))


async def check_everything_stored_once(running_city: RunningCity, crowd: Crowd) -> None:
    """Compare what the city has acknowledged with what it stores."""
    store = MongoStore(running_city.environment["CHENGMA_STORE"], KINDS)
    records = [record async for record in store.scan(HealthRecord)]
    log_line = [(record.id, report) for record in records for report in record.reports]
    contacts = Counter(
        (person, report.event.at) for person, report in log_line if isinstance(report.event, ContactReported)
    )
    assert contacts == crowd.done.contacts
    declared = Counter(person for person, report in log_line if isinstance(report.event, HealthDeclared))
    assert declared == Counter(person for person, _ in crowd.done.contacts)
    reported = Counter((person, report.key) for person, report in log_line if report.key is not None)
    encryption = FieldEncryption(Keyring.open(running_city.folder / "keys"))
    events = crowd.done.events
    assert reported == Counter({(who, encryption.digest("health-event", f"load\n{event}")): 1 for who, event in events})
    receipts = [receipt async for receipt in store.scan(HealthEventReceipt)]
    assert len(receipts) == len(events)
    assert all(receipt.applied for receipt in receipts)
    visits = Counter([(visit.venue, visit.scan_id) async for visit in store.scan(VenueVisit)])
    assert visits == Counter(crowd.done.scans)
    assert min(len(contacts), len(events), len(visits)) > CLIENTS, "too few requests for a meaningful test"
    await store.close()
