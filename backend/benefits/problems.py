"""Problems of claims, each named after the rule that it protects."""

from backend.problems import Problem


class UnknownBenefit(Problem):
    """The benefit does not exist or is not available now."""

    status, title = 404, "Unknown benefit"


class NotEntitled(Problem):
    """The rules do not entitle this person to the benefit now: `because` is the reason, `remedy` what would help."""

    status, title = 409, "Not entitled"


class AlreadyClaimed(Problem):
    """The benefit was claimed the maximum number of times or too recently, or another one excludes it."""

    status, title = 409, "Already claimed"


class RepaymentOutstanding(Problem):
    """An amount that was paid on false facts must be paid back first."""

    status, title = 409, "Repayment outstanding"


class NoBankAccount(Problem):
    """The person has not registered a bank account for payouts."""

    status, title = 409, "No bank account"


class NotOnWaitlist(Problem):
    """The claim is not on the waiting list, so it cannot be withdrawn."""

    status, title = 409, "Not on the waiting list"


class NothingToAppeal(Problem):
    """There is no claw-back, the time for an appeal is over, or an appeal was made or decided before."""

    status, title = 409, "Nothing to appeal"


class NothingToRepay(Problem):
    """Nothing is to be paid back now, or the amount differs from what the caller saw."""

    status, title = 409, "Nothing to repay"


class RepaymentInProgress(Problem):
    """The bank is already processing a repayment of this claim."""

    status, title = 409, "Repayment in progress"


class RepaymentFailed(Problem):
    """The bank could not carry out the repayment; the amount is still owed."""

    status, title = 402, "Repayment failed"


class OwnAppeal(Problem):
    """An officer must not decide their own appeal."""

    status, title = 403, "Own appeal"
