"""Talents, partners, officers and registries for the tests of the talent code."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.benefits.ports import PayoutBank
from backend.benefits.waitlist import serve_all_waitlists
from backend.city.notices import pushes
from backend.city.service import City, discover_services, rule_modules_of
from backend.rulebook import load_rulebook
from backend.rulebook.needs import facts_of
from backend.services.talent_code.facts import Degree, Pay, Prize, Title
from backend.services.talent_code.model.claim import Budget, Claim
from backend.services.talent_code.model.evidence import Qualification
from backend.services.talent_code.model.talent import Talent
from backend.services.talent_code.ports import (
    Education,
    Employment,
    PropertyRegister,
    SocialInsurance,
    Tax,
    TaxYear,
)
from backend.services.talent_code.saga import claims, reviews
from backend.store import Order
from tests.conftest import Clock, id_number_for
from tests.services.health_code.scene import SignedInPerson

T = TypeVar("T")
Client = TestClient[Litestar]

DOCTOR = Degree("doctor", datetime(2025, 6, 29, 16, tzinfo=UTC), full_time=True)
BACHELOR = Degree("bachelor", datetime(2025, 6, 29, 16, tzinfo=UTC), full_time=True)
MASTER = Degree("master", datetime(2015, 6, 29, 16, tzinfo=UTC), full_time=True)
LEADER = Title("municipal_leader", datetime(2021, 8, 31, 16, tzinfo=UTC))
PROVINCIAL_LEADER = Title("provincial_leader", datetime(2021, 8, 31, 16, tzinfo=UTC))
TECHNICIAN = Title("technician", datetime(2019, 8, 31, 16, tzinfo=UTC))
STATE_SECOND = Prize("state_second", datetime(2022, 1, 7, 16, tzinfo=UTC))
PAID_WELL = Pay(2025, 90_000_000)
NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
CARD = "6217000010000000003"
OTHER_CARD = "6217000010000000011"


class Citizen(SignedInPerson):
    """A citizen with their resident ID number."""

    id_number: str
    phone: str

    @property
    def id(self) -> str:
        """Return the id of their Profile."""
        assert self.caller.citizen_id is not None
        return self.caller.citizen_id


class Scene:
    """A city at noon on 2 March 2026, whose registries are empty until a test fills them."""

    def __init__(self, client: Client, clock: Clock, sign_in: Callable[..., Any]) -> None:
        self.client, self.clock, self._sign_in = client, clock, sign_in
        clock.now = NOON
        self._taps = count(1)
        for port in (Education, Employment, SocialInsurance, Tax, PropertyRegister, PayoutBank):
            self.port(port).database.clock = lambda: clock.now

    @property
    def city(self) -> City:
        return self.client.app.state.city

    def port(self, kind: type) -> Any:  # noqa: ANN401  each sandbox has its own controls
        """Return the sandbox of a port."""
        return self.city.port(kind)

    def call(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run asynchronous work in the server's event loop."""
        assert self.client.blocking_portal is not None
        return self.client.blocking_portal.call(work, *arguments)

    # ── people ──

    def citizen(self, phone: str = "13800000101", *, months: int = 0, homes: int = 0) -> Citizen:
        """Sign in a citizen with a verified identity, about whom the registries know nothing else."""
        person = Citizen(self.client.app, self._sign_in(phone, name="王芳"))
        person.id_number, person.phone = id_number_for(phone), phone
        self.port(Education).set_degrees(person.id_number)
        self.port(Employment).set_merits(person.id_number)
        self.port(SocialInsurance).set_months(person.id_number, months)
        self.port(PropertyRegister).set_homes(person.id_number, homes)
        self.earns(person, 0, 0)
        return person

    def earns(self, person: Citizen, income_fen: int, tax_fen: int, year: int = 2025) -> None:
        """Set a person's income and tax for a year in the tax bureau's records."""
        self.port(Tax).set_year(person.id_number, TaxYear(year, income_fen, tax_fen))

    def has(self, person: Citizen, *true: Qualification) -> None:
        """Set a person's degrees, titles, prizes and posts in the registries; all others are removed."""
        self.port(Education).set_degrees(person.id_number, *(one for one in true if isinstance(one, Degree)))
        merits = [one for one in true if not isinstance(one, (Degree, Pay))]
        self.port(Employment).set_merits(person.id_number, *merits)

    def talent(self, qualification: Qualification = DOCTOR, phone: str = "13800000101", **known: int) -> Citizen:
        """Sign in a citizen who was granted a class for this evidence and has registered a bank account."""
        person = self.citizen(phone, **known)
        self.has(person, qualification)
        answer = self.declares(person, qualification)
        assert answer.json()["evidence"][-1]["state"] == "confirmed", answer.text
        self.registers_account(person)
        return person

    def officer(self, phone: str = "13800000901") -> SignedInPerson:
        """Sign in a talent officer."""
        return SignedInPerson(self.client.app, self._sign_in(phone, roles=["talent_officer"]))

    def partner(self, *places: str, phone: str = "13800000902") -> SignedInPerson:
        """Sign in a person who works at these places."""
        return SignedInPerson(self.client.app, self._sign_in(phone, roles=["partner"], venues=places))

    def gate(self, *venues: str, phone: str = "13800000903") -> SignedInPerson:
        """Sign in a person who scans health codes at these venues."""
        return SignedInPerson(self.client.app, self._sign_in(phone, roles=["gate"], venues=venues))

    # ── requests ──

    def declares(self, person: Citizen, qualification: Qualification) -> httpx.Response:
        body = {"qualification": msgspec.to_builtins(qualification)}
        return self.client.post("/v1/me/talent/evidence", json=body, headers=person)

    def card_of(self, person: Citizen) -> str:
        """Return the number of a person's own card: CARD for the first person."""
        return f"{int(CARD) + 10**4 * (int(person.phone) - 13800000101)}"

    def registers_account(self, person: Citizen, number: str | None = None, **proof: str) -> None:
        answer = self.client.put(
            "/v1/me/talent/account", json={"number": number or self.card_of(person), **proof}, headers=person
        )
        assert answer.status_code == 200, answer.text

    def shown(self, person: Citizen) -> dict[str, Any]:
        answer = self.client.get("/v1/me/talent", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def benefits(self, person: Citizen) -> dict[str, Any]:
        answer = self.client.get("/v1/me/benefits", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def claims(self, person: Citizen, benefit: str, *, key: str | None = None, **stated: int) -> httpx.Response:
        """Send a person's claim; the same key repeats a request."""
        headers = {**person, "Idempotency-Key": key or f"tap-{next(self._taps)}"}
        return self.client.post("/v1/me/claims", json={"benefit": benefit, **stated}, headers=headers)

    def claimed(self, person: Citizen, benefit: str, **stated: int) -> dict[str, Any]:
        """Claim a benefit, and return the claim as the person sees it."""
        answer = self.claims(person, benefit, **stated)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def claim(self, person: Citizen, claim: dict[str, Any]) -> dict[str, Any]:
        """Return a claim as the person sees it now."""
        answer = self.client.get(f"/v1/me/claims/{claim['id']}", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def code(self, person: Citizen) -> dict[str, Any]:
        answer = self.client.get("/v1/me/talent-code", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # ── time and rules ──

    def time_passes(self, **span: float) -> None:
        """Let time pass, then sweep until nothing is due."""
        self.clock.now += timedelta(**span)
        self.call(self._sweep)

    def reviewed(self, *people: Citizen) -> None:
        """Let an officer order reviews of these people, and complete them."""
        officer = self.officer()
        for person in people:
            answer = self.client.post("/v1/talent-reviews", json={"id_number": person.id_number}, headers=officer)
            assert answer.status_code == 202, answer.text
        self.time_passes()

    async def wait_for_jobs(self) -> None:
        """Wait until no background job is waiting or running."""
        async with asyncio.timeout(60):
            while self.city.jobs.waiting():  # noqa: ASYNC110  the queue does not signal when it is empty
                await asyncio.sleep(0.01)

    async def _sweep(self) -> None:
        await self.wait_for_jobs()
        due = Order("due_ms", below=int(self.clock.now.timestamp() * 1_000) + 1)
        for _ in range(20):
            await pushes.sweep(self.city)
            talents = await self.city.store.find(Talent, {}, order=due)
            due_claims = await self.city.store.find(Claim, {}, order=due)
            for talent in talents.documents:
                await reviews.resume(self.city, talent.id)
            for claim in due_claims.documents:
                await claims.resume(self.city, claim.id)
            if not talents.documents and not due_claims.documents:
                break
        await serve_all_waitlists(claims, self.city)

    def loses_class(self, person: Citizen) -> None:
        """Remove all of a person's qualifications from the registries, and let an officer order a review."""
        self.has(person)
        self.clock.now += timedelta(seconds=1)  # the class is lost later than what was claimed before
        self.reviewed(person)

    def rules_change(self, folder: Path) -> None:
        """Put the rules of a folder in force, as a publication does."""
        rulebook = load_rulebook(folder, facts_of(rule_modules_of(discover_services())), self.city.rulebook.time_zone)
        self.client.app.state.city = replace(self.city, rulebook=rulebook)

    # ── results ──

    def payouts(self) -> list[tuple[str, int]]:
        """Return the account and the yuan of each payout of the bank."""
        paid = [one for one in self.port(PayoutBank).entries() if one.kind == "payout"]
        return [(one.account, one.amount_fen // 100) for one in paid]

    def budget(self, benefit: str, year: int = 2026) -> tuple[int, int, int, int]:
        """Return the yuan of a budget that are reserved, paid and returned, and the number of places that are taken."""
        found = self.call(self.city.store.get, Budget, f"{benefit}:{year}")
        assert found is not None
        return found.reserved_fen // 100, found.paid_fen // 100, found.returned_fen // 100, found.quota_used
