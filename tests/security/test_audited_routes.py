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
from backend.city.declarations import declared_roles
from backend.city.service import discover_services
from backend.security.identity import RoleGuard
from backend.settings import Settings

OWN_RECORD = "it is a record itself, which names the account"
NO_PERSON = "it shows figures and nobody's record"
OF_CASES = "it shows cases without the people whom they are about"
OF_RULES = "it shows the rules, and no citizen's record"
OF_STAFF = "it shows who works for the city, and no citizen's record"

AUDITED: dict[str, list[str] | str] = {
    "POST /v1/accounts/lookups": ["account.looked_up"],
    "GET /v1/staff": OF_STAFF,
    "GET /v1/staff/grants": OF_STAFF,
    "POST /v1/staff/grants": ["account.grant_proposed"],
    "POST /v1/staff/grants/batches": ["account.grant_proposed"],
    "POST /v1/staff/grants/{grant_id:str}/approval": ["account.grant_approved"],
    "POST /v1/staff/grants/approvals": ["account.grant_approved"],
    "DELETE /v1/staff/grants/{grant_id:str}": ["account.grant_declined"],
    "POST /v1/staff/{account_id:str}/withdrawals": ["account.roles_withdrawn"],
    "GET /v1/identity-cases": OF_CASES,
    "GET /v1/identity-cases/{case_id:str}": ["account.identity_case_read"],
    "POST /v1/identity-cases": ["account.identity_approved"],
    "POST /v1/identity-cases/{case_id:str}/decisions": ["account.identity_approved", "account.identity_refused"],
    "POST /v1/health-events": ["health_code.event_reported", "health_code.event_proposed"],
    "GET /v1/health-event-proposals": NO_PERSON,
    "GET /v1/health-event-proposals/{proposal_id:str}": ["health_code.proposal_read"],
    "POST /v1/health-event-proposals/approvals": ["health_code.event_approved"],
    "POST /v1/health-event-proposals/rejections": ["health_code.event_rejected"],
    "GET /v1/reporting-sources": NO_PERSON,
    "POST /v1/reporting-sources": ["health_code.source_proposed"],
    "POST /v1/reporting-sources/approvals": ["health_code.source_approved"],
    "POST /v1/reporting-sources/removals": ["health_code.source_account_removed"],
    "POST /v1/verifications": OWN_RECORD,
    "POST /v1/offline-scans": OWN_RECORD,
    "GET /v1/audit/entries": ["audit.read"],
    "PUT /v1/reconciliations/{hospital:str}/{day:str}": ["medical_credit.day_reconciled"],
    "GET /v1/reconciliations/{hospital:str}": NO_PERSON,
    "GET /v1/reconciliations/{hospital:str}/{day:str}": ["medical_credit.day_read"],
    "GET /v1/reconciliations/{hospital:str}/{day:str}/page": ["medical_credit.day_read"],
    "GET /v1/reconciliations/{hospital:str}/{day:str}/file": ["medical_credit.records_exported"],
    "POST /v1/reconciliations/{hospital:str}/{day:str}/acceptances": ["medical_credit.repair_accepted"],
    "POST /v1/reconciliations/{hospital:str}/{day:str}/approvals": ["medical_credit.repair_approved"],
    "GET /v1/emergency-accesses": NO_PERSON,
    "GET /v1/talent-appeals": ["talent_code.appeal_read"],
    "GET /v1/talent-appeals/{claim_id:str}": ["talent_code.appeal_read"],
    "PUT /v1/talent-appeals/{claim_id:str}": ["talent_code.appeal_decided"],
    "GET /v1/benefit-budgets": NO_PERSON,
    "POST /v1/rulebook-releases": ["rules.published"],
    "GET /v1/rulebook-releases": OF_RULES,
    "GET /v1/rulebook-releases/{digest:str}": OF_RULES,
    "GET /v1/rulebook-releases/{digest:str}/review": OF_RULES,
    "GET /v1/rulebook-activations": OF_RULES,
    "POST /v1/rulebook-checks": OF_RULES,
    "POST /v1/rulebook-releases/{digest:str}/approvals": ["rules.approved"],
    "POST /v1/rulebook-releases/{digest:str}/activations": ["rules.activated", "rules.activation_scheduled"],
    "DELETE /v1/rulebook-releases/{digest:str}/activations": ["rules.activation_cancelled"],
    "POST /v1/talent-reviews": ["talent_code.review_requested"],
    "POST /v1/talent-verifications": ["talent_code.verified"],
    "POST /v1/talent-redemptions": ["talent_code.redeemed"],
    "PUT /v1/hospital/days/{day:str}/file": ["medical_credit.day_reconciled"],
    "GET /v1/hospital/days/{day:str}/records": ["medical_credit.records_exported"],
    "POST /fhir": ["medical_credit.eligibility_asked", "medical_credit.emergency_access"],
    "POST /fhir/CoverageEligibilityRequest": ["medical_credit.eligibility_asked", "medical_credit.emergency_access"],
    "POST /fhir/Encounter": ["medical_credit.emergency_access"],
}
ABOUT_NOBODY = {
    "medical_credit.day_reconciled",
    "medical_credit.day_read",
    "medical_credit.records_exported",
    "health_code.event_proposed",
    "health_code.source_proposed",
    "health_code.source_approved",
    "health_code.source_account_removed",
    "rules.published",
    "rules.activated",
    "rules.activation_scheduled",
    "rules.activation_cancelled",
    "rules.approved",
}
"""Actions that no person reads: they concern a hospital's day, a source or the rules, or are not in force yet."""

OF_HOSPITALS = re.compile(
    r"(GET|HEAD|PUT|POST) /fhir/(Encounter|Account|ChargeItem|Invoice|PaymentNotice|PaymentReconciliation)(/.*)?"
    r"|(GET|HEAD|PUT|POST) /fhir/ClaimResponse(/.*)?"
    r"|(GET|HEAD|POST) /fhir/CoverageEligibilityRe(quest|sponse)(/.*)?"
    r"|GET /v1/hospital/(days|messages)(/.*)?"
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
    found = routes_for_staff(create_app(settings))
    return [route for route in found if route in AUDITED or not OF_HOSPITALS.fullmatch(route)]


def test_every_route_for_staff_says_which_acts_it_records(routes: list[str]) -> None:
    assert sorted(set(routes) - AUDITED.keys()) == [], "add the route to AUDITED, with its actions"


def test_no_route_is_listed_that_does_not_exist(routes: list[str]) -> None:
    assert sorted(AUDITED.keys() - set(routes)) == []


def test_a_person_reads_each_listed_action_about_them_in_both_languages() -> None:
    texts = {action: text for service in discover_services() for action, text in service.acts.items()}
    listed = {action for actions in AUDITED.values() if isinstance(actions, list) for action in actions}
    of_a_person = {action for action in listed if action not in ABOUT_NOBODY}
    assert sorted(of_a_person - texts.keys()) == [], "add them to `Service.acts`"
    assert all(text.zh and text.en for text in texts.values())


def test_a_person_reads_the_authority_of_each_role() -> None:
    services = discover_services()
    named = {role for service in services for role in service.authorities}
    roles = declared_roles(services) - {"citizen", "gate"}  # which act on no record of a person
    assert sorted(roles - named) == [], "add them to `Service.authorities`"
