"""A city under load: two servers, two workers, MongoDB and Redis; amid it all a rulebook is published."""

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

from backend.app import facts_of
from backend.city.person import Person, new_person, parse_id_number
from backend.city.service import discover_services
from backend.operations.access_log import _LONG_NUMBER
from backend.rulebook import load_rulebook
from backend.security.field_encryption import FieldEncryption
from backend.security.identity import Access, Caller
from backend.security.keyring import Keyring, make_keys
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, VenueVisit
from backend.services.health_code.reports import ContactReported, HealthDeclared
from backend.settings import Settings
from backend.store.mongo.store import MongoStore
from tests.city.under_load.crowd import VENUES, Citizen, Crowd
from tests.conftest import ROOT, id_number_for
from tests.draws import draws
from tests.servers import chengma, city_environment, free_port, listens, messages, wait_until

pytestmark = pytest.mark.slow

KINDS = (Person, HealthRecord, HealthEventReceipt, VenueVisit)
PEOPLE = 640
CLIENTS = 64
SECONDS = draws(20, soak=60)
TAKEN_UP_SECONDS = 5


class Place(Struct):
    """Where a city runs."""

    folder: Path
    environment: dict[str, str]
    ports: Sequence[int]
    servers: Sequence[Path]
    workers: Sequence[Path]


@pytest.fixture
def place(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Place]:
    ports = [free_port(), free_port()]
    environment = city_environment(tmp_path, database_url, f"{redis_url.rpartition('/')[0]}/2")
    make_keys(tmp_path / "keys")
    command(["migrate"], environment, tmp_path)
    workers = [chengma(tmp_path, f"worker-{name}", environment, "worker", "--name", name) for name in ("a", "b")]
    servers = [
        chengma(tmp_path, f"server-{port}", environment | {"CHENGMA_PORT": str(port)}, "serve") for port in ports
    ]
    try:
        wait_until(lambda: all(map(listens, ports)), servers[0].said)
        wait_until(lambda: all(messages(worker.output) for worker in workers), workers[0].said)
        yield Place(
            tmp_path,
            environment,
            ports,
            [server.output for server in servers],
            [worker.output for worker in workers],
        )
        assert all(process.runs for process in (*servers, *workers)), "nobody fell"
    finally:
        for process in (*servers, *workers):
            process.stop()


def command(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    """Run `chengma` to its end."""
    subprocess.run([sys.executable, "-m", "backend", *arguments], env=environment, cwd=folder, check=True, timeout=120)


def test_a_city_under_load_loses_nothing_while_a_rulebook_is_published(place: Place) -> None:
    old, rules = digest_of(ROOT / "rules"), reworded_rules(place.folder / "reworded")
    new = digest_of(rules)
    assert old != new
    crowd, published = asyncio.run(press(place, rules, new))
    assert {digest for _, _, digest in crowd.done.rulebooks} == {old, new}
    late = [(port, digest) for asked, port, digest in crowd.done.rulebooks if asked > published + TAKEN_UP_SECONDS]
    assert set(late) == {(port, new) for port in place.ports}
    asyncio.run(everything_stands_once(place, crowd))


def reworded_rules(folder: Path) -> Path:
    """Copy the rules and say one thing in other words, so that they decide alike under another digest."""
    shutil.copytree(ROOT / "rules", folder)
    frame = folder / "health_code" / "frame.yaml"
    text = frame.read_text(encoding="utf-8")
    assert "There is no record of full vaccination" in text
    frame.write_text(text.replace("There is no record of full", "We know of no full"), encoding="utf-8")
    return folder


def digest_of(rules: Path) -> str:
    return load_rulebook(rules, facts_of(discover_services()), ZoneInfo("Asia/Shanghai")).digest


async def press(place: Place, rules: Path, new: str) -> tuple[Crowd, float]:
    """Let the crowd use the city, publish a rulebook in the middle, and give the instant at which that was done."""
    crowd = await gather_crowd(place)
    pressing = asyncio.create_task(crowd.press(CLIENTS, SECONDS))
    await asyncio.sleep(SECONDS / 2)
    await asyncio.to_thread(command, ["rules", "publish", str(rules)], place.environment, place.folder)
    published = time.monotonic()
    digest = _LONG_NUMBER.sub("[number]", new[:16])  # logs blank whatever may be the number of a person
    said = f"rulebook {digest} is in force"
    for log in [*place.workers, *place.servers]:
        left = published + TAKEN_UP_SECONDS - time.monotonic()
        await asyncio.to_thread(wait_until, lambda log=log: said in messages(log), log.read_text, left)
    await pressing
    return crowd, published


async def gather_crowd(place: Place) -> Crowd:
    """Make people of whom the city knows nothing but their Profile, an officer and a gate."""
    now = datetime.now(UTC).replace(microsecond=0)
    keys = Keyring.open(place.folder / "keys")
    access = Access(Settings(), keys, lambda: now)

    def headers(caller: Caller) -> dict[str, str]:
        return {"Authorization": f"Bearer {access.issue(caller, now)}"}

    numbers = [id_number_for(f"13800138{number:03}") for number in range(PEOPLE)]
    profiles = [
        new_person(FieldEncryption(keys), parse_id_number(number, now.date()), f"person-{place:04}", now)
        for place, number in enumerate(numbers)
    ]
    store = MongoStore(place.environment["CHENGMA_STORE"], KINDS)
    await store.restore(profiles)
    await store.close()
    people = [
        Citizen(profile.id, number, headers(Caller(f"account-{profile.id}", "session", profile.id)))
        for profile, number in zip(profiles, numbers, strict=True)
    ]
    officer = headers(Caller("officer", "session", roles=("health_officer",)))
    gate = headers(Caller("gate", "session", roles=("gate",), venues=VENUES))
    return Crowd(place.ports, people, officer, gate, now - timedelta(days=1))


async def everything_stands_once(place: Place, crowd: Crowd) -> None:
    """Hold what the city has acknowledged against what it keeps."""
    store = MongoStore(place.environment["CHENGMA_STORE"], KINDS)
    records = [record async for record in store.scan(HealthRecord)]
    said = [(record.id, report) for record in records for report in record.reports]
    contacts = Counter(
        (person, report.event.at) for person, report in said if isinstance(report.event, ContactReported)
    )
    assert contacts == crowd.done.contacts
    declared = Counter(person for person, report in said if isinstance(report.event, HealthDeclared))
    assert declared == Counter(person for person, _ in crowd.done.contacts)
    reported = Counter((person, report.key) for person, report in said if report.key is not None)
    encryption = FieldEncryption(Keyring.open(place.folder / "keys"))
    events = crowd.done.events
    assert reported == Counter({(who, encryption.digest("health-event", f"load\n{event}")): 1 for who, event in events})
    receipts = [receipt async for receipt in store.scan(HealthEventReceipt)]
    assert len(receipts) == len(events)
    assert all(receipt.applied for receipt in receipts)
    visits = Counter([(visit.venue, visit.scan_id) async for visit in store.scan(VenueVisit)])
    assert visits == Counter(crowd.done.scans)
    assert min(len(contacts), len(events), len(visits)) > CLIENTS, "too little was done to show anything"
    await store.close()
