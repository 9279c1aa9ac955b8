"""Every route is tried by every kind of caller, and every object by its owner and by others.

`access_matrix.py` has an entry for each route, and says how one is added.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient
from msgspec import Struct
from msgspec.structs import replace

from backend.app import create_app
from backend.city.audit_log import AuditEntry
from backend.city.declarations import grantable_roles
from backend.city.notices import Notice
from backend.city.service import discover_services
from backend.security.identity import Caller
from backend.services.account.model.account import Account
from backend.services.account.model.session import Session
from backend.services.medical_credit.model.enrolment import FamilyPayer
from backend.services.medical_credit.model.visit import Visit
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Talent
from backend.settings import Settings
from backend.store import Document
from integrations.his.fhir.scopes import HOSPITAL_SCOPES
from tests.accounts import bearer_of
from tests.conftest import ROOT, Clock, SignIn
from tests.keys import new_keys
from tests.security.access_matrix import ENTRIES, SYSTEM, Access, system_access
from tests.services.health_code.scene import stored
from tests.services.medical_credit.scene import Scene as Hospitals
from tests.services.talent_code.clawbacks import appeals, clawed_back
from tests.services.talent_code.scene import DOCTOR
from tests.services.talent_code.scene import Scene as Talents

Client = TestClient[Litestar]
ROLES = sorted(grantable_roles(discover_services()))
LEVELS = {"an account": 1, "a verified identity": 2, "a person present": 3}
CALLERS = ["nobody", *LEVELS, *ROLES, "a hospital"]
VALUES = {"day": "2022-04-20", "year": "2022"}
DENIED = ("/problems/not-allowed", "/problems/step-up-required")


def routes_of(app: Litestar) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.route_handler_map
        if method != "OPTIONS"
    ]


def access_of(method: str, path: str) -> Access | None:
    return ENTRIES.get(f"{method} {path}") or system_access(path)


def test_every_route_has_an_entry_and_every_entry_a_route(app: Litestar) -> None:
    routes = routes_of(app)
    missing = [f"{method} {path}" for method, path in routes if access_of(method, path) is None]
    assert missing == [], "add an entry to tests/security/access_matrix.py"
    assert set(ENTRIES) <= {f"{method} {path}" for method, path in routes}, "remove the entry"


def test_every_path_that_names_an_object_says_whose_it_is(app: Litestar) -> None:
    named = {f"{method} {path}" for method, path in routes_of(app) if "{" in path and system_access(path) is None}
    public = {route for route in named if ENTRIES[route].level == 0}
    assert named == public | set(OWN_OBJECTS) | OBJECTS_OF_THE_CITY


# ── every route x every kind of caller ──


def caller_of(name: str, number: int) -> Caller | None:
    """Return a caller of the matrix, with another account for each route, since some routes end accounts."""
    if name == "nobody":
        return None
    if name == "a hospital":
        return Caller("hospital:HZ009", "s", roles=("hospital",), scopes=("system/*.cruds", *HOSPITAL_SCOPES))
    level = LEVELS.get(name, 3)
    roles = () if name in LEVELS else (name,)
    person = None if level == 1 else f"person {number} of {name}"
    return Caller(f"account {number} of {name}", "s", person, roles, level=level)


def is_admitted(access: Access, name: str) -> bool:
    if access.level == 0 and not access.roles:
        return True
    if access == SYSTEM:
        return name == "a hospital"
    if name in ("nobody", "a hospital"):
        return False
    return (not access.roles or name in access.roles) and LEVELS.get(name, 3) >= access.level


def was_admitted(answer: httpx.Response) -> bool:
    """Return whether the guard admitted a request: what it then lacks is another matter."""
    if answer.status_code not in (401, 403):
        return True
    return answer.status_code == 403 and bool(answer.content) and answer.json().get("type", DENIED[0]) not in DENIED


@pytest.fixture(scope="module")
def one_city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One city for all callers: each has accounts of their own, and its OpenAPI document is written once."""
    folder = tmp_path_factory.mktemp("city")
    settings = Settings(
        store=f"sqlite:///{folder}/city.db",
        keys=new_keys(folder / "keys"),
        sandbox=str(folder / "sandbox.db"),
        rules=str(ROOT / "rules"),
        development=True,
        access_log=False,
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
    )
    with TestClient(create_app(settings, clock=Clock(datetime(2022, 4, 20, 4, 0, tzinfo=UTC)))) as client:
        yield client


