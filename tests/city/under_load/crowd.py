"""Citizens, officers and gates who use a city and record what it acknowledges."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from tests.city.under_load.requests import Connections

VENUES = ("library", "station")


class Citizen(Struct):
    """A citizen: the id of their Profile, their ID number, and the headers of their app."""

    id: str
    id_number: str
    headers: dict[str, str]


class Acknowledged(Struct):
    """What the city has acknowledged."""

    contacts: Counter[tuple[str, datetime]] = msgspec.field(default_factory=Counter)
    """Keyed by the person who declared the contact and its instant, which is unique."""
    events: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Keyed by the person and the event's id."""
    scans: set[tuple[str, str]] = msgspec.field(default_factory=set[tuple[str, str]])
    """Pairs of venue and scan id."""
    rulebooks: list[tuple[float, int, str]] = []
    """The instant and port of each request for a code, and the rulebook of the response."""


class Crowd:
    """Sends random requests to all servers for some time; a response other than 2xx fails the test."""

    def __init__(
        self,
        ports: Sequence[int],
        people: Sequence[Citizen],
        officer: dict[str, str],
        gate: dict[str, str],
        begin: datetime,
    ) -> None:
        self.done = Acknowledged()
        self.answers: Counter[str] = Counter()
        self._ports = ports
        self._people = people
        self._officer = officer
        self._gate = gate
        self._begin = begin
        self._numbers = count(1)

    async def use_city(self, clients: int, ended: asyncio.Event) -> None:
        """Run clients that each send one request after the other, until the end."""
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(Random(number), ended))

    async def _client(self, chance: Random, ended: asyncio.Event) -> None:
        async with Connections(self._ports) as connections:
            while not ended.is_set():
                action = chance.choices(
                    (self._show, self._history, self._declare, self._report, self._scan), (10, 4, 2, 2, 2)
                )[0]
                await action(connections, chance)
                self.answers[action.__name__] += 1

    async def _show(self, connections: Connections, chance: Random) -> dict[str, Any]:
        person, port, sent_at = chance.choice(self._people), chance.choice(self._ports), time.monotonic()
        code = await connections.ask(port, "GET", "/v1/me/health-code", person.headers)
        self.done.rulebooks.append((sent_at, port, code["rulebook"]))
        return code

    async def _history(self, connections: Connections, chance: Random) -> None:
        person = chance.choice(self._people)
        answer = await connections.ask(chance.choice(self._ports), "GET", "/v1/me/health-code/history", person.headers)
        assert answer["colours"]

    async def _declare(self, connections: Connections, chance: Random) -> None:
        """Declare a contact at a unique instant."""
        person, port, sent_at = chance.choice(self._people), chance.choice(self._ports), time.monotonic()
        at = self._begin - timedelta(milliseconds=next(self._numbers))
        body = {"symptoms": [], "contacts": [{"level": "nearby", "at": at.isoformat()}]}
        code = await connections.ask(port, "POST", "/v1/me/health-declarations", person.headers, body)
        self.done.rulebooks.append((sent_at, port, code["rulebook"]))
        self.done.contacts[person.id, at] += 1

    async def _report(self, connections: Connections, chance: Random) -> None:
        """Report events of some people; a quarter of the batches is sent to both servers at once."""
        people = chance.sample(self._people, 3)
        events = [
            {
                "source": "load",
                "id": f"event-{next(self._numbers)}",
                "id_number": person.id_number,
                "case_id": "round-1",
                "event": {"kind": "vaccination", "at": (self._begin - timedelta(days=30)).isoformat()},
            }
            for person in people
        ]
        ports = [chance.choice(self._ports)] if chance.random() < 0.75 else self._ports
        answers = await asyncio.gather(
            *(connections.ask(port, "POST", "/v1/health-events", self._officer, {"events": events}) for port in ports)
        )
        outcomes = [result["outcome"] for answer in answers for result in answer["results"]]
        assert set(outcomes) <= {"applied", "repeated"}, outcomes
        for person, event in zip(people, events, strict=True):
            self.done.events[person.id, str(event["id"])] += 1

    async def _scan(self, connections: Connections, chance: Random) -> None:
        """Show a code at a gate; a quarter of the scans is sent to both servers at once."""
        code = await self._show(connections, chance)
        venue, scan_id = chance.choice(VENUES), f"scan-{next(self._numbers):08}"
        body = {"payload": code["payload"], "venue": venue, "scan_id": scan_id}
        ports = [chance.choice(self._ports)] if chance.random() < 0.75 else self._ports
        answers = await asyncio.gather(
            *(connections.ask(port, "POST", "/v1/verifications", self._gate, body) for port in ports)
        )
        for answer in answers:
            assert answer == answers[0]
            assert answer["outcome"] in {"valid", "superseded"}, answer
            assert answer["recorded"], answer
        self.done.scans.add((venue, scan_id))
