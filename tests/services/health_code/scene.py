"""Short forms of what people do in the tests of the health code."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx
import jwt
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace
from stdnum.cn import ric

from backend.security.identity import IN_PERSON, Caller
from backend.services.account.model.account import Account
from backend.services.health_code.sources import ReportingSource, SourceKind, source_id
from backend.store import Document
from backend.store.update import create_or_update, update_document

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


REGISTER, LABORATORY, OFFICE = "hangzhou-register", "hangzhou-lab", "hangzhou-cdc"


class Scene:
    """Short forms of what people do in these tests.

    The account of `officer` reports for a register, a laboratory and an office. Events come from the source that needs
    no second person to report them.
    """

    def __init__(self, client: TestClient[Litestar], clock: Clock, officer: Headers) -> None:
        self.client, self.clock, self.officer = client, clock, officer
        self.events = 0
        self.sources: dict[str, str] = {}
        assign_source(client, officer, REGISTER, "register")
        assign_source(client, officer, LABORATORY, "laboratory", sample_ids=False)
        assign_source(client, officer, OFFICE, "office")

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
        event_id = event_id or f"event-{self.events}"
        source = {"test": LABORATORY, "false_statement": OFFICE}.get(kind, REGISTER)
        if kind == "withdrawal":
            source = self.sources.get(details["of"], REGISTER)
        self.sources[event_id] = source
        return {
            "source": source,
            "id": event_id,
            "id_number": person or id_number(1),
            "event": {"kind": kind, **details},
        } | ({"case_id": f"case of {event_id}"} if source == REGISTER else {})

    def by_office(self, kind: str, event_id: str | None = None, **details: str) -> dict[str, Any]:
        """Return an event that an officer reports by their own word."""
        event = self.event(kind, event_id, **details) | {"source": OFFICE}
        event.pop("case_id", None)
        return event

    def proposals(self, approver: Headers) -> list[dict[str, Any]]:
        answer = self.client.get("/v1/health-event-proposals", headers=approver)
        assert answer.status_code == 200, answer.text
        return answer.json()["proposals"]

    def decide(self, decision: str, approver: Headers, *ids: str) -> list[str]:
        """Return the outcomes of approvals or rejections of proposals, by default of all."""
        chosen = list(ids) or [proposal["id"] for proposal in self.proposals(approver)]
        answer = self.client.post(f"/v1/health-event-proposals/{decision}", headers=approver, json={"ids": chosen})
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        return [result["outcome"] if result["problem"] is None else result["problem"]["type"] for result in results]

    def approve(self, approver: Headers, *ids: str) -> list[str]:
        return self.decide("approvals", approver, *ids)

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


def account_of(headers: Headers) -> str:
    """Return the id of the account of a signed-in person."""
    token = headers["Authorization"].removeprefix("Bearer ")
    return jwt.decode(token, options={"verify_signature": False})["sub"]


def assign_source(
    client: Client,
    headers: Headers,
    name: str,
    kind: SourceKind,
    **terms: Any,  # noqa: ANN401  any fields
) -> None:
    """Let a signed-in account report for a source, as two operators would."""
    city = client.app.state.city
    account = account_of(headers)

    def assigned(source: ReportingSource) -> ReportingSource:
        return replace(source, kind=kind, accounts=(*source.accounts, account), **terms)

    source = ReportingSource(id=source_id(city, name), name=name)
    assert client.blocking_portal is not None
    client.blocking_portal.call(create_or_update, city.store, source, assigned)


def without_identity(client: Client, person: Headers) -> Headers:
    """Return a member of staff whose account belongs to no known person."""
    store = client.app.state.city.store
    assert client.blocking_portal is not None
    client.blocking_portal.call(
        update_document,
        store,
        lambda: store.get(Account, account_of(person)),
        lambda account: replace(account, citizen_id=None),
    )
    return person
