"""Who may use each route: the entries that `test_access_matrix.py` tries with every kind of caller.

A route without an entry fails the test. To add one, write a line `"METHOD /path": access` below:

- `PUBLIC` for everybody, `SIGNED_IN` for every account, `CITIZEN` for people whose identity is verified (level 2),
  `IN_PERSON` for people who proved it in person (level 3), or `staff("role", ...)` for the roles that may;
- routes that connected systems use, such as those below `/fhir/`, need no entry of their own: `system_access` has them.

A route whose path names an object also needs a line in `OWN_OBJECTS` of `test_access_matrix.py`, which makes one that
belongs to a person, or in `OBJECTS_OF_THE_CITY` if it belongs to nobody.
"""

from msgspec import Struct


class Access(Struct, frozen=True):
    """The callers that a route admits: of at least this level, and with one of these roles if there are any."""

    level: int
    roles: tuple[str, ...] = ()


PUBLIC, SIGNED_IN, CITIZEN, IN_PERSON = Access(0), Access(1), Access(2), Access(3)


def staff(*roles: str) -> Access:
    """Return the access of staff, whose roles are in force at level 3."""
    return Access(3, roles)


SYSTEM = Access(0, ("hospital",))

ENTRIES = {
    "GET /": PUBLIC,
    "GET /.well-known/audit-jwks.json": PUBLIC,
    "GET /.well-known/jwks.json": PUBLIC,
    "GET /health/live": PUBLIC,
    "GET /health/ready": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /openapi.yaml": PUBLIC,
    "GET /reference": PUBLIC,
    "POST /v1/accounts/lookups": staff("operator"),
    "GET /v1/audit/days": PUBLIC,
    "GET /v1/audit/days/{day:date}": PUBLIC,
    "GET /v1/audit/entries": staff("auditor"),
    "GET /v1/audit/head": PUBLIC,
    "POST /v1/bank-notices": PUBLIC,
    "GET /v1/benefit-budgets": staff("talent_officer"),
    "POST /v1/development/outbox": PUBLIC,
    "GET /v1/emergency-accesses": staff("operator"),
    "GET /v1/health-event-proposals": staff("health_approver"),
    "POST /v1/health-event-proposals/approvals": staff("health_approver"),
    "POST /v1/health-event-proposals/rejections": staff("health_approver"),
    "GET /v1/health-event-proposals/{proposal_id:str}": staff("health_approver"),
    "POST /v1/health-events": staff("health_officer"),
    "POST /v1/offline-scans": staff("gate"),
    "POST /v1/identity-cases": staff("identity_officer"),
    "GET /v1/identity-cases": staff("identity_officer"),
    "GET /v1/identity-cases/{case_id:str}": staff("identity_officer"),
    "POST /v1/identity-cases/{case_id:str}/decisions": staff("identity_officer"),
    "GET /v1/me": SIGNED_IN,
    "GET /v1/me/audit": SIGNED_IN,
    "GET /v1/me/audit/{entry_id:str}/proof": SIGNED_IN,
    "GET /v1/me/benefits": CITIZEN,
    "GET /v1/me/benefits/{benefit:str}/explanation": CITIZEN,
    "GET /v1/me/health-code/explanation": CITIZEN,
    "GET /v1/me/medical-credit/explanation": CITIZEN,
    "GET /v1/me/talent/explanation": CITIZEN,
    "POST /v1/me/claims": IN_PERSON,
    "POST /v1/me/offers": CITIZEN,
    "DELETE /v1/me/claims/{claim_id:str}": CITIZEN,
    "GET /v1/me/claims/{claim_id:str}": CITIZEN,
    "POST /v1/me/claims/{claim_id:str}/appeal": CITIZEN,
    "POST /v1/me/claims/{claim_id:str}/repayments": CITIZEN,
    "POST /v1/me/closure": SIGNED_IN,
    "GET /v1/me/closure": SIGNED_IN,
    "GET /v1/me/export": SIGNED_IN,
    "GET /v1/me/family": CITIZEN,
    "POST /v1/me/family": CITIZEN,
    "GET /v1/me/family-bills": CITIZEN,
    "DELETE /v1/me/family/{consent_id:str}": CITIZEN,
    "PUT /v1/me/family/{consent_id:str}/agreement": IN_PERSON,
    "GET /v1/me/health-code": CITIZEN,
    "GET /v1/me/health-code/history": CITIZEN,
    "GET /v1/me/health-code/image.png": CITIZEN,
    "GET /v1/me/health-code/image.svg": CITIZEN,
    "POST /v1/me/health-declarations": CITIZEN,
    "POST /v1/me/isolation-check-ins": CITIZEN,
    "POST /v1/me/fresh-account": SIGNED_IN,
    "POST /v1/me/identity-proofs": SIGNED_IN,
    "DELETE /v1/me/medical-credit": CITIZEN,
    "POST /v1/me/medical-credit": IN_PERSON,
    "GET /v1/me/medical-credit": CITIZEN,
    "POST /v1/me/medical-credit/desk-tokens": IN_PERSON,
    "GET /v1/me/medical-credit/hospitals": CITIZEN,
    "PUT /v1/me/medical-credit/hospitals": IN_PERSON,
    "GET /v1/me/notices": SIGNED_IN,
    "PUT /v1/me/notices/read": SIGNED_IN,
    "PUT /v1/me/notices/{notice_id:str}/read": SIGNED_IN,
    "PUT /v1/me/phone": SIGNED_IN,
    "PUT /v1/me/real-name": SIGNED_IN,
    "DELETE /v1/me/sessions": SIGNED_IN,
    "GET /v1/me/sessions": SIGNED_IN,
    "DELETE /v1/me/sessions/{session_id:str}": SIGNED_IN,
    "GET /v1/me/talent": CITIZEN,
    "GET /v1/me/talent-code": CITIZEN,
    "GET /v1/me/talent-code/image.png": CITIZEN,
    "GET /v1/me/talent-code/image.svg": CITIZEN,
    "PUT /v1/me/talent/account": IN_PERSON,
    "POST /v1/me/talent/evidence": CITIZEN,
    "DELETE /v1/me/talent/evidence/{evidence_id:str}": CITIZEN,
    "GET /v1/me/visits": CITIZEN,
    "GET /v1/me/visits/{visit_id:str}": CITIZEN,
    "POST /v1/me/visits/{visit_id:str}/payments": CITIZEN,
    "POST /v1/payout-notices": PUBLIC,
    "POST /v1/phone-changes/undo": PUBLIC,
    "GET /v1/reconciliations/{hospital:str}": staff("operator"),
    "GET /v1/reconciliations/{hospital:str}/{day:str}": staff("operator"),
    "PUT /v1/reconciliations/{hospital:str}/{day:str}": staff("operator"),
    "POST /v1/reconciliations/{hospital:str}/{day:str}/acceptances": staff("operator"),
    "POST /v1/reconciliations/{hospital:str}/{day:str}/approvals": staff("approver"),
    "GET /v1/reconciliations/{hospital:str}/{day:str}/file": staff("operator"),
    "GET /v1/reconciliations/{hospital:str}/{day:str}/page": staff("operator"),
    "POST /v1/reporting-sources": staff("operator"),
    "GET /v1/reporting-sources": staff("operator"),
    "POST /v1/reporting-sources/approvals": staff("operator"),
    "POST /v1/reporting-sources/removals": staff("operator"),
    "POST /v1/rulebook-releases": staff("author"),
    "GET /v1/rulebook-releases": staff("author", "approver", "auditor"),
    "GET /v1/rulebook-releases/{digest:str}": staff("author", "approver", "auditor"),
    "GET /v1/rulebook-releases/{digest:str}/review": staff("author", "approver", "auditor"),
    "GET /v1/rulebook-activations": staff("author", "approver", "auditor"),
    "POST /v1/rulebook-checks": staff("author"),
    "POST /v1/rulebook-releases/{digest:str}/approvals": staff("approver"),
    "POST /v1/rulebook-releases/{digest:str}/activations": staff("approver"),
    "DELETE /v1/rulebook-releases/{digest:str}/activations": staff("approver"),
    "POST /v1/school-lookups": PUBLIC,
    "POST /v1/school-lookups/explanations": PUBLIC,
    "GET /v1/school-plans": PUBLIC,
    "GET /v1/school-plans/{code:str}/{year:int}/catchments.geojson": PUBLIC,
    "GET /v1/school-plans/{code:str}/{year:int}/past-batches.csv": PUBLIC,
    "GET /v1/school-plans/{code:str}/{year:int}/schools.csv": PUBLIC,
    "GET /v1/school-plans/{code:str}/{year:int}/schools.geojson": PUBLIC,
    "POST /v1/sessions": PUBLIC,
    "DELETE /v1/sessions/current": SIGNED_IN,
    "POST /v1/sessions/refresh": PUBLIC,
    "POST /v1/sign-in-codes": PUBLIC,
    "GET /v1/staff": staff("operator", "auditor"),
    "POST /v1/staff/grants": staff("operator"),
    "GET /v1/staff/grants": staff("operator", "auditor"),
    "POST /v1/staff/grants/approvals": staff("operator"),
    "POST /v1/staff/grants/batches": staff("operator"),
    "DELETE /v1/staff/grants/{grant_id:str}": staff("operator"),
    "POST /v1/staff/grants/{grant_id:str}/approval": staff("operator"),
    "POST /v1/staff/{account_id:str}/withdrawals": staff("operator"),
    "GET /v1/talent-appeals": staff("talent_officer"),
    "PUT /v1/talent-appeals/{claim_id:str}": staff("talent_officer"),
    "GET /v1/talent-appeals/{claim_id:str}": staff("talent_officer"),
    "POST /v1/talent-redemptions": staff("partner"),
    "POST /v1/talent-reviews": staff("talent_officer"),
    "POST /v1/talent-verifications": staff("partner"),
    "POST /v1/verifications": staff("gate"),
}

OPEN_SYSTEM_ROUTES = ("/fhir/metadata", "/fhir/.well-known/smart-configuration", "/fhir/token")


def system_access(path: str) -> Access | None:
    """Return who may use a route of connected systems; None for other routes."""
    if not (path == "/fhir" or path.startswith(("/fhir/", "/v1/hospital/"))):
        return None
    return PUBLIC if path in OPEN_SYSTEM_ROUTES else SYSTEM
