"""A subject as a claimant: earlier claims, and the account for payouts."""

from datetime import datetime

from msgspec import Struct

from backend.jobs.saga import SagaDocument


class PastClaim(Struct, frozen=True, gc=False):
    """An earlier claim: it excludes other benefits, and the same one during its cooldown."""

    claim: str
    benefit: str
    at: datetime


class Claimant(SagaDocument, kw_only=True):
    """A subject that claims benefits. A service adds what it knows about them, and may advance it by its own saga.

    The bank `account` is encrypted; only `account_ending` is ever shown.
    """

    account: str | None = None
    account_ending: str | None = None
    past_claims: tuple[PastClaim, ...] = ()
