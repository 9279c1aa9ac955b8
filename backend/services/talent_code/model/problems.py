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
