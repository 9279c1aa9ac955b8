"""The Problems of pay later, each named after the rule that it protects."""

from backend.problems import Problem


class UnknownPatient(Problem):
    """No person with this ID number is enrolled in pay later."""

    status = 404


class UnknownVisit(Problem):
    """The hospital has not opened a visit with this number."""

    status = 404


class UnknownLine(Problem):
    """A credit or adjustment refers to a charge that the visit does not have, or not yet."""


class AmbiguousLine(Problem):
    """A credit or adjustment names no charge, and several fit it."""


class LineChanged(Problem):
    """The visit already has a line with this id and other contents."""


class WithdrawalDiffers(Problem):
    """A withdrawal of a payment at the counter has another amount than the payment."""


class LineExceeded(Problem):
    """A credit or adjustment exceeds what remains of the charge."""


class TooManyLines(Problem):
    """The visit has the maximum number of lines."""


class TransactionTooLarge(Problem):
    """The visits of one transaction have more lines together than one document can hold."""

    status = 413


class VisitBeginsLater(Problem):
    """The beginning of the visit is more than a day in the future."""

    status = 422


class VisitChanged(Problem):
    """The command contradicts data of the visit that cannot change."""


class OtherPatient(Problem):
    """The message names another person than the patient of its visit."""


class VisitCancelled(Problem):
    """The visit was cancelled."""


class VisitPaid(Problem):
    """The visit's bill is paid, so no more charges can be added."""


class VisitBeingPaid(VisitPaid):
    """The visit's bill is being paid; if the payment fails, charges can be added again."""


class SettledByCity(Problem):
    """The city settles the visits of this hospital, so it does not report settlements."""


class VisitSettled(Problem):
    """The hospital's settlement of the visit is in force, so there cannot be another."""


class SettlementChanged(Problem):
    """The settlement was already reported with other amounts."""


class SettlementDiffers(Problem):
    """The medical fee of the hospital's settlement is not the total of the visit's lines."""


class SettlementUnbalanced(Problem):
    """The shares of the hospital's settlement do not total its medical fee."""


class UnknownSettlement(Problem):
    """The hospital cancels a settlement that it has not reported, or not yet."""


class RefundTooLate(Problem):
    """The period in which a payment can be refunded to the original account has ended."""


class CannotPayLater(Problem):
    """The person cannot pay later for this visit. The reason is not disclosed to the hospital."""


class NotEligible(Problem):
    """The rules do not allow the caller to enrol in pay later now."""


class DeskTokensRefused(Problem):
    """The hospital presented too many wrong desk tokens; `Retry-After` says how long to wait."""

    status, title_zh = 429, "就诊授权码错误次数过多"
