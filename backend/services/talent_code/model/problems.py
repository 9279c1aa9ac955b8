"""What can stand in the way of a talent, each named after the rule that it protects."""

from backend.problems import Problem


class EvidenceKnown(Problem):
    """The same evidence was declared before, and counts, or is being looked into."""

    status, title = 409, "Evidence known"


class EvidenceFull(Problem):
    """A person declares so much evidence at most; what was refuted can be taken back first."""

    status, title = 409, "Evidence full"


class EvidenceInFuture(Problem):
    """What is declared would happen only later."""

    status, title = 409, "Evidence in the future"


class NoTalentClass(Problem):
    """The person has no class now, so that there is no talent code to show."""

    status, title = 409, "No talent class"


class UnknownBenefit(Problem):
    """There is no such benefit now."""

    status, title = 404, "Unknown benefit"


class NotEntitled(Problem):
    """The rules do not give this person the benefit now: `because` says why, `remedy` what would change it."""

    status, title = 409, "Not entitled"


class ClaimedAlready(Problem):
    """The benefit was claimed as often as it can be, too recently, or one that excludes it was."""

    status, title = 409, "Claimed already"


class MoneyOwed(Problem):
    """Money that was paid on facts that turned out false is to be paid back first."""

    status, title = 409, "Money owed"


class InvalidBankAccount(Problem):
    """The number is no bank card that can have been issued: its length or its check digit is wrong (ISO/IEC 7812)."""

    status, title = 400, "Invalid bank account"


class NoBankAccount(Problem):
    """The person has not said yet to which bank account money shall be paid."""

    status, title = 409, "No bank account"


class NotInLine(Problem):
    """The claim does not wait for budget any more, so that it cannot be given up."""

    status, title = 409, "Not in line"


class NothingToAppeal(Problem):
    """Nothing is claimed back, or the time for an appeal has run out, or the appeal was made or decided before."""

    status, title = 409, "Nothing to appeal"


class NothingToRepay(Problem):
    """Nothing is to be paid back now, or another amount than the caller saw."""

    status, title = 409, "Nothing to repay"


class RepaymentInFlight(Problem):
    """The bank already has a repayment of this claim and has not decided yet."""

    status, title = 409, "Repayment in flight"


class RepaymentFailed(Problem):
    """The bank did not carry the repayment out; it is still owed."""

    status, title = 402, "Repayment failed"


class OwnAppeal(Problem):
    """Nobody decides an appeal of their own."""

    status, title = 403, "Own appeal"


class PlaceNotYours(Problem):
    """The caller does not work at this place."""

    status, title = 403, "Place not yours"


class CodeNotHonoured(Problem):
    """The code is forged, expired or used before, or its holder has no class any more; `outcome` says which."""

    status, title = 409, "Code not honoured"


class NotOffered(Problem):
    """This place does not give the benefit, or the holder of the code does not have it."""

    status, title = 409, "Not offered"


class QuotaUsedUp(Problem):
    """The holder of the code has used the benefit as often as a year allows."""

    status, title = 409, "Quota used up"


class RedemptionChanged(Problem):
    """The same redemption id was used before at this place, for something else."""

    status, title = 409, "Redemption changed"
