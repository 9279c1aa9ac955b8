"""What talents, partners, officers and the world outside do in the tests of the talent code, in few words."""

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
CARD = "6217000010000000003"
OTHER_CARD = "6217000010000000011"


class Citizen(SignedInPerson):
    """A citizen with their resident ID number."""

    id_number: str

    @property
    def id(self) -> str:
        """Give the id of their Profile."""
        assert self.caller.citizen_id is not None
        return self.caller.citizen_id


class Scene:
    """A city at noon on 2 March 2026, whose registries are empty until a test fills them."""

    def __init__(self, client: Client, clock: Clock, sign_in: Callable[..., Any]) -> None:
        self.client, self.clock, self._sign_in = client, clock, sign_in
        clock.now = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
        self._taps = count(1)
        for port in (Education, Employment, SocialInsurance, Tax, PropertyRegister, PayoutBank):
            self.port(port).database.clock = lambda: clock.now

    @property
    def city(self) -> City:
        return self.client.app.state.city

    def port(self, kind: type) -> Any:  # noqa: ANN401  each sandbox has its own controls
        """Give one of the sandboxes."""
        return self.city.port(kind)

    def call(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do asynchronous work in the server's own loop."""
        assert self.client.blocking_portal is not None
        return self.client.blocking_portal.call(work, *arguments)

    # ── people ──

    def citizen(self, phone: str = "13800000101", *, months: int = 0, homes: int = 0) -> Citizen:
        """Sign somebody in who has given their real name, of whom the registries know nothing remarkable."""
        person = Citizen(self.client.app, self._sign_in(phone, name="王芳"))
        person.id_number = id_number_for(phone)
        self.port(Education).set_degrees(person.id_number)
        self.port(Employment).set_merits(person.id_number)
        self.port(SocialInsurance).set_months(person.id_number, months)
        self.port(PropertyRegister).set_homes(person.id_number, homes)
        self.earns(person, 0, 0)
        return person

    def earns(self, person: Citizen, income_fen: int, tax_fen: int, year: int = 2025) -> None:
        """Let the tax bureau know of a year of somebody."""
        self.port(Tax).set_year(person.id_number, TaxYear(year, income_fen, tax_fen))

    def has(self, person: Citizen, *true: Qualification) -> None:
        """Let it be true of somebody that they have these degrees, titles, prizes and posts, and no others."""
        self.port(Education).set_degrees(person.id_number, *(one for one in true if isinstance(one, Degree)))
        merits = [one for one in true if not isinstance(one, (Degree, Pay))]
        self.port(Employment).set_merits(person.id_number, *merits)

    def talent(self, qualification: Qualification = DOCTOR, phone: str = "13800000101", **known: int) -> Citizen:
        """Sign somebody in who has the class that this evidence gives, and has named their account."""
        person = self.citizen(phone, **known)
        self.has(person, qualification)
        answer = self.declares(person, qualification)
        assert answer.json()["evidence"][-1]["state"] == "confirmed", answer.text
        self.names_account(person)
        return person

    def officer(self, phone: str = "13800000901") -> SignedInPerson:
        """Sign a talent officer in."""
        return SignedInPerson(self.client.app, self._sign_in(phone, roles=["talent_officer"]))

    def partner(self, *places: str, phone: str = "13800000902") -> SignedInPerson:
        """Sign somebody in who works at these places."""
        return SignedInPerson(self.client.app, self._sign_in(phone, roles=["partner"], venues=places))

    def gate(self, *venues: str, phone: str = "13800000903") -> SignedInPerson:
        """Sign somebody in who scans health codes at these venues."""
        return SignedInPerson(self.client.app, self._sign_in(phone, roles=["gate"], venues=venues))

    # ── what they do ──

    def declares(self, person: Citizen, qualification: Qualification) -> httpx.Response:
        body = {"qualification": msgspec.to_builtins(qualification)}
        return self.client.post("/v1/me/talent/evidence", json=body, headers=person)

    def names_account(self, person: Citizen, number: str = CARD) -> None:
        answer = self.client.put("/v1/me/talent/account", json={"number": number}, headers=person)
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
        """Have somebody press the button once, or again with the same key."""
        headers = {**person, "Idempotency-Key": key or f"tap-{next(self._taps)}"}
        return self.client.post("/v1/me/claims", json={"benefit": benefit, **stated}, headers=headers)

    def claimed(self, person: Citizen, benefit: str, **stated: int) -> dict[str, Any]:
        """Have somebody claim a benefit, and give what they are shown."""
        answer = self.claims(person, benefit, **stated)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def claim(self, person: Citizen, claim: dict[str, Any]) -> dict[str, Any]:
        """Show a claim as it stands now."""
        answer = self.client.get(f"/v1/me/claims/{claim['id']}", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def code(self, person: Citizen) -> dict[str, Any]:
        answer = self.client.get("/v1/me/talent-code", headers=person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # ── what follows ──

    def time_passes(self, **span: float) -> None:
        """Let time pass, and the sweeps do what is due, again and again until nothing is."""
        self.clock.now += timedelta(**span)
        self.call(self._sweep)

    def reviewed(self, *people: Citizen) -> None:
        """Let a talent officer have people looked into again, and the registries be asked."""
        officer = self.officer()
        for person in people:
            answer = self.client.post("/v1/talent-reviews", json={"id_number": person.id_number}, headers=officer)
            assert answer.status_code == 202, answer.text
        self.time_passes()

    async def jobs_end(self) -> None:
        """Wait until what runs in the background has come to its end."""
        for _ in range(500):
            if self.city.jobs.waiting() == 0:
                break
            await asyncio.sleep(0.01)

    async def _sweep(self) -> None:
        await self.jobs_end()
        due = Order("due_ms", below=int(self.clock.now.timestamp() * 1_000) + 1)
        for _ in range(20):
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
        """Let the registries say that nothing is true of somebody when an officer has them asked again."""
        self.has(person)
        order = {"id_number": person.id_number}
        answer = self.client.post("/v1/talent-reviews", json=order, headers=self.officer())
        assert answer.status_code == 202, answer.text
        self.time_passes(seconds=1)

    def rules_change(self, folder: Path) -> None:
        """Have the city go by the rules of a folder from now on, as it does when they are published."""
        rulebook = load_rulebook(folder, facts_of(rule_modules_of(discover_services())), self.city.rulebook.time_zone)
        self.client.app.state.city = replace(self.city, rulebook=rulebook)

    # ── what came of it ──

    def payouts(self) -> list[tuple[str, int]]:
        """Give what the bank has paid out: to which account, and how many yuan."""
        paid = [one for one in self.port(PayoutBank).entries() if one.kind == "payout"]
        return [(one.account, one.amount_fen // 100) for one in paid]

    def budget(self, benefit: str, year: int = 2026) -> tuple[int, int, int, int]:
        """Give how many yuan of a budget are reserved, were paid, and came back, and how many places are taken."""
        found = self.call(self.city.store.get, Budget, f"{benefit}:{year}")
        assert found is not None
        return found.reserved_fen // 100, found.paid_fen // 100, found.returned_fen // 100, found.quota_used
