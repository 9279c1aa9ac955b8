"""The Problems of the FHIR interface, and OperationOutcomes for every Problem."""

from typing import Any

from backend.city.id_number import InvalidIdNumber
from backend.city.service import ProblemFormat
from backend.i18n import Text
from backend.problems import FieldError, NotFound, Problem
from backend.security.identity import SIGN_IN_AGAIN
from backend.services.medical_credit.model import problems
from integrations.his.mapping import Fault, Unmappable

FHIR_JSON = "application/fhir+json"
PROBLEM_SYSTEM = "urn:chengma:problem"
MAX_ISSUES = 20


class InvalidResource(Problem):
    """The body is not a valid FHIR R4 resource of the expected type."""

    status, title = 400, "Invalid resource"


class InvalidSearch(Problem):
    """A search parameter is not supported or has an invalid value."""

    status, title = 400, "Invalid search"


class NotAcceptable(Problem):
    """The client accepts no JSON."""

    status, title = 406, "Not acceptable"


class PreconditionFailed(Problem):
    """The version does not match, or a conditional create found several resources."""

    status, title = 412, "Precondition failed"


class RequestChanged(Problem):
    """The identifier of an eligibility request was already used for a different request."""

    status, title = 409, "Request identifier already used"


class Unprocessable(Problem):
    """The resource is valid, but its content cannot be processed."""

    status, title = 422, "Unprocessable resource"


_STATUS_ISSUE_TYPES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    412: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    429: "throttled",
    503: "transient",
}
"""The IssueType of each HTTP status."""

_PROBLEM_ISSUE_TYPES: dict[type[Problem], str] = {
    InvalidIdNumber: "value",
    InvalidResource: "structure",
    problems.CannotPayLater: "business-rule",
    problems.LineChanged: "duplicate",
    problems.LineExceeded: "business-rule",
    problems.RefundTooLate: "business-rule",
    problems.SettledByCity: "business-rule",
    problems.SettlementChanged: "duplicate",
    problems.SettlementDiffers: "business-rule",
    problems.SettlementUnbalanced: "business-rule",
    problems.TooManyLines: "too-long",
    problems.UnknownLine: "not-found",
    problems.UnknownSettlement: "not-found",
    problems.VisitBeginsLater: "value",
    problems.VisitCancelled: "business-rule",
    problems.VisitPaid: "business-rule",
    problems.VisitBeingPaid: "business-rule",
    problems.VisitSettled: "business-rule",
    problems.WithdrawalDiffers: "business-rule",
}
"""The IssueType of Problems for which FHIR has a more specific one than for their status."""

_REQUEST_TOKEN = Text(
    zh="缺少访问令牌，或令牌无效、已过期；请向token_endpoint重新申请。",
    en="There is no valid access token, or it has expired; request a new token at the token_endpoint.",
)
"""What a hospital's system does where a person would sign in again."""

_PATIENTS = (
    "Account.subject",
    "ChargeItem.subject",
    "ClaimResponse.patient",
    "CoverageEligibilityRequest.patient",
    "Encounter.subject",
)
_VISITS = ("ChargeItem.context", "ClaimResponse.request", "PaymentNotice.request")
_ELEMENTS_AT_FAULT: dict[type[Problem], tuple[str, ...]] = {
    InvalidIdNumber: _PATIENTS,
    problems.UnknownPatient: _PATIENTS,
    problems.OtherPatient: _PATIENTS,
    problems.DeskTokensRefused: _PATIENTS,
    problems.UnknownVisit: _VISITS,
    problems.VisitBeginsLater: ("Encounter.period.start",),
    problems.VisitChanged: ("Encounter.class",),
    problems.LineChanged: ("ChargeItem.identifier", "PaymentNotice.identifier"),
    problems.LineExceeded: ("ChargeItem.priceOverride.value",),
    problems.UnknownLine: ("ChargeItem.partOf",),
    problems.AmbiguousLine: ("ChargeItem.partOf",),
    problems.SettlementChanged: ("ClaimResponse.total",),
    problems.SettlementDiffers: ("ClaimResponse.total",),
    problems.SettlementUnbalanced: ("ClaimResponse.total",),
    problems.UnknownSettlement: ("ClaimResponse.identifier",),
    problems.WithdrawalDiffers: ("PaymentNotice.amount.value",),
}
"""The element at fault of each resource type, for Problems that are about one element."""

