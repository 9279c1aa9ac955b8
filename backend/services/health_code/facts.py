"""The facts about a person that the rules of the health code may read.

Facts state what happened and when; only the rules decide the colour. Every list is in order of time and bounded. Every
instant has a time zone, and is stored in UTC.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from backend.i18n import Text
from backend.rulebook.explanation.changes import Change
from backend.rulebook.language.types import FactMeaning

MAX_FACTS = 50
"""The maximum number of facts of each kind from official reports, and of those that the person reported."""

MAX_OF_BOTH = 2 * MAX_FACTS

MAX_CHECK_INS = 60

Instant = Annotated[datetime, Meta(tz=True)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2")]
SymptomKind = Literal["fever", "cough", "breathlessness", "sore_throat", "loss_of_smell", "fatigue", "diarrhoea"]


class Case(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The person is or was a case; `ended_at` is when a doctor released them, or ruled a suspicion out."""

    status: Annotated[Literal["confirmed", "suspected", "asymptomatic"], FactMeaning(zh="病例类型", en="Type of case")]
    since: Annotated[Instant, FactMeaning(zh="成为病例的时间", en="When the person became a case")]
    ended_at: Annotated[
        Instant | None,
        FactMeaning(
            zh="医生判定治愈、解除或排除的时间", en="When a doctor released the person or ruled a suspicion out"
        ),
    ] = None


class Contact(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Contact with a case, last at `at`: close, secondary (with a close contact), or nearby in place and time."""

    level: Annotated[
        Literal["close", "secondary", "nearby"],
        FactMeaning(
            zh="接触程度：密切接触、次密接、时空伴随",
            en="Level of contact: close, secondary, or nearby in place and time",
        ),
    ]
    at: Annotated[Instant, FactMeaning(zh="最后一次接触的时间", en="Time of the last contact")]


class LabTest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A test for the virus, and its result once there is one."""

    kind: Annotated[
        Literal["pcr", "antigen"], FactMeaning(zh="检测方法：核酸或抗原", en="Kind of test: PCR or antigen")
    ]
    result: Annotated[Literal["positive", "negative", "awaiting"], FactMeaning(zh="检测结果", en="Result of the test")]
    sampled_at: Annotated[Instant, FactMeaning(zh="采样时间", en="When the sample was taken")]
    reported_at: Annotated[Instant | None, FactMeaning(zh="出结果的时间", en="When the result was reported")] = None


class Symptom(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A symptom that the person declared at `at`."""

    kind: Annotated[SymptomKind, FactMeaning(zh="症状", en="Symptom")]
    at: Annotated[Instant, FactMeaning(zh="申报症状的时间", en="When the symptom was declared")]


class Declaration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A health declaration of the person at `at`; `well` if it named no symptom."""

    at: Annotated[Instant, FactMeaning(zh="申报时间", en="When the declaration was made")]
    well: Annotated[bool, FactMeaning(zh="是否未申报任何症状", en="Whether the declaration named no symptom")]


class Stay(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stay in an area of this risk; `left_at` is missing while the person is still there."""

    risk: Annotated[Literal["high", "medium", "low"], FactMeaning(zh="所在区域的风险等级", en="Risk level of the area")]
    entered_at: Annotated[Instant, FactMeaning(zh="进入该区域的时间", en="When the person entered the area")]
    left_at: Annotated[
        Instant | None,
        FactMeaning(
            zh="离开该区域的时间（仍在该区域则无）", en="When the person left the area; absent while still there"
        ),
    ] = None


class Entry(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Entry from abroad."""

    country: Annotated[
        Country,
        FactMeaning(zh="来自的国家或地区（ISO 3166-1 两位代码）", en="Country of departure (ISO 3166-1 alpha-2)"),
    ]
    entered_at: Annotated[Instant, FactMeaning(zh="入境时间", en="When the person entered")]


class Isolation(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An order to isolate, or to monitor one's health at home ("observation").

    `check_ins` are the days on which the person checked in, each as the instant at which the day began in the city.
    """

    place: Annotated[
        Literal["central", "home", "observation"],
        FactMeaning(
            zh="隔离方式：集中隔离、居家隔离、居家健康监测",
            en="Kind of isolation: central, at home, or observation at home",
        ),
    ]
    began_at: Annotated[Instant, FactMeaning(zh="开始时间", en="When it began")]
    released_at: Annotated[Instant | None, FactMeaning(zh="解除时间", en="When the person was released")] = None
    check_ins: Annotated[
        tuple[Instant, ...],
        Meta(max_length=MAX_CHECK_INS),
        FactMeaning(zh="打卡的日子，每日记为当日零点", en="Days of the check-ins, each as the midnight that began it"),
    ] = ()


class Dose(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A dose of vaccine."""

    at: Annotated[Instant, FactMeaning(zh="接种时间", en="When the dose was given")]


class MissedMassTest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A round of mass testing, closed at `at`, that the person missed."""

    at: Annotated[
        Instant,
        FactMeaning(zh="应参加而未参加的一轮全员检测的截止时间", en="When the missed round of mass testing closed"),
    ]


class FalseStatement(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A health officer found at `at` that a declaration of the person was false."""

    at: Annotated[Instant, FactMeaning(zh="认定申报不实的时间", en="When a declaration was found to be false")]


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

    born_at: Annotated[Instant | None, FactMeaning(zh="出生当日零点", en="Midnight that began the day of birth")] = None
    cases: Annotated[
        tuple[Case, ...],
        Meta(max_length=MAX_OF_BOTH),
        FactMeaning(zh="作为病例的记录", en="Records of the person as a case"),
    ] = ()
    contacts: Annotated[
        tuple[Contact, ...], Meta(max_length=MAX_OF_BOTH), FactMeaning(zh="与病例的接触", en="Contacts with cases")
    ] = ()
    tests: Annotated[
        tuple[LabTest, ...], Meta(max_length=MAX_OF_BOTH), FactMeaning(zh="病毒检测", en="Tests for the virus")
    ] = ()
    symptoms: Annotated[
        tuple[Symptom, ...],
        Meta(max_length=MAX_OF_BOTH),
        FactMeaning(zh="本人申报的症状", en="Symptoms that the person declared"),
    ] = ()
    declarations: Annotated[
        tuple[Declaration, ...], Meta(max_length=MAX_OF_BOTH), FactMeaning(zh="健康申报", en="Health declarations")
    ] = ()
    stays: Annotated[
        tuple[Stay, ...], Meta(max_length=MAX_OF_BOTH), FactMeaning(zh="在风险区域的停留", en="Stays in areas of risk")
    ] = ()
    entries: Annotated[
        tuple[Entry, ...], Meta(max_length=MAX_OF_BOTH), FactMeaning(zh="入境记录", en="Entries from abroad")
    ] = ()
    isolations: Annotated[
        tuple[Isolation, ...],
        Meta(max_length=MAX_OF_BOTH),
        FactMeaning(zh="隔离和健康监测", en="Orders to isolate or to monitor one's health"),
    ] = ()
    doses: Annotated[
        tuple[Dose, ...], Meta(max_length=MAX_OF_BOTH), FactMeaning(zh="疫苗接种", en="Doses of vaccine")
    ] = ()
    missed_mass_tests: Annotated[
        tuple[MissedMassTest, ...],
        Meta(max_length=MAX_OF_BOTH),
        FactMeaning(zh="未参加的全员检测", en="Missed rounds of mass testing"),
    ] = ()
    false_statements: Annotated[
        tuple[FalseStatement, ...],
        Meta(max_length=MAX_OF_BOTH),
        FactMeaning(zh="不实申报", en="Declarations found to be false"),
    ] = ()
