"""Why a message is refused, and with which code: AR if it can never succeed, AE if it may succeed later.

Interface engines differ in what they do with either code (docs/hospitals.md), so a hospital may have another policy.
"""

from msgspec import Struct

from backend.city.id_number import InvalidIdNumber
from backend.i18n import Text
from backend.problems import Problem
from backend.services.medical_credit.model import problems
from backend.services.medical_credit.model.hospital import Hospital, MessageState
from integrations.his.hl7v2.acknowledgement import AcknowledgementCode
from integrations.his.hl7v2.errors import ConditionCode, Hl7Error, Location
from integrations.his.hl7v2.financial_transactions import AMOUNT, REFERENCE
from integrations.his.hl7v2.ignored_messages import Ignored

PATIENT = Location("PID", 1, 3)

_CONDITION_CODES: dict[type[Problem], ConditionCode] = {
    InvalidIdNumber: "204",
    problems.UnknownPatient: "204",
    problems.UnknownVisit: "204",
    problems.UnknownLine: "204",
    problems.AmbiguousLine: "204",
    problems.UnknownSettlement: "204",
    problems.SettlementChanged: "205",
    problems.SettlementDiffers: "102",
    problems.SettlementUnbalanced: "102",
    problems.SettledByCity: "206",
    problems.VisitSettled: "206",
    problems.LineChanged: "205",
    problems.VisitBeginsLater: "102",
    problems.VisitChanged: "205",
    problems.OtherPatient: "205",
    problems.LineExceeded: "102",
    problems.WithdrawalDiffers: "102",
    problems.CannotPayLater: "206",
    problems.DeskTokensRefused: "206",
    problems.VisitCancelled: "206",
    problems.VisitPaid: "206",
    problems.VisitBeingPaid: "206",
    problems.RefundTooLate: "206",
    problems.TooManyLines: "206",
}
"""The condition code (HL7 table 0357) of each Problem."""

_TEMPORARY = (
    problems.UnknownPatient,
    problems.CannotPayLater,
    problems.DeskTokensRefused,
    problems.VisitBeingPaid,
    problems.SettlementDiffers,
    problems.VisitSettled,
)
"""The Problems that may end: the person agrees to pay later, pays what is due, the hour ends, a payment fails, missing
lines arrive, or the hospital reports that it cancelled a settlement."""

_EARLY = (problems.UnknownVisit, problems.UnknownLine, problems.UnknownSettlement)
"""The Problems of a message that arrived before one it depends on."""

_ABOUT_PATIENT = (InvalidIdNumber, problems.UnknownPatient, problems.OtherPatient)


class ProcessingResult(Struct, frozen=True):
    """The application acknowledgement of a message, its new state, and its errors; `ignored` says why it is ignored."""

    code: AcknowledgementCode
    state: MessageState
    errors: tuple[Hl7Error, ...] = ()
    ignored: Ignored | None = None


def refusal_code(hospital: Hospital | None, *, permanent: bool) -> AcknowledgementCode:
    """Return AE or AR for a message that can never succeed, or that may succeed later, by the hospital's policy."""
    match hospital.refuse_with if hospital is not None else "by_cause":
        case "by_cause":
            return "AR" if permanent else "AE"
        case "reversed":
            return "AE" if permanent else "AR"
        case code:
            return code


def refuse(hospital: Hospital, error: Hl7Error, *, permanent: bool) -> ProcessingResult:
    """Return the result of a message that is refused with this error."""
    return ProcessingResult(refusal_code(hospital, permanent=permanent), "failed", (error,))


def refuse_command(hospital: Hospital, problem: Problem, location: Location) -> ProcessingResult:
    """Return the result of a message whose command at a location failed; an early message is accepted and waits."""
    code = _CONDITION_CODES.get(type(problem), "207")
    if isinstance(problem, _ABOUT_PATIENT):
        location = PATIENT
    if isinstance(problem, problems.VisitBeginsLater):
        location = Location("PV1", 1, 44)
    if isinstance(problem, problems.UnknownLine):
        location = Location("FT1", location.sequence, REFERENCE)
    if isinstance(problem, problems.LineExceeded | problems.WithdrawalDiffers):
        location = Location("FT1", location.sequence, AMOUNT)
    if isinstance(problem, _EARLY):
        return ProcessingResult("AA", "waiting", (Hl7Error(location, code, problem.detail, "W"),))
    permanent = type(problem) in _CONDITION_CODES and not isinstance(problem, _TEMPORARY)
    return refuse(hospital, Hl7Error(location, code, problem.detail), permanent=permanent)


def unexpected(error: Exception) -> Hl7Error:
    """Return the error for a fault of ours; its text says nothing of the message, which is personal."""
    return Hl7Error(
        None,
        "207",
        Text(
            zh=f"系统内部错误（{type(error).__name__}），消息已留存，由工作人员处理。",
            en=f"An internal error occurred ({type(error).__name__}); the message is kept for an operator.",
        ),
    )


def unavailable() -> Hl7Error:
    """Return the error for a message that cannot be stored or processed now."""
    return Hl7Error(
        None, "207", Text(zh="系统暂时不可用，请稍后重发。", en="The system is unavailable; send the message again.")
    )
