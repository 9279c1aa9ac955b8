"""A crowd that uses a city: citizens, officers and gates, which remember what the city has acknowledged."""

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

from tests.city.under_load.requests import Lines

VENUES = ("library", "station")


class Citizen(Struct):
    """A citizen: the id of their Profile, their ID number, and the headers of their app."""

    id: str
    id_number: str
    headers: dict[str, str]


class Acknowledged(Struct):
    """What the city has said it did."""

    contacts: Counter[tuple[str, datetime]] = msgspec.field(default_factory=Counter)
    """By the person who declared it and its instant, of which each declaration has its own."""
    events: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By the person and the event's id."""
    scans: set[tuple[str, str]] = msgspec.field(default_factory=set[tuple[str, str]])
    """By venue and scan id."""
    rulebooks: list[tuple[float, int, str]] = []
    """When a code was asked for, at which port, and by which rulebook it was decided."""


class Crowd:
    """Asks at random, of any server, until its time is over. Whatever is not answered with 2xx ends it."""

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

    async def press(self, clients: int, seconds: float) -> None:
        """Let so many clients ask, each one thing after the other."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(Random(number), end))

    async def _client(self, chance: Random, end: float) -> None:
        async with Lines(self._ports) as lines:
            while time.monotonic() < end:
                action = chance.choices(
                    (self._show, self._history, self._declare, self._report, self._scan), (10, 4, 2, 2, 2)
                )[0]
                await action(lines, chance)
                self.answers[action.__name__] += 1

    async def _show(self, lines: Lines, chance: Random) -> dict[str, Any]:
        person, port, asked = chance.choice(self._people), chance.choice(self._ports), time.monotonic()
        code = await lines.ask(port, "GET", "/v1/me/health-code", person.headers)
        self.done.rulebooks.append((asked, port, code["rulebook"]))
        return code

    async def _history(self, lines: Lines, chance: Random) -> None:
        person = chance.choice(self._people)
        answer = await lines.ask(chance.choice(self._ports), "GET", "/v1/me/health-code/history", person.headers)
        assert answer["colours"]

    async def _declare(self, lines: Lines, chance: Random) -> None:
        """Declare a contact at an instant that no other has."""
        person, port, asked = chance.choice(self._people), chance.choice(self._ports), time.monotonic()
        at = self._begin - timedelta(milliseconds=next(self._numbers))
        body = {"symptoms": [], "contacts": [{"level": "nearby", "at": at.isoformat()}]}
        code = await lines.ask(port, "POST", "/v1/me/health-declarations", person.headers, body)
        self.done.rulebooks.append((asked, port, code["rulebook"]))
        self.done.contacts[person.id, at] += 1

    async def _report(self, lines: Lines, chance: Random) -> None:
        """Report events of some people; one time in four the answer is lost, and they are sent again, elsewhere."""
        people = chance.sample(self._people, 3)
        events = [
            {
                "source": "load",
                "id": f"event-{next(self._numbers)}",
                "id_number": person.id_number,
                "event": {"kind": "vaccination", "at": (self._begin - timedelta(days=30)).isoformat()},
            }
            for person in people
        ]
        asked = [chance.choice(self._ports)] if chance.random() < 0.75 else self._ports
        answers = await asyncio.gather(
            *(lines.ask(port, "POST", "/v1/health-events", self._officer, {"events": events}) for port in asked)
        )
        outcomes = [result["outcome"] for answer in answers for result in answer["results"]]
        assert set(outcomes) <= {"applied", "repeated"}, outcomes
        for person, event in zip(people, events, strict=True):
            self.done.events[person.id, str(event["id"])] += 1

    async def _scan(self, lines: Lines, chance: Random) -> None:
        """Show a code at a gate, whose scanner may send it twice, to both servers at once."""
        code = await self._show(lines, chance)
        venue, scan_id = chance.choice(VENUES), f"scan-{next(self._numbers):08}"
        body = {"payload": code["payload"], "venue": venue, "scan_id": scan_id}
        asked = [chance.choice(self._ports)] if chance.random() < 0.75 else self._ports
        answers = await asyncio.gather(
            *(lines.ask(port, "POST", "/v1/verifications", self._gate, body) for port in asked)
        )
        for answer in answers:
            assert answer == answers[0]
            assert answer["outcome"] in {"valid", "superseded"}, answer
            assert answer["recorded"], answer
        self.done.scans.add((venue, scan_id))
