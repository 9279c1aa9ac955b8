"""The facts about a person that the rules of the health code may read.

Facts state what happened and when; only the rules decide the colour. Every list is in order of time and bounded. Every
instant has a time zone, and is stored in UTC.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from backend.i18n import Text
from backend.rulebook.explanation.changes import Change

MAX_FACTS = 50
"""The maximum number of facts of each kind from official reports, and of those that the person reported."""

MAX_OF_BOTH = 2 * MAX_FACTS

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
    """Contact with a case, last at `at`: close, secondary (with a close contact), or nearby in place and time."""

    level: Literal["close", "secondary", "nearby"]
    at: Instant


class LabTest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A test for the virus, and its result once there is one."""

    kind: Literal["pcr", "antigen"]
    result: Literal["positive", "negative", "awaiting"]
    sampled_at: Instant
    reported_at: Instant | None = None


class Symptom(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A symptom that the person declared at `at`."""

    kind: SymptomKind
    at: Instant


class Declaration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A health declaration of the person at `at`; `well` if it named no symptom."""

    at: Instant
    well: bool


class Stay(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stay in an area of this risk; `left_at` is missing while the person is still there."""

    risk: Literal["high", "medium", "low"]
    entered_at: Instant
    left_at: Instant | None = None


class Entry(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Entry from abroad."""

    country: Country
    entered_at: Instant


class Isolation(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An order to isolate, or to monitor one's health at home ("observation").

    `check_ins` are the days on which the person checked in, each as the instant at which the day began in the city.
    """

    place: Literal["central", "home", "observation"]
    began_at: Instant
    released_at: Instant | None = None
    check_ins: Annotated[tuple[Instant, ...], Meta(max_length=MAX_CHECK_INS)] = ()


class Dose(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A dose of vaccine."""

    at: Instant


class MissedMassTest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A round of mass testing, closed at `at`, that the person missed."""

    at: Instant


class FalseStatement(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A health officer found at `at` that a declaration of the person was false."""

    at: Instant


CHANGES = (
    Change(
        what=Text(zh="做一次核酸检测，结果为阴性", en="Take a PCR test with a negative result"),
        path="tests",
        act="add",
        fields={"kind": ("pcr",), "result": ("negative",)},
    ),
    Change(
        what=Text(zh="重新申报健康状况，确认没有症状", en="Declare your health again, without any symptom"),
        path="declarations",
        act="add",
        fields={"well": (True,)},
    ),
    Change(
        what=Text(zh="离开风险地区", en="Leave the risk area"),
        path="stays.left_at",
        act="set",
    ),
    Change(
        what=Text(zh="每天打卡", en="Check in every day"),
        path="isolations.check_ins",
        act="add_daily",
        unless="released_at",
    ),
    Change(
        what=Text(zh="接种一剂疫苗", en="Get a dose of vaccine"),
        path="doses",
        act="add",
    ),
    Change(
        what=Text(zh="由医生办理出院或排除感染", en="A doctor discharges you or rules out an infection"),
        path="cases.ended_at",
        act="set",
        by="authority",
    ),
    Change(
        what=Text(zh="由主管部门解除隔离", en="The authorities release you from isolation"),
        path="isolations.released_at",
        act="set",
        by="authority",
    ),
)
"""What may change a colour. A contact, an entry or a symptom is a fact of the past: only time ends its effect."""


class HealthFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """All facts that the rules of the health code may read. `born_at` is the midnight that began the day of birth."""

    changes: ClassVar[tuple[Change, ...]] = CHANGES

    born_at: Instant | None = None
    cases: Annotated[tuple[Case, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    contacts: Annotated[tuple[Contact, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    tests: Annotated[tuple[LabTest, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    symptoms: Annotated[tuple[Symptom, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    declarations: Annotated[tuple[Declaration, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    stays: Annotated[tuple[Stay, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    isolations: Annotated[tuple[Isolation, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    doses: Annotated[tuple[Dose, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    missed_mass_tests: Annotated[tuple[MissedMassTest, ...], Meta(max_length=MAX_OF_BOTH)] = ()
    false_statements: Annotated[tuple[FalseStatement, ...], Meta(max_length=MAX_OF_BOTH)] = ()
