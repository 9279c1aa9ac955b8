"""What a service gives to the engine: its documents, and the few decisions that are its own."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct

from backend.benefits.budget import Budget
from backend.benefits.claim import C, Claimant
from backend.benefits.offers import Offers
from backend.benefits.terms import OfferTerms, Terms
from backend.city.service import City
from backend.i18n import Text
from backend.jobs.tasks import TaskReference

P = TypeVar("P", bound=Claimant)


class Benefits(Struct, Generic[C, P], frozen=True, kw_only=True):
    """The benefits of one service.

    `claim`, `claimant`, `budget` and `offer` are its documents and the terms of its offers. `shown_in` is where
    citizens see their claims, as in "see your library card". `terms(city, now)` are its time limits.

    `payee(city, claim)` is the name of the account's holder, which the bank compares. It raises UpstreamRejected.
    `facts(claim)` are the facts that decided a claim. `progress(city, claim)` queries how far it is.
    `entitlement_lost(claimant, claim)` is True if what entitled the subject was withdrawn since the claim. The rules of
    the module `audit_module` select claims for an audit by `audit_facts(claim, draw)`; `verified_facts(city, claim)`
    then queries the true facts as of the claim. Both queries raise UpstreamTimeout or UpstreamRejected.

    The tasks `advance_claim` (of a claim, by its id) and `serve_waitlist` (of a benefit) are defined by the service.
    """

    claim: type[C]
    claimant: type[P]
    budget: type[Budget]
    offer: type[OfferTerms]
    shown_in: Text
    terms: Callable[[City, datetime], Terms]
    payee: Callable[[City, C], Awaitable[str]]
    facts: Callable[[C], Struct]
    progress: Callable[[City, C], Awaitable[int]]
    entitlement_lost: Callable[[P, C], bool]
    audit_module: str
    audit_facts: Callable[[C, int], Struct]
    verified_facts: Callable[[City, C], Awaitable[Struct]]
    advance_claim: TaskReference
    serve_waitlist: TaskReference

    def offers(self, city: City) -> Offers[OfferTerms]:
        """Return the offers of the rules in force in the city."""
        return Offers(city.rulebook, self.offer)


AnyBenefits = Benefits[Any, Any]
