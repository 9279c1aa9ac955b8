"""Problems of the talent code, each named after the rule that it protects."""

from backend.problems import Problem


class EvidenceOnRecord(Problem):
    """The qualification is already declared or confirmed, or it was confirmed and cannot be withdrawn."""

    status, title = 409, "Evidence already on record"


class EvidenceLimitReached(Problem):
    """The person has declared the maximum number of qualifications; refuted ones can be withdrawn first."""

    status, title = 409, "Evidence limit reached"


class EvidenceInFuture(Problem):
    """The declared qualification is dated in the future."""

    status, title = 409, "Evidence dated in the future"


class NoTalentClass(Problem):
    """The person has no class now, so there is no talent code to show."""

    status, title = 409, "No talent class"


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


class InvalidBankAccount(Problem):
    """The number is not a valid bank card number: its length or its check digit is wrong (ISO/IEC 7812)."""

    status, title = 400, "Invalid bank account"


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


class PlaceNotAssigned(Problem):
    """The place is not assigned to the caller."""

    status, title = 403, "Place not assigned"


class CodeNotAccepted(Problem):
    """The code is forged, expired or used before, or its holder has no class any more; `outcome` says which."""

    status, title = 409, "Code not accepted"


class BenefitNotOffered(Problem):
    """This place does not offer the benefit, or the holder of the code is not entitled to it."""

    status, title = 409, "Benefit not offered"


class QuotaExhausted(Problem):
    """The holder of the code has used the benefit as often as allowed in a year."""

    status, title = 409, "Quota exhausted"


class RedemptionIdReused(Problem):
    """The redemption id was used at this place before, with different content."""

    status, title = 409, "Redemption id reused"
