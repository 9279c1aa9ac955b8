"""The Problems of paying later, each named after the rule that it protects."""

from backend.problems import Problem


class NotEnrolled(Problem):
    """The caller is not enrolled in pay later, or has ended the enrolment."""

    status, title = 409, "Not enrolled"


class OutstandingBalance(Problem):
    """Pay later cannot be ended while anything is unpaid or in progress."""

    status, title = 409, "Outstanding balance"


class NothingToPay(Problem):
    """The bill has no such amount to pay now."""

    status, title = 409, "Nothing to pay"


class PaymentInProgress(Problem):
    """The bank is still processing a payment of this bill."""

    status, title = 409, "Payment in progress"


class PaymentFailed(Problem):
    """The bank declined the payment."""

    status, title = 402, "Payment failed"


class TooManyFamilyPayers(Problem):
    """The caller has the maximum number of family payers."""

    status, title = 409, "Too many family payers"


class SamePerson(Problem):
    """The person who accepted a repair cannot also approve it."""

    status, title = 409, "Same person"


class NotAccepted(Problem):
    """The difference is not in the state that this step requires."""

    status, title = 409, "Not accepted"
