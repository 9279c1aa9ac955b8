"""Short forms of what people do in the tests of the health code."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx
import jwt
from litestar import Litestar
from litestar.testing import TestClient
from stdnum.cn import ric

from backend.security.identity import IN_PERSON, Caller
from backend.store import Document

Client = TestClient[Litestar]
Headers = Mapping[str, str]


class SignedInPerson(Headers):
    """The headers of a signed-in person, whose app fetches a new access token whenever it needs one."""

    def __init__(self, app: Litestar, headers: Headers) -> None:
        claims = jwt.decode(headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        roles = tuple(claims.get("rol", ()))
        venues = tuple(claims.get("ven", ()))
        self.caller = Caller(
            claims["sub"], claims["sid"], claims.get("cit"), roles, venues, level=claims.get("lvl", IN_PERSON)
        )
        self.app = app

    def __getitem__(self, name: str) -> str:
        assert name == "Authorization"
        return f"Bearer {self.app.state.access.issue(self.caller, self.app.state.city.now())}"

    def __iter__(self) -> Iterator[str]:
        return iter(["Authorization"])

    def __len__(self) -> int:
        return 1


def id_number(serial: int, year: int = 1990) -> str:
    """Return the resident ID number of a person born in Hangzhou on 7 March of a year."""
    number = f"330106{year}0307{serial:03}"
    return number + ric.calc_check_digit(number + "0")


class Clock(Protocol):
    now: datetime


class Scene:
    """Short forms of what people do in these tests."""

    def __init__(self, client: TestClient[Litestar], clock: Clock, officer: Headers) -> None:
        self.client, self.clock, self.officer = client, clock, officer
        self.events = 0

    def code(self, person: Headers) -> dict[str, Any]:
        answer = self.client.get("/v1/me/health-code", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def colour(self, person: Headers) -> str:
        return self.code(person)["colour"]

    def history(self, person: Headers) -> list[tuple[str, str]]:
        answer = self.client.get("/v1/me/health-code/history", headers=person)
        return [(entry["at"], entry["colour"]) for entry in answer.json()["colours"]]

    def event(
        self, kind: str, event_id: str | None = None, *, person: str | None = None, **details: str
    ) -> dict[str, Any]:
        self.events += 1
        return {
            "source": "hangzhou-cdc",
            "id": event_id or f"event-{self.events}",
            "id_number": person or id_number(1),
            "event": {"kind": kind, **details},
        }

    def report(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.client.post("/v1/health-events", headers=self.officer, json={"events": list(events)})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def outcomes(self, *events: dict[str, Any]) -> list[str]:
        return [result["outcome"] for result in self.report(*events)]

    def ago(self, **span: float) -> str:
        return (self.clock.now - timedelta(**span)).isoformat()

    def set_clock(self, text: str) -> None:
        self.clock.now = datetime.fromisoformat(text).astimezone(UTC)


def stored(client: Client, kind: type[Document]) -> list[Any]:
    """Return all documents of a kind."""

    async def collect() -> list[Any]:
        return [document async for document in client.app.state.city.store.scan(kind)]

    assert client.blocking_portal is not None
    return client.blocking_portal.call(collect)


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Return the body of a response that is a Problem of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"/problems/{kind}"
    return answer.json()
