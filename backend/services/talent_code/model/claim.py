"""Claims and budgets of the talent code: what it adds to those of the engine."""

from datetime import date, datetime
from typing import Any, ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from backend.benefits import budget, claim
from backend.services.talent_code.facts import BenefitFacts
from backend.store.retention import Period, Retention

MAX_OFFICER_VIEWS = 50


class OfficerView(Struct, frozen=True, gc=False):
    """One occasion on which an officer viewed the claim."""

    at: datetime
    account: str


class Claim(claim.Claim, kw_only=True):
    """A person's claim, with the facts that decided it; the person alone states those named in `stated`.

    `declared` are the values of the facts that the benefit declares itself.

    Its progress is the latest known number of months of insurance.
    """

    collection: ClassVar[str] = "claims"
    retention: ClassVar[Retention] = Retention(
        grows_with="each claim to a benefit",
        ends="once nothing is to be paid or paid back",
        names="a person",
        field="claimed_ms",
        periods=(
            Period(
                date(2018, 1, 1), 5475, "[A] ten years as for other payments, after up to five years of instalments"
            ),
        ),
    )

    facts: BenefitFacts
    stated: tuple[str, ...]
    declared: dict[str, Any] = field(default_factory=dict[str, Any])
    officer_views: tuple[OfficerView, ...] = ()


class Budget(budget.Budget, kw_only=True):
    """The limit of a benefit in a calendar year and what has been spent; `id` is `benefit:year`."""

    collection: ClassVar[str] = "budgets"
    retention: ClassVar[Retention] = Retention(
        grows_with="each benefit and year",
        ends="never: it is the account of public money",
        names="nobody",
    )


def record_view(viewed: Claim, now: datetime, account: str) -> Claim:
    """Record that an officer viewed a claim."""
    views = (*viewed.officer_views, OfficerView(now, account))[-MAX_OFFICER_VIEWS:]
    return replace(viewed, officer_views=views)
