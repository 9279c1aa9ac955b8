"""Problems of claims, each named after the rule that it protects."""

from backend.problems import Problem


class UnknownBenefit(Problem):
    """The benefit does not exist or is not available now."""

    status = 404


class NotEntitled(Problem):
    """The rules do not entitle this person to the benefit now: `because` is the reason, `remedy` what would help."""


class AlreadyClaimed(Problem):
    """The benefit was claimed the maximum number of times or too recently, or another one excludes it."""


class RepaymentOutstanding(Problem):
    """An amount that was paid on false facts must be paid back first."""


class NoBankAccount(Problem):
    """The person has not registered a bank account for payouts."""


class NotOnWaitlist(Problem):
    """The claim is not on the waiting list, so it cannot be withdrawn."""

    title = "Not on the waiting list"


class NothingToAppeal(Problem):
    """There is no claw-back, the time for an appeal is over, or an appeal was made or decided before."""


class NothingToRepay(Problem):
    """Nothing is to be paid back now, or the amount differs from what the caller saw."""


class RepaymentInProgress(Problem):
    """The bank is already processing a repayment of this claim."""


class RepaymentFailed(Problem):
    """The bank could not carry out the repayment; the amount is still owed."""

    status = 402
    after_effect = True


class OwnAppeal(Problem):
    """An officer must not decide their own appeal."""

    status = 403


CLAIM_PROBLEMS = (UnknownBenefit, NotEntitled, AlreadyClaimed, NoBankAccount, RepaymentOutstanding)
"""The Problems of a route that claims a benefit."""

REPAYMENT_PROBLEMS = (NothingToRepay, RepaymentInProgress, RepaymentFailed)
"""The Problems of a route that pays money back."""
