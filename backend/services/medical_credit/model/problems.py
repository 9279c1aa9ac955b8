"""The Problems of pay later, each named after the rule that it protects."""

from backend.problems import Problem


class UnknownPatient(Problem):
    """No person with this ID number is enrolled in pay later."""

    status, title = 404, "Unknown patient"


class UnknownVisit(Problem):
    """The hospital has not opened a visit with this number."""

    status, title = 404, "Unknown visit"


class UnknownLine(Problem):
    """A credit or adjustment refers to a charge that the visit does not have, or not yet."""

    status, title = 409, "Unknown line"


class LineChanged(Problem):
    """The visit already has a line with this id and other contents."""

    status, title = 409, "Line changed"


class LineExceeded(Problem):
    """A credit or adjustment exceeds what remains of the charge."""

    status, title = 409, "Line exceeded"


class TooManyLines(Problem):
    """The visit has the maximum number of lines."""

    status, title = 409, "Too many lines"


class VisitChanged(Problem):
    """The command contradicts data of the visit that cannot change."""

    status, title = 409, "Visit changed"


class VisitCancelled(Problem):
    """The visit was cancelled."""

    status, title = 409, "Visit cancelled"


class VisitPaid(Problem):
    """The visit's bill is paid or being paid, so no more charges can be added."""

    status, title = 409, "Visit paid"


class RefundTooLate(Problem):
    """The period in which a payment can be refunded to the original account has ended."""

    status, title = 409, "Refund too late"


class CannotPayLater(Problem):
    """The person cannot pay later for this visit. The reason is not disclosed to the hospital."""

    status, title = 409, "Cannot pay later"


class NotEligible(Problem):
    """The rules do not allow the caller to enrol in pay later now."""

    status, title = 409, "Not eligible"