@pytest.mark.parametrize("name", CALLERS)
def test_a_route_admits_the_callers_of_its_entry_and_no_others(one_city: Client, name: str) -> None:
    wrong: list[str] = []
    assert one_city.blocking_portal is not None
    for number, (method, path) in enumerate(routes_of(one_city.app)):
        access = access_of(method, path)
        caller = caller_of(name, number)
        assert access is not None
        headers = {} if caller is None else one_city.blocking_portal.call(bearer_of, one_city.app, caller)
        concrete = re.sub(r"{(\w+):\w+}", lambda match: VALUES.get(match[1], "unknown"), path)
        answer = one_city.request(method, concrete, headers=headers, json=None if method == "GET" else {})
        assert answer.status_code < 500, f"{method} {path}: {answer.text}"
        if was_admitted(answer) != is_admitted(access, name) and not refuses_hospital(path, name, answer):
            wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:80]}")
    assert wrong == []


def refuses_hospital(path: str, name: str, answer: httpx.Response) -> bool:
    """Return whether the hospital interface refused a hospital that is not connected, after its guard admitted it."""
    return name == "a hospital" and system_access(path) == SYSTEM and answer.status_code == 401


# ── every object x own and other's ──


class Objects(Struct):
    """What belongs to one person, who is signed in, and the headers of another with objects of their own."""

    owner: dict[str, str]
    other: dict[str, str]
    claim: str
    plain_claim: str
    evidence: str
    visit: str
    consent: str
    notice: str
    session: str
    entry: str


OWN_OBJECTS: dict[str, Callable[[Objects], str]] = {
    "GET /v1/me/audit/{entry_id:str}/proof": lambda own: own.entry,
    "DELETE /v1/me/claims/{claim_id:str}": lambda own: own.plain_claim,
    "GET /v1/me/claims/{claim_id:str}": lambda own: own.claim,
    "POST /v1/me/claims/{claim_id:str}/appeal": lambda own: own.claim,
    "POST /v1/me/claims/{claim_id:str}/repayments": lambda own: own.claim,
    "DELETE /v1/me/family/{consent_id:str}": lambda own: own.consent,
    "PUT /v1/me/family/{consent_id:str}/agreement": lambda own: own.consent,
    "PUT /v1/me/notices/{notice_id:str}/read": lambda own: own.notice,
    "DELETE /v1/me/sessions/{session_id:str}": lambda own: own.session,
    "DELETE /v1/me/talent/evidence/{evidence_id:str}": lambda own: own.evidence,
    "GET /v1/me/visits/{visit_id:str}": lambda own: own.visit,
    "POST /v1/me/visits/{visit_id:str}/payments": lambda own: own.visit,
}
OBJECTS_OF_THE_CITY = {
    "GET /v1/me/benefits/{benefit:str}/explanation",
    "GET /v1/health-event-proposals/{proposal_id:str}",
    "GET /v1/identity-cases/{case_id:str}",
    "POST /v1/identity-cases/{case_id:str}/decisions",
    "GET /v1/reconciliations/{hospital:str}",
    "GET /v1/reconciliations/{hospital:str}/{day:str}",
    "PUT /v1/reconciliations/{hospital:str}/{day:str}",
    "POST /v1/reconciliations/{hospital:str}/{day:str}/acceptances",
    "POST /v1/reconciliations/{hospital:str}/{day:str}/approvals",
    "GET /v1/reconciliations/{hospital:str}/{day:str}/file",
    "GET /v1/reconciliations/{hospital:str}/{day:str}/page",
    "GET /v1/rulebook-releases/{digest:str}",
    "GET /v1/rulebook-releases/{digest:str}/review",
    "POST /v1/rulebook-releases/{digest:str}/approvals",
    "POST /v1/rulebook-releases/{digest:str}/activations",
    "DELETE /v1/rulebook-releases/{digest:str}/activations",
    "DELETE /v1/staff/grants/{grant_id:str}",
    "POST /v1/staff/grants/{grant_id:str}/approval",
    "POST /v1/staff/{account_id:str}/withdrawals",
    "PUT /v1/talent-appeals/{claim_id:str}",
    "GET /v1/talent-appeals/{claim_id:str}",
}
"""Objects that staff handle for others; that nobody handles their own is tested next to each."""

BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/me/claims/{claim_id:str}/appeal": {"text": "I sold it"},
    "POST /v1/me/claims/{claim_id:str}/repayments": {"amount_fen": 100},
    "POST /v1/me/visits/{visit_id:str}/payments": {"amount_fen": 100, "scope": "now"},
}
KINDS: list[type[Document]] = [Claim, Talent, FamilyPayer, Notice, Session, Visit]


@pytest.fixture(params=["sqlite", "mongodb"])
def city(request: pytest.FixtureRequest, settings: Settings, clock: Clock) -> Iterator[Client]:
    store = settings.store if request.param == "sqlite" else request.getfixturevalue("emptied_url")
    with TestClient(create_app(replace(settings, store=store), clock=clock)) as client:
        yield client


@pytest.fixture
def objects(city: Client, clock: Clock) -> Objects:
    """Return the objects of a person, and sign in another who has their own talent class, visit and consents."""
    sign_in = SignIn(city)
    talents = Talents(city, clock, sign_in)
    hospitals = Hospitals(city, clock, lambda phone, name: sign_in(phone, name="王芳" if name else name))
    people = [talents.talent(DOCTOR, phone) for phone in ("13800000101", "13800000102")]
    claim = clawed_back(talents, people[0])
    sign_in.refresh_tokens.clear()
    owner, other = (hospitals.patient(phone) for phone in ("13800000101", "13800000102"))
    visit = hospitals.billed(owner, 20_000)
    family = {"id_number": sign_in_payer(hospitals).id_number, "relation": "child"}
    assert city.post("/v1/me/family", json=family, headers=owner).status_code == 202
    (consent,) = city.get("/v1/me/family", headers=owner).json()["consents"]
    assert appeals(talents, people[0], claim).status_code in (200, 409)
    assert city.get("/v1/talent-appeals", headers=talents.officer()).status_code == 200
    notices = city.get("/v1/me/notices", headers=owner).json()["notices"]
    sessions = [one for one in stored(city, Session) if one.account_id == owner.caller.account_id]
    entries = [one for one in stored(city, AuditEntry) if one.subject == owner.id]
    accounts = {one.citizen_id: one.id for one in stored(city, Account)}
    assert accounts[owner.id] == owner.caller.account_id
    assert notices, "the person has a notice"
    assert entries, "an act concerned the person"
    return Objects(
        owner=dict(owner),
        other=dict(other),
        claim=claim["id"],
        plain_claim=claim["id"],
        evidence=talents.shown(people[0])["evidence"][0]["id"],
        visit=visit.id,
        consent=consent["id"],
        notice=notices[0]["id"],
        session=sessions[0].id,
        entry=entries[0].id,
    )


def sign_in_payer(hospitals: Hospitals) -> Any:  # noqa: ANN401  a patient
    return hospitals.citizen("13800000103")


def test_an_object_of_another_is_as_if_it_did_not_exist(city: Client, objects: Objects) -> None:
    for route, object_of in OWN_OBJECTS.items():
        method, path = route.split(" ")
        object_id = object_of(objects)

        def ask(named: str, method: str = method, path: str = path, route: str = route) -> httpx.Response:
            concrete = re.sub(r"{\w+:str}", named, path)
            headers = {**objects.other, "Idempotency-Key": f"key-{named}-{method}"}
            return city.request(method, concrete, headers=headers, json=BODIES.get(route))

        before = {kind: stored(city, kind) for kind in KINDS}
        others, nothing = ask(object_id), ask("there-is-none")
        assert others.status_code == nothing.status_code, f"{route}: {others.text}"
        if others.content:
            assert {**others.json(), "request_id": ""} == {**nothing.json(), "request_id": ""}, route
        assert others.status_code in (404, 204), f"{route}: {others.text}"
        assert {kind: stored(city, kind) for kind in KINDS} == before, route


def test_an_object_of_ones_own_is_found(city: Client, objects: Objects) -> None:
    for route, object_of in OWN_OBJECTS.items():
        method, path = route.split(" ")
        if (method, path[:13]) == ("DELETE", "/v1/me/sessio"):
            continue
        concrete = re.sub(r"{\w+:str}", object_of(objects), path)
        headers = {**objects.owner, "Idempotency-Key": f"own-{route}"}
        answer = city.request(method, concrete, headers=headers, json=BODIES.get(route))
        if route.endswith("/agreement"):
            assert answer.status_code == 404, "the patient does not agree in the payer's place"
        else:
            assert answer.status_code != 404, f"{route}: {answer.text}"