_FAULT_ISSUE_TYPES: dict[Fault, str] = {"required": "required", "value": "value", "unknown": "code-invalid"}


def resource_not_found() -> NotFound:
    """Return the Problem for a resource that does not exist, or belongs to another hospital."""
    return NotFound(Text(zh="没有找到该资源。", en="The resource does not exist."))


def unprocessable(expression: str, text: Text, code: str = "value") -> Unprocessable:
    """Return the Problem for an element, which a FHIRPath names."""
    return Unprocessable(text, errors=(FieldError(expression, text.en),), issue=code)


def unprocessable_element(error: Unmappable, expression: str) -> Unprocessable:
    """Return the Problem for an element that cannot be mapped."""
    return unprocessable(expression, error.text, _FAULT_ISSUE_TYPES[error.fault])


def name_element(problem: Problem, resource_type: str) -> None:
    """Add the FHIRPath of the element at fault to a Problem of the service, if one element is and none is named."""
    names = _ELEMENTS_AT_FAULT.get(type(problem), ())
    path = next((name for name in names if name.startswith(f"{resource_type}.")), None)
    if path is not None and not any(error.pointer[:1].isupper() for error in problem.errors):
        problem.errors = (FieldError(path, problem.detail.en),)


def operation_outcome(problem: Problem, language: str, request_id: str) -> dict[str, Any]:
    """Return the OperationOutcome of a Problem: a text for people, its type and the FHIRPath for machines."""
    kind = type(problem)
    by_status = _STATUS_ISSUE_TYPES.get(problem.status, "exception")
    code = problem.members.get("issue") or _PROBLEM_ISSUE_TYPES.get(kind) or by_status
    detail = _REQUEST_TOKEN if problem.detail == SIGN_IN_AGAIN else problem.detail
    details = {
        "coding": [{"system": PROBLEM_SYSTEM, "code": kind.type_path().rpartition("/")[2], "display": kind.title}],
        "text": detail.in_language(language),
    }
    locations = [(_expression(error.pointer, problem), error.detail) for error in problem.errors[:MAX_ISSUES]]
    issues = [_issue(code, details, diagnostics, expression) for expression, diagnostics in locations]
    general = _issue(code, details, detail.en, _expression("", problem))
    return {"resourceType": "OperationOutcome", "id": request_id[:64], "issue": issues or [general]}


def success_outcome(text: Text, language: str) -> dict[str, Any]:
    """Return an informational OperationOutcome."""
    issue = {"severity": "information", "code": "informational", "details": {"text": text.in_language(language)}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def _issue(code: str, details: dict[str, Any], diagnostics: str, expression: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": code, "details": details, "diagnostics": diagnostics or details["text"]}
    return issue | {"expression": [expression]} if expression else issue


def _expression(pointer: str, problem: Problem) -> str:
    """Return the FHIRPath of an element, from the root of the body: that of a bundle if the Problem has an `entry`."""
    entry = problem.members.get("entry")
    is_path = pointer[:1].isupper()
    if entry is None:
        return pointer if is_path else ""
    place = f"Bundle.entry[{entry}]"
    if not pointer:
        return place
    if not is_path:  # the name of a search parameter
        return f"{place}.request.url"
    root, _, within = pointer.partition(".")
    if root == "Bundle":
        return f"{place}{within.removeprefix('entry')}"
    return f"{place}.resource.{within}" if within else f"{place}.resource"


PROBLEM_FORMAT = ProblemFormat(prefix="/fhir", media_type=FHIR_JSON, body=operation_outcome)
