"""A city of real processes that are killed at random, and officers who report events to it."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from kombu.exceptions import OperationalError

from backend.app import open_city
from backend.city.service import City, discover_integrations, discover_services
from backend.jobs.celery import CeleryQueue
from backend.jobs.tasks import Job
from backend.security.identity import Access, Caller
from backend.security.keyring import make_keys
from backend.services.health_code.sources import ReportingSource, source_id
from backend.settings import Settings
from backend.store.update import insert_or_get
from tests.accounts import keep_account
from tests.mongod import Mongod
from tests.servers import RedisServer, chengma, city_environment, free_port, listens, wait_until
from tests.services.health_code.scene import id_number

BATCH = 10
PEOPLE = 200


class CityProcesses:
    """One mongod, one Redis, one API process and one worker; a process that ended is restarted."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.mongod, self.redis = Mongod(folder / "mongod"), RedisServer(folder)
        self.port = free_port()
        make_keys(folder / "keys")
        settings = {"port": self.port, "store_timeout_ms": 2_000, "access_log": "false"}
        self.environment = city_environment(folder, self.mongod.url, self.redis.url, **settings)
        migrating = chengma(folder, "migrate", self.environment, "migrate")
        assert migrating._process.wait(30) == 0, migrating.log_text()
        self.api = chengma(folder, "api", self.environment, "serve")
        self.worker = chengma(folder, "worker", self.environment, "worker")
        self.kills = Counter[str]()
        self.jobs = CeleryQueue(Settings(broker=self.redis.url))

    def wait_until_ready(self) -> None:
        """Wait until all processes run and answer."""
        self.restart_stopped()
        self.mongod.wait_until_primary()
        wait_until(self.redis.answers, self.redis.log_text)
        wait_until(lambda: self.restart_stopped() or listens(self.port), self.api.log_text)

    def restart_stopped(self) -> None:
        """Restart processes that were killed, or did not start because another one was unavailable."""
        for process in (self.mongod, self.redis, self.api, self.worker):
            if not process.runs:
                process.start()

    def kill_random_process(self) -> str | None:
        """Kill a random process; return its name, or None if it was not running."""
        victim = self.chance.choice(("mongod", "redis", "api", "api", "worker", "worker", "worker's child"))
        if victim == "worker's child":
            children = _children(self.worker.pid) if self.worker.runs else []
            for child in children[:1]:
                os.kill(child, signal.SIGKILL)
            killed = bool(children)
        else:
            process = getattr(self, victim)
            killed = process.runs
            if killed:
                process.kill()
        self.kills[victim] += killed
        return victim if killed else None

    def sweep(self) -> None:
        """Publish the sweep as beat does, but more often, because half a minute is too long between two kills."""
        with suppress(OperationalError, OSError):
            self.jobs.publish(Job("health_code.sweep_events"))

    def city(self) -> City:
        """Open the city's store and keys in this process."""
        settings = Settings(store=self.mongod.url, keys=str(self.folder / "keys"), mongo_driver="pymongo")
        return open_city(settings, discover_services(), discover_integrations("integrations"))

    async def assign_source(self) -> None:
        """Let the account of the officers report as a laboratory that knows no ids of samples."""
        city = self.city()
        try:
            source = ReportingSource(
                id=source_id(city, "cdc"), name="cdc", kind="laboratory", accounts=("officer",), sample_ids=False
            )
            await insert_or_get(city.store, source)
        finally:
            await city.store.close()

    def end(self) -> None:
        """Stop all processes."""
        for process in (self.api, self.worker, self.redis, self.mongod):
            if process.runs:
                process.stop()
        self.jobs._app.close()


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Officers:
    """Officers who report batches of events, and send each batch again until it is answered."""

    def __init__(self, processes: CityProcesses, number: int) -> None:
        self.headers = {"Authorization": f"Bearer {asyncio.run(self._token(processes.city()))}"}
        self.address = f"http://127.0.0.1:{processes.port}"
        self.number = number
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self.refused = Counter[str]()
        self.ended = asyncio.Event()

    async def _token(self, city: City) -> str:
        """Return the access token of an officer, whose account is stored."""
        now = datetime.now(UTC)
        try:
            officer = Caller("officer", "session", "an-officer", ("health_officer",))
            caller = await keep_account(city.store, city.encryption, officer, now)
        finally:
            await city.store.close()
        return Access(city.settings, city.keys, lambda: now).issue(caller, now, 86_400)

    async def report_until(self, ended: asyncio.Event) -> None:
        """Report until the event is set."""
        self.ended = ended
        async with httpx.AsyncClient(base_url=self.address, trust_env=False, timeout=8) as client:
            await asyncio.gather(*(self._report(client, officer) for officer in range(self.number)))

    async def _report(self, client: httpx.AsyncClient, officer: int) -> None:
        chance, batch = random.Random(officer), 0
        while not self.ended.is_set():
            batch += 1
            ids = [f"{officer}-{batch}-{place}" for place in range(BATCH)]
            await self._send(client, ids, [_event(event_id, chance) for event_id in ids])

    async def _send(self, client: httpx.AsyncClient, ids: Sequence[str], events: Sequence[dict[str, object]]) -> None:
        self.sent |= set(ids)
        while not self.ended.is_set():
            try:
                answer = await client.post("/v1/health-events", headers=self.headers, json={"events": events})
            except httpx.TransportError as error:
                self.refused[type(error).__name__] += 1
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == 200:
                results = answer.json()["results"]
                assert {result["outcome"] for result in results} <= {"applied", "repeated"}, results
                self.acknowledged |= set(ids)
                return
            assert answer.status_code in {409, 503}, answer.text
            self.refused[str(answer.status_code)] += 1
            await asyncio.sleep(0.1)


def _event(event_id: str, chance: random.Random) -> dict[str, object]:
    at = (datetime.now(UTC) - timedelta(hours=chance.randrange(1, 200))).isoformat()
    event = {"kind": "test", "test": "pcr", "result": "negative", "sampled_at": at}
    return {"source": "cdc", "id": event_id, "id_number": id_number(chance.randrange(PEOPLE)), "event": event}
