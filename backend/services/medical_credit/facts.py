"""What the rules of medical credit may read: of a person's credit, of their standing, and which term is asked for.

Amounts are in fen. The facts of `CreditFacts` come from the city's registries; those of `StandingFacts` are put
together for each decision from what stands in the store.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Instant = Annotated[datetime, Meta(tz=True)]
VisitKind = Literal["outpatient", "emergency", "inpatient"]
IncomeBand = Literal["none", "low", "middle", "high", "top"]
RealNameLevel = Literal["number", "face", "bank"]
"""How a person's name was proved: by the ID number alone, by their face too, or by a bank account too."""

Term = Literal[
    "opening_hold_outpatient_fen",
    "opening_hold_emergency_fen",
    "opening_hold_inpatient_fen",
    "hold_days",
    "late_charges_minutes",
    "repay_hours",
    "reminders_at_most",
    "reminder_hours",
    "debit_tries",
    "debit_retry_hours",
    "instalments",
    "instalment_days",
    "refund_days",
    "family_at_most",
    "facts_days",
]
"""The figures of the agreement, each decided by `medical_credit.terms` as the law stands that day."""


class CreditFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What the registries say of a person's credit.

    `city_score` is the city's credit score (300 to 1,000), missing where the person has none. `arrears_fen` is what
    they owe to public bodies by final decision, `breaches` how often they did not keep an agreement in the last two
    years. `adult_at` and `senior_at` are the midnights of the 18th and of the 65th birthday.
    """

    adult_at: Instant
    senior_at: Instant
    real_name: RealNameLevel
    city_score: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    insurance_years: Annotated[int, Meta(ge=0, le=80)] = 0
    arrears_fen: Annotated[int, Meta(ge=0, le=10**13)] = 0
    breaches: Annotated[int, Meta(ge=0, le=1_000)] = 0
    income: IncomeBand = "none"


class Overdue(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A bill, or an instalment, that is owed, and since when it should have been paid."""

    due_at: Instant
    owed_fen: Annotated[int, Meta(ge=0, le=10**13)]


class Breach(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """At `at` a bill stayed unpaid although it was debited as often as agreed."""

    at: Instant


class StandingFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What decides whether a person may pay later just now.

    `visit` is the kind of visit asked about, "none" where somebody just looks. `free_fen` is what the limit leaves.
    `breaches` are those since the last bill that was paid in time, in order of time.
    """

    adult_at: Instant
    visit: Literal["none", "outpatient", "emergency", "inpatient"] = "none"
    free_fen: Annotated[int, Meta(ge=0, le=10**13)] = 0
    city_score: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    arrears_fen: Annotated[int, Meta(ge=0, le=10**13)] = 0
    owing: Annotated[tuple[Overdue, ...], Meta(max_length=100)] = ()
    breaches: Annotated[tuple[Breach, ...], Meta(max_length=50)] = ()


class TermAsked(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Which figure of the agreement is asked for."""

    term: Term
