"""Every route for staff says which acts it records. A new route without an entry in this table fails.

An entry is the list of actions, or the reason why the route records none. Routes that change something must record it
in the same write; routes that show a person's record must record that it was read.
"""

import re
from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from backend.app import create_app
from backend.security.identity import RoleGuard
from backend.settings import Settings
from tests.conftest import ROOT

OWN_RECORD = "it is a record itself, which names the account"
NO_PERSON = "it shows figures and nobody's record"
OF_THE_HOSPITAL = "a visit is the hospital's own record, and names the hospital"

AUDITED: dict[str, list[str] | str] = {
    "POST /v1/accounts/lookups": ["account.looked_up"],
    "PUT /v1/accounts/{account_id:str}/roles": "x",
    "POST /v1/health-events": "x",
    "POST /v1/verifications": OWN_RECORD,
    "GET /v1/audit/entries": ["audit.read"],
    "PUT /v1/reconciliations/{hospital:str}/{day:date}": ["medical_credit.day_reconciled"],
    "GET /v1/reconciliations/{hospital:str}": NO_PERSON,
    "GET /v1/reconciliations/{hospital:str}/{day:date}": ["medical_credit.day_read"],
    "GET /v1/reconciliations/{hospital:str}/{day:date}/page": ["medical_credit.day_read"],
    "GET /v1/reconciliations/{hospital:str}/{day:date}/file": ["medical_credit.records_exported"],
    "POST /v1/reconciliations/{hospital:str}/{day:date}/acceptances": ["medical_credit.repair_accepted"],
    "POST /v1/reconciliations/{hospital:str}/{day:date}/approvals": ["medical_credit.repair_approved"],
    "GET /v1/talent-appeals": ["talent_code.appeal_read"],
    "GET /v1/talent-appeals/{claim_id:str}": ["talent_code.appeal_read"],
    "PUT /v1/talent-appeals/{claim_id:str}": ["talent_code.appeal_decided"],
    "GET /v1/benefit-budgets": NO_PERSON,
    "POST /v1/talent-reviews": ["talent_code.review_requested"],
    "POST /v1/talent-verifications": ["talent_code.verified"],
    "POST /v1/talent-redemptions": ["talent_code.redeemed"],
    "POST /fhir": ["medical_credit.eligibility_asked"],
    "POST /fhir/CoverageEligibilityRequest": ["medical_credit.eligibility_asked"],
}
OF_HOSPITALS = re.compile(
    r"(GET|PUT|POST) /fhir/(Encounter|Account|ChargeItem|Invoice|PaymentNotice|PaymentReconciliation)(/.*)?"
    r"|(GET|POST) /fhir/CoverageEligibilityRe(quest|sponse)(/.*)?"
)
"""What hospitals read and write of their own visits, days and questions."""


def routes_for_staff(app: Litestar) -> Iterator[str]:
    """Yield the method and path of each route that requires a role."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                guards = handler.resolve_guards() if method != "OPTIONS" else ()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                if any(isinstance(guard, RoleGuard) for guard in guards):  # pyright: ignore[reportUnknownVariableType]
                    yield f"{method} {route.path}"


@pytest.fixture
def routes(settings: Settings) -> list[str]:
    return [route for route in routes_for_staff(create_app(settings)) if not OF_HOSPITALS.fullmatch(route) or route in AUDITED]


def test_every_route_for_staff_says_which_acts_it_records(routes: list[str]) -> None:
    assert sorted(set(routes) - AUDITED.keys()) == [], "add the route to AUDITED, with its actions"


def test_no_route_is_listed_that_does_not_exist(routes: list[str]) -> None:
    assert sorted(AUDITED.keys() - set(routes)) == []


def test_every_listed_action_is_recorded_somewhere() -> None:
    sources = [*(ROOT / "backend").rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    listed = {action for actions in AUDITED.values() if isinstance(actions, list) for action in actions}
    recorded = {action for action in listed if f'"{action}"' in text or f'"{action.partition(".")[2]}"' in text}
    assert listed == recorded
