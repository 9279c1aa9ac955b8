"""What can go wrong at the FHIR door, and how every Problem is said there: as an OperationOutcome."""

from typing import Any

from backend.city.service import ProblemFormat
from backend.i18n import Text
from backend.problems import FieldError, Problem
from integrations.his.mapping import Fault, Unmappable

FHIR_JSON = "application/fhir+json"
PROBLEM_SYSTEM = "urn:chengma:problem"
MAX_ISSUES = 20


class InvalidResource(Problem):
    """The body is no resource of the kind that belongs here, as FHIR R4 has it."""

    status, title = 400, "Invalid resource"


class InvalidSearch(Problem):
    """The search asks for something that is not known here, or only in another way."""

    status, title = 400, "Invalid search"


class NotAcceptable(Problem):
    """Only JSON is spoken here."""

    status, title = 406, "Not acceptable"


class PreconditionFailed(Problem):
    """The resource is no longer as the caller knows it, or several match where one was meant."""

    status, title = 412, "Precondition failed"


class RequestChanged(Problem):
    """A request for eligibility was made before under this number, and asked something else."""

    status, title = 409, "Request changed"


class Unprocessable(Problem):
    """The resource is one, but says something that the city cannot do."""

    status, title = 422, "Unprocessable resource"


_CODES = {
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

_CODES_OF = {
    "LineExceeded": "business-rule",
    "CannotPayLater": "business-rule",
    "InvalidResource": "structure",
    "InvalidIdNumber": "value",
    "LineChanged": "duplicate",
    "RefundTooLate": "business-rule",
    "TooManyLines": "too-long",
    "UnknownLine": "not-found",
    "VisitCancelled": "business-rule",
    "VisitPaid": "business-rule",
}
"""The IssueType of the Problems for which FHIR has a better word than their status."""

_FAULTS: dict[Fault, str] = {"required": "required", "value": "value", "unknown": "code-invalid"}


def unprocessable(expression: str, text: Text, code: str = "value") -> Unprocessable:
    """Say what is wrong at an element, which a FHIRPath names."""
    return Unprocessable(text, errors=(FieldError(expression, text.en),), issue=code)


def unmapped(error: Unmappable, expression: str) -> Unprocessable:
    """Say where in a resource stands what has no place in the city's words."""
    return unprocessable(expression, error.text, _FAULTS[error.fault])


def outcome(problem: Problem, language: str, request_id: str) -> dict[str, Any]:
    """Give the OperationOutcome of a Problem: words for people, its name and the FHIRPath of the place for machines."""
    kind = type(problem)
    code = problem.members.get("issue") or _CODES_OF.get(kind.__name__) or _CODES.get(problem.status, "exception")
    details = {
        "coding": [{"system": PROBLEM_SYSTEM, "code": kind.type_path().rpartition("/")[2], "display": kind.title}],
        "text": problem.detail.in_language(language),
    }
    places = [(_expression(error.pointer, problem), error.detail) for error in problem.errors[:MAX_ISSUES]]
    issues = [_issue(code, details, said, expression) for expression, said in places]
    whole = _issue(code, details, problem.detail.en, _expression("", problem))
    return {"resourceType": "OperationOutcome", "id": request_id[:64], "issue": issues or [whole]}


def told(text: Text, language: str) -> dict[str, Any]:
    """Give the OperationOutcome that says that all went well."""
    issue = {"severity": "information", "code": "informational", "details": {"text": text.in_language(language)}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def _issue(code: str, details: dict[str, Any], diagnostics: str, expression: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": code, "details": details, "diagnostics": diagnostics or details["text"]}
    return issue | {"expression": [expression]} if expression else issue


def _expression(pointer: str, problem: Problem) -> str:
    """Give a FHIRPath; what a bundle's entry says of itself is said of the bundle."""
    entry = problem.members.get("entry")
    path = pointer if pointer[:1].isupper() else ""
    if entry is None:
        return path
    _, _, within = path.partition(".")
    return f"Bundle.entry[{entry}]" + (f".resource.{within}" if within else "")


DIALECT = ProblemFormat(prefix="/fhir", media_type=FHIR_JSON, body=outcome)
