"""What the rules of the health code may read of a person.

Facts say what happened and when, never what colour follows: that is the rules' to say. Every list is in order of time
and bounded, every instant is aware and in UTC once it is stored.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_FACTS = 50
"""Of each kind of fact the newest are kept; no rule looks back further than fifty of a kind."""

MAX_CHECK_INS = 60

Instant = Annotated[datetime, Meta(tz=True)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2")]
SymptomKind = Literal["fever", "cough", "breathlessness", "sore_throat", "loss_of_smell", "fatigue", "diarrhoea"]


class Case(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The person is or was a case; `ended_at` is when a doctor released them, or ruled a suspicion out."""

    status: Literal["confirmed", "suspected", "asymptomatic"]
    since: Instant
    ended_at: Instant | None = None


class Contact(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Contact with a case, last at `at`: close, secondary (of a close contact), or nearby in place and time."""

    level: Literal["close", "secondary", "nearby"]
    at: Instant


class LabTest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A test for the virus, and its result once there is one."""

    kind: Literal["pcr", "antigen"]
    result: Literal["positive", "negative", "awaiting"]
    sampled_at: Instant
    reported_at: Instant | None = None


class Symptom(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A symptom that the person declared to have at `at`."""

    kind: SymptomKind
    at: Instant


class Declaration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The person declared their health at `at`; `well` says that they named no symptom."""

    at: Instant
    well: bool


class Stay(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stay in an area of this risk; no `left_at` while the person is still there."""

    risk: Literal["high", "medium", "low"]
    entered_at: Instant
    left_at: Instant | None = None


class Entry(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Entry from abroad."""

    country: Country
    entered_at: Instant


class Isolation(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An order to isolate, or to watch one's health ("observation").

    `check_ins` are the days on which the person checked in, each as the instant at which it began in the city.
    """

    place: Literal["central", "home", "observation"]
    began_at: Instant
    released_at: Instant | None = None
    check_ins: Annotated[tuple[Instant, ...], Meta(max_length=MAX_CHECK_INS)] = ()


class Dose(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A dose of vaccine."""

    at: Instant


class MissedMassTest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A round of mass testing, closed at `at`, for which the person did not come."""

    at: Instant


class FalseStatement(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A health officer found at `at` that the person had declared something untrue."""

    at: Instant


class HealthFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """All that the rules of the health code may read of a person. `born_at` is the midnight of the day of birth."""

    born_at: Instant | None = None
    cases: Annotated[tuple[Case, ...], Meta(max_length=MAX_FACTS)] = ()
    contacts: Annotated[tuple[Contact, ...], Meta(max_length=MAX_FACTS)] = ()
    tests: Annotated[tuple[LabTest, ...], Meta(max_length=MAX_FACTS)] = ()
    symptoms: Annotated[tuple[Symptom, ...], Meta(max_length=MAX_FACTS)] = ()
    declarations: Annotated[tuple[Declaration, ...], Meta(max_length=MAX_FACTS)] = ()
    stays: Annotated[tuple[Stay, ...], Meta(max_length=MAX_FACTS)] = ()
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_FACTS)] = ()
    isolations: Annotated[tuple[Isolation, ...], Meta(max_length=MAX_FACTS)] = ()
    doses: Annotated[tuple[Dose, ...], Meta(max_length=MAX_FACTS)] = ()
    missed_mass_tests: Annotated[tuple[MissedMassTest, ...], Meta(max_length=MAX_FACTS)] = ()
    false_statements: Annotated[tuple[FalseStatement, ...], Meta(max_length=MAX_FACTS)] = ()
