"""What can stand in the way of paying later, each named after the rule that it protects."""

from backend.problems import Problem


class UnknownPatient(Problem):
    """No person with this ID number has agreed to pay later."""

    status, title = 404, "Unknown patient"


class UnknownVisit(Problem):
    """The hospital has told of no such visit."""

    status, title = 404, "Unknown visit"


class UnknownLine(Problem):
    """A credit or adjustment speaks of a charge that is not there, or not there yet."""

    status, title = 409, "Unknown line"


class LineChanged(Problem):
    """The visit holds a line with this id that says something else."""

    status, title = 409, "Line changed"


class LineExceeded(Problem):
    """More would be taken back than the line charged."""

    status, title = 409, "Beyond the line"


class TooManyLines(Problem):
    """The visit holds as many lines as it can."""

    status, title = 409, "Too many lines"


class VisitChanged(Problem):
    """The visit was opened before and said something else that cannot be changed any more."""

    status, title = 409, "Visit changed"


class VisitEnded(Problem):
    """The visit was cancelled."""

    status, title = 409, "Visit ended"


class VisitPaid(Problem):
    """The visit's bill is paid or being paid; it can only become less."""

    status, title = 409, "Visit paid"


class RefundTooLate(Problem):
    """The time in which money goes back to where it came from is over."""

    status, title = 409, "Refund too late"


class CannotPayLater(Problem):
    """The person cannot pay later for this visit. The hospital does not learn why."""

    status, title = 409, "Cannot pay later"


class NoMedicalCredit(Problem):
    """The caller has not opened medical credit, or has closed it."""

    status, title = 409, "No medical credit"


class NotEligible(Problem):
    """The rules do not let the caller open medical credit now."""

    status, title = 409, "Not eligible"


class StillOwed(Problem):
    """Medical credit cannot be closed while something is owed or a visit runs."""

    status, title = 409, "Still owed"


class NothingToPay(Problem):
    """Nothing of this bill is to be paid."""

    status, title = 409, "Nothing to pay"


class PaymentInFlight(Problem):
    """A payment of this bill is with the bank, which has not yet said what became of it."""

    status, title = 409, "Payment in flight"


class PaymentFailed(Problem):
    """The bank did not carry the payment out."""

    status, title = 402, "Payment failed"


class FamilyFull(Problem):
    """As many family members as may be are bound already."""

    status, title = 409, "Family full"
