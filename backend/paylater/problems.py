"""The Problems of paying later, each named after the rule that it protects."""

from backend.problems import Problem


class NotEnrolled(Problem):
    """The caller is not enrolled in pay later, or has ended the enrolment."""


class OutstandingBalance(Problem):
    """Pay later cannot be ended while anything is unpaid or in progress."""


class NothingToPay(Problem):
    """The bill has no such amount to pay now."""


class PaymentInProgress(Problem):
    """The bank is still processing a payment of this bill."""


class PaymentFailed(Problem):
    """The bank declined the payment."""

    status = 402
    after_effect = True


class TooManyFamilyPayers(Problem):
    """The caller has the maximum number of family payers."""


class SamePerson(Problem):
    """The person who accepted a repair cannot also approve it."""


class NotAccepted(Problem):
    """The difference is not in the state that this step requires."""
