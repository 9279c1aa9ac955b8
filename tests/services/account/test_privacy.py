"""People export what the city holds on them, and close their account: what is erased, what is kept, and why."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.city.audit_log import AuditEntry
from backend.city.service import City, Subject
from backend.jobs.tasks import discover_tasks
from backend.services.account.closures import close_account
from backend.services.account.model.account import Account
from backend.services.account.model.closure import Closure
from backend.services.health_code.model import apply_reports
from backend.services.health_code.records import update_record
from backend.services.health_code.reports import CaseReported, Report
from backend.services.talent_code.ports import PropertyRegister, SocialInsurance
from backend.store import Conflict
from tests.conftest import Clock, SignIn
from tests.services.health_code.scene import SignedInPerson, problem, stored
from tests.services.killing import Killed, KillingStore
from tests.services.medical_credit.scene import Patient
from tests.services.medical_credit.scene import Scene as Hospitals
from tests.services.talent_code.scene import DOCTOR, Citizen
from tests.services.talent_code.scene import Scene as Talents

Client = TestClient[Litestar]
PHONE = "13800000101"


class Life:
    """A person who has used every service, and the city around them."""

    def __init__(self, client: Client, clock: Clock, sign_in: SignIn) -> None:
        self.client, self.clock, self.sign_in = client, clock, sign_in
        self.talents = Talents(client, clock, sign_in)
        self.hospitals = Hospitals(client, clock, sign_in)
        self.wang: Patient = self.hospitals.patient(PHONE)

    def visits_a_hospital(self) -> None:
        visit = self.hospitals.billed(self.wang, 20_000)
        assert visit.owed_fen() > 0
        self.visit = visit

    def pays(self) -> None:
        assert self.hospitals.pays(self.wang, self.visit).status_code == 201
        self.hospitals.advanced()

    def uses_a_code(self) -> None:
        code = self.client.get("/v1/me/health-code", headers=self.wang).json()
        gate = self.talents.gate("west-lake")
        scan = {"venue": "west-lake", "scan_id": "scan-0001", "payload": code["payload"]}
        assert self.client.post("/v1/verifications", json=scan, headers=gate).json()["outcome"] == "valid"

    def claims_a_benefit(self) -> None:
        wang = Citizen(self.client.app, {"Authorization": self.wang["Authorization"]})
        wang.id_number, wang.phone = self.wang.id_number, PHONE
        talents = self.talents
        talents.port(SocialInsurance).set_months(wang.id_number, 12)
        talents.port(PropertyRegister).set_homes(wang.id_number, 0)
        talents.earns(wang, 0, 0)
        talents.has(wang, DOCTOR)
        assert talents.declares(wang, DOCTOR).status_code == 201
        talents.registers_account(wang)
        claim = {"benefit": "monthly_rent", "homes": 0}
        answer = self.client.post("/v1/me/claims", json=claim, headers={**wang, "Idempotency-Key": "k"})
        assert answer.status_code == 201, answer.text
        self.talents.time_passes(days=31)
        self.wang.caller = SignedInPerson(self.client.app, self.returns()).caller  # the session has expired

    def uses_everything(self) -> None:
        self.uses_a_code()
        self.visits_a_hospital()
        self.pays()
        self.claims_a_benefit()

    def export(self) -> dict[str, Any]:
        answer = self.client.get("/v1/me/export", headers=self.wang)
        assert answer.status_code == 200, answer.text
        return {part["kind"]: part for part in answer.json()["parts"]}

    def closes(self) -> dict[str, Any]:
        answer = self.client.post("/v1/me/closure", headers=self.wang)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def returns(self) -> dict[str, str]:
        """Sign in with the same phone, and verify the same identity."""
        self.sign_in.refresh_tokens.pop(PHONE)
        return self.sign_in(PHONE, name="王小明")

    def time_passes(self, **span: float) -> None:
        """Let time pass, and run every sweep of the city."""
        self.clock.now += timedelta(**span)

        async def sweep(city: City) -> None:
            for task in discover_tasks().values():
                if task.every is not None:
                    await task(city)

        self.hospitals.call(sweep, self.hospitals.city)

    def remains(self) -> dict[str, int]:
        """Return how many documents name the person or their account, by collection, apart from the audit log."""
        caller = self.wang.caller
        ids = [name.encode() for name in (caller.account_id, caller.citizen_id) if name]
        found = {
            kind.collection: sum(
                any(name in msgspec.json.encode(one) for name in ids) for one in stored(self.client, kind)
            )
            for kind in self.hospitals.city.documents
            if kind is not AuditEntry
        }
        return {collection: number for collection, number in found.items() if number}


@pytest.fixture
def life(client: Client, clock: Clock, sign_in: SignIn) -> Life:
    return Life(client, clock, sign_in)


# ── the export ──


def test_an_export_has_the_records_of_every_service_in_readable_form(life: Life) -> None:
    life.uses_everything()
    export = life.export()
    filled = {kind for kind, part in export.items() if part["records"]}
    assert filled >= {
        "accounts",
        "profiles",
        "sessions",
        "notices",
        "health_records",
        "visits",
        "medical_credit_enrolments",
        "medical_visits",
        "talents",
        "claims",
    }
    assert export["accounts"]["records"][0]["phone"] == f"+86{PHONE}"
    [identity] = export["profiles"]["records"]
    assert (identity["name"], identity["id_number"]) == ("王小明", life.wang.id_number)
    assert export["medical_visits"]["records"][0]["lines"][0]["amount_fen"] == 20_000
    assert export["visits"]["records"][0]["venue"] == "west-lake"
    for part in export.values():
        assert all((*part["title"].values(), *part["correct"].values(), *part["kept"].values()))


def test_an_export_has_no_secrets_and_nothing_of_others(life: Life) -> None:
    life.uses_everything()
    other = life.hospitals.patient("13800000102")
    life.hospitals.billed(other, 7_771, number="V2")
    text = json.dumps(life.export())
    assert other.id not in text
    assert "digest" not in text
    assert ": 7771," not in text


def test_a_person_without_a_verified_identity_exports_their_account(client: Client, sign_in: SignIn) -> None:
    answer = client.get("/v1/me/export", headers=sign_in("13800138000"))
    assert answer.status_code == 200
    assert answer.json()["person"] is None
    assert {part["kind"] for part in answer.json()["parts"] if part["records"]} == {"accounts", "sessions"}


# ── closing ──


def test_an_account_is_not_closed_while_a_bill_is_unpaid(life: Life) -> None:
    life.visits_a_hospital()
    owed_fen = life.visit.owed_fen()
    refused = problem(life.client.post("/v1/me/closure", headers=life.wang), 409, "matters-open")
    [matter] = refused["open"]
    assert (matter["service"], matter["amount_fen"]) == ("medical_credit", owed_fen)
    assert life.client.get("/v1/me/closure", headers=life.wang).json()["open"] == [matter]
    assert life.client.get("/v1/me", headers=life.wang).status_code == 200
    life.pays()
    assert life.client.get("/v1/me/closure", headers=life.wang).json()["open"] == []
    life.closes()


def test_an_account_is_not_closed_while_a_benefit_is_being_paid(life: Life) -> None:
    life.claims_a_benefit()
    [claim] = [one["id"] for one in life.export()["claims"]["records"]]

    async def open_instalment(city: City) -> None:
        from backend.benefits.claim import ClaimInstalment
        from backend.services.talent_code.model.claim import Claim

        found = await city.store.get(Claim, claim)
        assert found is not None
        await city.store.replace(replace(found, instalments=(*found.instalments, ClaimInstalment(300_000, 12))))

    life.hospitals.call(open_instalment, life.hospitals.city)
    refused = problem(life.client.post("/v1/me/closure", headers=life.wang), 409, "matters-open")
    assert [(one["service"], one["amount_fen"]) for one in refused["open"]] == [("talent_code", 300_000)]


def test_staff_hand_their_roles_back_before_they_close_their_account(client: Client, sign_in: SignIn) -> None:
    gate = sign_in("13800138000", roles=["gate"], venues=["west-lake"])
    refused = problem(client.post("/v1/me/closure", headers=gate), 409, "matters-open")
    assert [one["service"] for one in refused["open"]] == ["account"]


def test_closing_ends_every_session_at_once(life: Life) -> None:
    token = life.sign_in.refresh_tokens[PHONE]
    life.closes()
    problem(life.client.post("/v1/sessions/refresh", json={"refresh_token": token}), 401, "session-ended")
    problem(life.client.get("/v1/me", headers=life.wang), 401, "not-signed-in")
    problem(life.client.get("/v1/me/health-code", headers=life.wang), 401, "not-signed-in")


def test_a_person_without_open_matters_or_payments_leaves_nothing(life: Life) -> None:
    answer = life.closes()
    assert answer["kept"] == []
    life.time_passes(minutes=1)
    assert set(life.remains()) >= {"account_closures", "profiles"}, "tokens are still valid"
    life.time_passes(minutes=20)
    assert life.remains() == {}


def test_payments_are_kept_for_ten_years_and_claims_for_fifteen_then_nothing_is_left(life: Life) -> None:
    life.uses_everything()
    answer = life.closes()
    kept = {(one["service"], one["title"]["en"]): one for one in answer["kept"]}
    assert kept[("medical_credit", "Visits and bills")]["until"].startswith("2036-")
    assert kept[("talent_code", "Claims to benefits")]["until"].startswith("2041-")
    assert kept[("account", "Identity")]["until"].startswith("2041-")
    assert all(one["reason"]["zh"] and one["reason"]["en"] for one in answer["kept"])
    life.time_passes(minutes=20)
    remains = set(life.remains())
    assert not remains & {"accounts", "sessions", "notices", "family_consents"}
    assert remains >= {"profiles", "medical_visits", "medical_credit_enrolments", "talents", "claims"}
    life.time_passes(days=60)
    assert not set(life.remains()) & {"visits", "health_records", "health_event_receipts"}
    life.time_passes(days=365 * 11)
    assert set(life.remains()) == {"account_closures", "profiles", "talents", "claims"}
    life.time_passes(days=365 * 5)
    life.time_passes(days=31)
    assert life.remains() == {}


def test_closing_and_returning_does_not_make_a_red_code_milder(life: Life) -> None:
    case = Report(CaseReported("confirmed", life.clock.now - timedelta(days=1)), "reported-by-a-hospital")

    async def report(city: City) -> None:
        now = city.now()
        await update_record(city, life.wang.id, now, lambda record: apply_reports(record, [case], city.rulebook, now))

    life.hospitals.call(report, life.hospitals.city)
    assert life.client.get("/v1/me/health-code", headers=life.wang).json()["colour"] == "red"
    life.closes()
    life.time_passes(days=100)
    assert "health_records" in life.remains()
    back = life.returns()
    assert life.client.get("/v1/me/health-code", headers=back).json()["colour"] == "red"


def test_who_returns_before_the_end_finds_their_records_again(life: Life) -> None:
    life.visits_a_hospital()
    life.pays()
    life.closes()
    life.time_passes(days=400)
    back = life.returns()
    assert len(life.client.get("/v1/me/visits", headers=back).json()["visits"]) == 1
    life.time_passes(days=40)
    assert stored(life.client, Closure) == []
    assert len(life.client.get("/v1/me/visits", headers=life.returns()).json()["visits"]) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_process_that_dies_at_any_write_leaves_no_half_closed_account(life: Life, after: bool) -> None:
    life.uses_a_code()
    caller = life.wang.caller
    subject = Subject(caller.account_id, caller.citizen_id)
    killing = KillingStore(life.hospitals.city.store)
    city = replace(life.hospitals.city, store=killing)
    sweep: Callable[..., Any] = discover_tasks()["account.sweep_closures"]

    async def dies(work: Callable[..., Any], *arguments: object, writes: int) -> bool:
        killing.countdown, killing.after = writes, after
        with suppress(Killed, Conflict):
            await work(city, *arguments)
        died, killing.countdown = killing.countdown is None, None
        return died

    async def at_each_write(work: Callable[..., Any], *arguments: object) -> None:
        writes = 0
        while await dies(work, *arguments, writes=writes):
            writes += not after  # a process that dies after its first write has come one write further

    call = life.hospitals.call
    call(at_each_write, close_account, subject)
    life.time_passes(seconds=31)
    assert [one for one in stored(life.client, Account) if one.id == subject.account] == []
    life.clock.now += timedelta(minutes=20)
    call(at_each_write, sweep)
    for _ in range(3):
        life.time_passes(days=31)
    assert life.remains() == {}
    assert killing.kills > 5
