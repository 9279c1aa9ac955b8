"""Hospitals and patients for the tests of pay later."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import httpx
from litestar import Litestar
from litestar.testing import TestClient
from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.paylater.credit_line import CreditLine
from backend.paylater.ports import Bank
from backend.services.medical_credit.facts import CreditFacts, SettledBy, VisitKind
from backend.services.medical_credit.hospital_commands import handle_command
from backend.services.medical_credit.model.commands import (
    CancelVisit,
    CloseVisit,
    Command,
    OpenVisit,
    ReopenVisit,
)
from backend.services.medical_credit.model.enrolment import AGREEMENT, Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.visit import Line, Purpose, Visit, visit_id
from backend.services.medical_credit.ports import CreditRegistry, Insurance
from backend.services.medical_credit.saga import visit_saga
from backend.store import Order
from integrations.credit_registry.sandbox import SandboxRegistry
from integrations.insurance.sandbox import SandboxInsurance
from integrations.payment.sandbox import SandboxBank
from tests.conftest import id_number_for
from tests.services.health_code.scene import SignedInPerson

T = TypeVar("T")
Client = TestClient[Litestar]


NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)

FACTS = CreditFacts(
    adult_at=datetime(2000, 1, 1, tzinfo=UTC),
    senior_at=datetime(2000, 1, 1, tzinfo=UTC),
    real_name="face",
    city_score=640,
    insurance_years=8,
    income="middle",
)
"""The credit facts of everyone in these tests; the birthdays follow from the ID number."""


def make_hospital(code: str = "HZ001", name: str = "市第一医院", settles: SettledBy = "city") -> Hospital:
    """Return a connected hospital."""
    own_systems = ("http://his.example/visits",)
    return Hospital(id=code, name=name, since_ms=0, jwks={"keys": []}, settles=settles, own_systems=own_systems)


class CommandResult(Struct, frozen=True):
    """The visit after a command; `repeated` says that at most the list of seen events changed."""

    visit: Visit
    repeated: bool


class Clock(Protocol):
    now: datetime


class Patient(SignedInPerson):
    """A citizen with their resident ID number."""

    id_number: str

    @property
    def id(self) -> str:
        """Return the id of their Profile."""
        assert self.caller.citizen_id is not None
        return self.caller.citizen_id


class Scene:
    """A city with hospitals; visits are identified by the hospital's number."""

    def __init__(self, client: Client, clock: Clock, sign_in: Callable[..., Any]) -> None:
        self.client, self.clock, self._sign_in = client, clock, sign_in
        self.insurance.database.clock = self.bank.database.clock = lambda: clock.now
        self.first = self.hospital("HZ001", "市第一医院")
        self._events = 0

    @property
    def city(self) -> City:
        return self.client.app.state.city

    @property
    def insurance(self) -> SandboxInsurance:
        return self.city.port(Insurance)

    @property
    def bank(self) -> SandboxBank:
        return self.city.port(Bank)

    @property
    def registry(self) -> SandboxRegistry:
        return self.city.port(CreditRegistry)

    def call(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run asynchronous work in the server's event loop."""
        assert self.client.blocking_portal is not None
        return self.client.blocking_portal.call(work, *arguments)

    def hospital(self, code: str, name: str, settles: SettledBy = "city") -> Hospital:
        return self.call(self.city.store.insert, make_hospital(code, name, settles))

    def citizen(self, phone: str) -> Patient:
        """Sign in a citizen with a verified identity."""
        patient = Patient(self.client.app, self._sign_in(phone, name="王小明"))
        patient.id_number = id_number_for(phone)
        self.insurance.set_balance(patient.id_number, 1_000)
        self.registry.set_facts(patient.id_number, FACTS)
        return patient

    def patient(self, phone: str = "13800000101", *, automatic_debit: bool = False) -> Patient:
        """Sign in a citizen who is enrolled in pay later."""
        patient = self.citizen(phone)
        answer = self.open_credit(patient, automatic_debit=automatic_debit)
        assert answer.status_code == 201, answer.text
        return patient

    def open_credit(self, patient: Patient, *, automatic_debit: bool = False) -> httpx.Response:
        body = {"agreement": AGREEMENT, "i_agree": True, "automatic_debit": automatic_debit}
        return self.client.post("/v1/me/medical-credit", json=body, headers=patient)

    def credit(self, patient: Patient) -> dict[str, Any]:
        answer = self.client.get("/v1/me/medical-credit", headers=patient)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def limit(self, patient: Patient, purpose: str = "outpatient") -> dict[str, Any]:
        return next(one for one in self.credit(patient)["limits"] if one["purpose"] == purpose)

    # ── the hospital's commands ──

    def send(
        self, command: Command, number: str = "V1", *, event: str | None = None, hospital: Hospital | None = None
    ) -> CommandResult:
        """Send a hospital's command about its visit, in a new message unless `event` names one."""
        self._events += 1
        sender, event = hospital or self.first, event or f"event-{self._events}"
        before = self.call(self.city.store.get, Visit, visit_id(sender.id, number))
        after = self.call(handle_command, self.city, sender, number, command, event)
        seen = before and replace(before, events=after.events, revision=after.revision, changed_ms=after.changed_ms)
        return CommandResult(after, repeated=seen == after)

    def opens(
        self, patient: Patient, number: str = "V1", kind: VisitKind = "outpatient", *, estimate_fen: int | None = None
    ) -> CommandResult:
        return self.send(OpenVisit(patient.id_number, kind, self.clock.now, estimate_fen), number)

    def charges(
        self, line: str, fen: int, number: str = "V1", code: str = "110100001", title: str = "诊查费"
    ) -> CommandResult:
        return self.send(Line(line, "charge", code, title, fen, self.clock.now), number)

    def credits(self, line: str, of: str, fen: int, number: str = "V1") -> CommandResult:
        return self.send(Line(line, "credit", "", "", -fen, self.clock.now, of), number)

    def adjusts(self, line: str, of: str, fen: int, number: str = "V1") -> CommandResult:
        return self.send(Line(line, "adjustment", "", "", fen, self.clock.now, of), number)

    def closes(self, number: str = "V1", *, final: bool = True) -> CommandResult:
        return self.send(CloseVisit(self.clock.now, final), number)

    def reopens(self, number: str = "V1") -> CommandResult:
        return self.send(ReopenVisit(), number)

    def cancels(self, number: str = "V1") -> CommandResult:
        return self.send(CancelVisit(), number)

    # ── the steps that follow ──

    def advanced(self, number: str = "V1", hospital: Hospital | None = None) -> Visit:
        """Do all due steps of a visit, and return it."""
        for _ in range(200):
            visit = self.call(visit_saga.resume, self.city, visit_id((hospital or self.first).id, number))
            assert visit is not None
            asking = visit.attempt is not None and not visit.attempt.reversing
            returning = any(refund.state != "failed" and not refund.applied for refund in visit.refunds)
            if not asking and not returning:
                break
            time.sleep(0.01)  # a background job is waiting for the insurance or the bank
        return visit

    def billed(self, patient: Patient, *charges_fen: int, number: str = "V1", kind: VisitKind = "outpatient") -> Visit:
        """Run a visit with these charges from its opening to its bill."""
        self.opens(patient, number, kind)
        for place, fen in enumerate(charges_fen, 1):
            self.charges(f"L{place}", fen, number)
        self.closes(number)
        return self.advanced(number)

    def account(self, patient: Patient, purpose: Purpose = "outpatient") -> CreditLine:
        found = self.call(self.city.store.get, Enrolment, patient.id)
        assert found is not None
        return found.credit[purpose]

    def visit_details(self, patient: Patient, visit: Visit) -> dict[str, Any]:
        answer = self.client.get(f"/v1/me/visits/{visit.id}", headers=patient)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pays(
        self, payer: Patient, visit: Visit, fen: int | None = None, *, key: str = "key-1", scope: str = "now"
    ) -> httpx.Response:
        """Pay what is due now, all that is owed, or another amount that the app displayed."""
        if fen is None:
            bill = self.visit_details(payer, visit)["bill"]
            fen = bill["payable_now_fen"] if scope == "now" else bill["owed_fen"]
        path, headers = f"/v1/me/visits/{visit.id}/payments", {**payer, "Idempotency-Key": key}
        return self.client.post(path, json={"amount_fen": fen, "scope": scope}, headers=headers)

    def time_passes(self, **span: float) -> None:
        """Let time pass, then sweep until nothing is due."""
        self.clock.now += timedelta(**span)
        self.sweep()

    def sweep(self) -> None:
        """Sweep until nothing is due."""

        async def advance_due() -> None:
            for _ in range(20):
                due = Order("due_ms", below=int(self.clock.now.timestamp() * 1_000) + 1)
                page = await self.city.store.find(Visit, {}, order=due)
                if not page.documents:
                    return
                await visit_saga.sweep(self.city)

        self.call(advance_due)
