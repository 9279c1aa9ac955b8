"""Problems of the talent code, each named after the rule that it protects."""

from backend.problems import Problem


class EvidenceOnRecord(Problem):
    """The qualification is already declared or confirmed, or it was confirmed and cannot be withdrawn."""

    title = "Evidence already on record"


class EvidenceLimitReached(Problem):
    """The person has declared the maximum number of qualifications; refuted ones can be withdrawn first."""


class EvidenceInFuture(Problem):
    """The declared qualification is dated in the future."""

    title = "Evidence dated in the future"


class AnswersNeeded(Problem):
    """What the benefit gives depends on answers of the person, which an offer shows (POST /v1/me/offers)."""


DECLARATION_PROBLEMS = (EvidenceOnRecord, EvidenceLimitReached, EvidenceInFuture)
"""The Problems of a route that declares a qualification."""


class NoTalentClass(Problem):
    """The person has no class now, so there is no talent code to show."""


class PlaceNotAssigned(Problem):
    """The place is not assigned to the caller."""

    status = 403


class CodeNotAccepted(Problem):
    """The code is not genuine, not valid now or used before, or its holder has no class; `outcome` says which."""


class BenefitNotOffered(Problem):
    """This place does not offer the benefit, or the holder of the code is not entitled to it."""


class QuotaExhausted(Problem):
    """The holder of the code has used the benefit as often as allowed in a year."""


class RedemptionIdReused(Problem):
    """The redemption id was used at this place before, with different content."""
