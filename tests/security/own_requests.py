"""A person who attacks their own colour: what they can request for themselves, with all their phones and sessions."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import jwt
import msgspec

from backend.city.id_number import parse_id_number
from backend.city.invented_people import invented_face
from backend.city.service import City
from backend.jobs.tasks import discover_tasks
from backend.rulebook.language.temporal import midnight
from backend.services.account.model.account import Account, caller_of
from backend.services.account.model.session import Session
from backend.services.account.sign_in_codes import issue_code
from backend.services.health_code.reports import CheckedIn, Event, Report, derive_facts
from backend.services.health_code.rule_modules import COLOUR, COLOURS
from tests.services.health_code.scene import Scene

ZONE = ZoneInfo("Asia/Shanghai")
SWEEPS = ("audit.sweep_acts", "account.sweep_identity_cases", "account.sweep_closures")
Details = dict[str, str]


class Attacker:
    """A person with an identity document and their face, who has as many phones as they like, and keeps all tokens."""

    def __init__(self, scene: Scene, serial: int, document: Details) -> None:
        self.scene, self.client, self.document = scene, scene.client, document
        self.city: City = scene.client.app.state.city
        self.new_phones = (str(13_920_000_000 + serial * 50 + number) for number in itertools.count())
        self.phones: list[str] = []
        self.sessions: list[str] = []
        self.tokens: list[tuple[datetime, str]] = []
        self.reports: list[Report] = []
        self.report_ids = (f"report-{serial}-{number}" for number in itertools.count())
        self.takes_another_phone({})

    # ── requests ──

    def call(self, work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401  whatever the work returns
        assert self.client.blocking_portal is not None
        return self.client.blocking_portal.call(work, self.city, *arguments)

    def request(self, token: str, method: str, path: str, body: object = None) -> httpx.Response:
        """Send a request with an access token, and keep a token that the answer has."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.client.request(method, path, headers=headers, **({} if body is None else {"json": body}))
        if answer.status_code in {200, 201} and "access_token" in answer.json():
            self.keep(answer.json()["access_token"])
        return answer

    def keep(self, token: str) -> None:
        self.tokens.append((self.scene.clock.now, token))
        if session_of(token) not in self.sessions:
            self.sessions.append(session_of(token))

    def post(self, path: str, body: object) -> list[httpx.Response]:
        """Send a request in each of the person's sessions."""
        return [self.request(token, "POST", path, body) for token in self.renewed()]

    def renewed(self) -> Iterator[str]:
        """Yield a new token of each session that has not ended, as renewing it gives."""
        for session in list(self.sessions):
            account = self.call(account_of_session, session)
            if account is None:
                self.sessions.remove(session)
                continue
            caller = caller_of(account, session, self.call(level_of_session, session))
            token = self.client.app.state.access.issue(caller, self.city.now())
            self.tokens.append((self.scene.clock.now, token))
            yield token

    def code(self, phone: str) -> tuple[str, str]:
        return self.call(issue_code, f"+86{phone}")

    def signs_in(self, phone: str) -> str:
        challenge, code = self.code(phone)
        answer = self.client.post("/v1/sessions", json={"phone": phone, "challenge": challenge, "code": code})
        assert answer.status_code == 201, answer.text
        self.keep(answer.json()["access_token"])
        return answer.json()["access_token"]

    # ── phones and identity ──

    def gets_phone(self) -> str:
        self.phones.append(next(self.new_phones))
        return self.phones[-1]

    def takes_another_phone(self, details: Details) -> None:
        self.request(self.signs_in(self.gets_phone()), "PUT", "/v1/me/real-name", self.identity(details))

    def signs_in_with_each_phone(self, _details: Details) -> None:
        for phone in self.phones:
            self.signs_in(phone)

    def tells_other_details(self, details: Details) -> None:
        for token in self.renewed():
            self.request(token, "PUT", "/v1/me/real-name", self.identity(details))

    def shows_their_face(self, details: Details) -> None:
        self.post("/v1/me/identity-proofs", self.face(details))

    def takes_the_number_over(self, details: Details) -> None:
        """Prove in person, on a new phone, whose number the other account has."""
        self.request(self.signs_in(self.gets_phone()), "POST", "/v1/me/identity-proofs", self.face(details))

    def recovers_with_a_new_phone(self, details: Details) -> None:
        body = self.face(details) | {"recover": True}
        self.request(self.signs_in(self.gets_phone()), "POST", "/v1/me/identity-proofs", body)

    def changes_the_phone(self, _details: Details) -> None:
        for token in self.renewed():
            phone = self.gets_phone()
            challenge, code = self.code(phone)
            body = {"phone": phone, "challenge": challenge, "code": code}
            account = self.call(account_of_session, session_of(token))
            if account is not None and account.phone is not None:
                old = self.city.encryption.read(account, "phone").removeprefix("+86")
                body["old_challenge"], body["old_code"] = self.code(old)
            self.request(token, "PUT", "/v1/me/phone", body)

    def undoes_a_change(self, _details: Details) -> None:
        for phone in self.phones:
            challenge, code = self.code(phone)
            body = {"phone": phone, "challenge": challenge, "code": code}
            if self.client.post("/v1/phone-changes/undo", json=body).status_code == 204:
                self.signs_in(phone)

    def takes_a_fresh_account(self, details: Details) -> None:
        for answer in self.post("/v1/me/fresh-account", None):
            if answer.status_code == 201:
                token = answer.json()["access_token"]
                self.request(token, "PUT", "/v1/me/real-name", self.identity(details))
                self.request(token, "POST", "/v1/me/identity-proofs", self.face(details))

    def closes_all_accounts(self, _details: Details) -> None:
        self.post("/v1/me/closure", None)
        self.sweeps()

    def closes_an_account_and_returns(self, details: Details) -> None:
        self.closes_all_accounts({})
        self.takes_another_phone(details)

    def identity(self, details: Details) -> Details:
        return {"name": "王芳", **self.document, **details}

    def face(self, details: Details) -> dict[str, Any]:
        kind: Any = self.document.get("document_kind", "resident_identity_card")
        document = parse_id_number(self.document["id_number"], self.city.today(), kind=kind)
        return {**self.identity(details), "method": "face", "evidence": invented_face(str(document))}

    # ── the colour ──

    def declares(self, days_ago: int, number: int, symptoms: Sequence[str]) -> None:
        at = [self.scene.ago(days=days_ago, minutes=minutes) for minutes in range(min(number, 20))]
        body = {
            "symptoms": symptoms,
            "contacts": [{"level": "nearby", "at": one} for one in at],
            "stays": [{"risk": "low", "entered_at": one, "left_at": one} for one in at],
            "entries": [{"country": "IT", "entered_at": one} for one in at],
        }
        for _ in range(1 + number // 20):
            self.post("/v1/me/health-declarations", body)

    def checks_in(self, _details: Details) -> None:
        now = self.scene.clock.now
        for answer in self.post("/v1/me/isolation-check-ins", {}):
            if answer.status_code == 201:
                self.reports.append(Report(CheckedIn(now, midnight(now.astimezone(ZONE).date(), ZONE))))

    def tries_routes_of_officers(self, _details: Details) -> None:
        events = [self.scene.event("withdrawal", of=f"{report.key}") for report in self.reports if report.key]
        for answer in self.post("/v1/health-events", {"events": events or [{}]}):
            assert answer.status_code == 403
        for answer in self.post("/v1/health-event-proposals/approvals", {"ids": ["x"]}):
            assert answer.status_code == 403

    def waits(self, hours: int) -> None:
        self.scene.clock.now += timedelta(hours=hours)
        self.sweeps()

    def sweeps(self) -> None:
        """Let the city do its background work."""
        for task in SWEEPS:
            self.call(discover_tasks()[task])

    def is_reported(self, event: dict[str, Any]) -> None:
        """Let an authority report an event about the person."""
        key = next(self.report_ids)
        sent = self.scene.event(**event, event_id=key) | self.document
        assert self.scene.outcomes(sent) == ["applied"]
        self.reports.append(Report(msgspec.convert(sent["event"], Event), key))

    def mildest(self) -> str:
        """Return the mildest colour that the official reports and the check-ins allow."""
        born_on = None if "document_kind" in self.document else datetime(1990, 3, 7, tzinfo=ZONE)
        return self.city.rulebook.evaluate(COLOUR, derive_facts(born_on, self.reports), self.city.now()).result

    def colours(self) -> list[str]:
        """Return the colours that new tokens and those that have not expired open."""
        now, seconds = self.scene.clock.now, self.city.settings.access_token_seconds
        list(self.renewed())
        valid = [(at, token) for at, token in self.tokens if now - at < timedelta(seconds=seconds)]
        self.tokens = list({token: (at, token) for at, token in valid}.values())
        answers = [self.request(token, "GET", "/v1/me/health-code") for _, token in self.tokens]
        return [answer.json()["colour"] for answer in answers if answer.status_code == 200]

    def check(self) -> None:
        """Check that no token opens a milder colour than the official reports and the check-ins allow."""
        mildest = COLOURS.index(self.mildest())
        assert all(COLOURS.index(colour) >= mildest for colour in self.colours()), self.reports


def session_of(token: str) -> str:
    """Return the id of the session of an access token."""
    return jwt.decode(token, options={"verify_signature": False})["sid"]


async def account_of_session(city: City, session_id: str) -> Account | None:
    """Return the account of a session; None if the session has ended."""
    session = await city.store.get(Session, session_id)
    return None if session is None else await city.store.get(Account, session.account_id)


async def level_of_session(city: City, session_id: str) -> int:
    """Return the highest level of a session."""
    session = await city.store.get(Session, session_id)
    assert session is not None, "its account was just read"
    return session.max_level
