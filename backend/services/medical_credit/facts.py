"""The facts that the rules of medical credit may read: a person's credit, their standing, and the requested term.

Amounts are in fen. `CreditFacts` come from the city's registries; `StandingFacts` are built from stored documents for
each decision. Published rulebooks use these names, so renaming one makes stored releases invalid.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from backend.i18n import Text
from backend.paylater.bill import TermName
from backend.rulebook.explanation.changes import Change
from backend.rulebook.language.types import FactMeaning

Instant = Annotated[datetime, Meta(tz=True)]
VisitKind = Literal["outpatient", "emergency", "inpatient"]
SettledBy = Literal["city", "hospital"]
"""Who settles visits at the insurance: the city, or the hospital, which reports the result."""

RealNameLevel = Literal["number", "face", "bank"]
"""How a person's identity was verified: by ID number only, or also by face or bank account."""

Term = Literal[
    "opening_hold_outpatient_fen",
    "opening_hold_emergency_fen",
    "opening_hold_inpatient_fen",
    "hold_days",
    "late_charges_minutes",
    "refund_days",
    "facts_days",
    TermName,
]
"""The figures of the agreement; `medical_credit.terms` decides each as of a given day."""


PAY_ARREARS = Change(
    what=Text(zh="缴清或减少欠费", en="Pay your arrears to public bodies, or a part of them"),
    path="arrears_fen",
    act="set",
    direction="down",
)

CREDIT_CHANGES = (
    PAY_ARREARS,
    Change(
        what=Text(zh="提高实名认证等级", en="Verify your identity by a further proof"),
        path="real_name",
        act="set",
        fields={"": ("face", "bank")},
        words={
            "face": Text(zh="人脸识别", en="a face check"),
            "bank": Text(zh="本人银行账户", en="a bank account in your name"),
        },
    ),
    Change(
        what=Text(zh="城市信用分提高", en="Your city credit score rises"),
        path="city_score",
        act="set",
        by="authority",
        direction="up",
    ),
    Change(
        what=Text(zh="医疗保险缴费年限增加", en="Your years of medical insurance increase"),
        path="insurance_years",
        act="set",
        by="authority",
        direction="up",
    ),
    Change(
        what=Text(zh="税务部门登记的年收入变化", en="The tax office records another annual income"),
        path="income",
        act="set",
        by="authority",
        words={
            "none": Text(zh="无申报", en="none declared"),
            "low": Text(zh="第一档", en="first band"),
            "middle": Text(zh="第二档", en="second band"),
            "high": Text(zh="第三档", en="third band"),
            "top": Text(zh="第四档", en="fourth band"),
        },
    ),
)


class CreditFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A person's credit as recorded in the registries.

    `city_score` is the city's credit score (300 to 1,000), None if the person has none. `arrears_fen` is what they owe
    to public bodies by final decision. `breaches` is how often they missed an agreed payment in the last two years.
    `adult_at` and `senior_at` are midnight of the 18th and 65th birthdays.
    """

    changes: ClassVar[tuple[Change, ...]] = CREDIT_CHANGES

    adult_at: Annotated[Instant, FactMeaning(zh="十八周岁生日零点", en="Midnight of the 18th birthday")]
    senior_at: Annotated[Instant, FactMeaning(zh="六十五周岁生日零点", en="Midnight of the 65th birthday")]
    real_name: Annotated[
        RealNameLevel,
        FactMeaning(
            zh="实名认证方式：证件号码、人脸或银行账户",
            en="How the identity was verified: by ID number, face or bank account",
        ),
    ]
    city_score: Annotated[
        Annotated[int, Meta(ge=0, le=1_000)] | None,
        FactMeaning(zh="城市信用分（没有则无）", en="City credit score; absent if the person has none", unit="points"),
    ] = None
    insurance_years: Annotated[
        int, Meta(ge=0, le=80), FactMeaning(zh="医保参保满几年", en="Full years of medical insurance", unit="years")
    ] = 0
    arrears_fen: Annotated[
        int,
        Meta(ge=0, le=10**13),
        FactMeaning(zh="生效决定确认的对公共机构的欠款", en="Arrears to public bodies by final decision", unit="fen"),
    ] = 0
    breaches: Annotated[
        int,
        Meta(ge=0, le=1_000),
        FactMeaning(zh="近两年未按约付款的次数", en="Missed agreed payments in the last two years", unit="times"),
    ] = 0
    income: Annotated[Literal["none", "low", "middle", "high", "top"], FactMeaning(zh="收入档次", en="Income band")] = (
        "none"
    )


class Overdue(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An unpaid bill or instalment and its due date."""

    due_at: Annotated[Instant, FactMeaning(zh="应付日期", en="Due date")]
    owed_fen: Annotated[int, Meta(ge=0, le=10**13), FactMeaning(zh="未付金额", en="Unpaid amount", unit="fen")]


class Breach(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A breach: at `at`, a bill was still unpaid after the agreed number of debits."""

    at: Annotated[
        Instant,
        FactMeaning(
            zh="约定次数的扣款后账单仍未付清的时间", en="When a bill was still unpaid after the agreed number of debits"
        ),
    ]


class StandingFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The facts that decide whether a person may pay later now.

    `visit` is the kind of visit requested, or "none" if there is no visit. `free_fen` is the available credit.
    `breaches` are those since the last bill that was paid on time, oldest first.
    """

    changes: ClassVar[tuple[Change, ...]] = (
        Change(what=Text(zh="付清逾期账单", en="Pay the overdue bill"), path="owing", act="remove"),
        PAY_ARREARS,
        Change(
            what=Text(zh="付清已有账单，恢复可用额度", en="Pay open bills, so that credit is available again"),
            path="free_fen",
            act="set",
            direction="up",
        ),
        Change(
            what=Text(zh="城市信用分提高", en="Your city credit score rises"),
            path="city_score",
            act="set",
            by="authority",
            direction="up",
        ),
    )

    adult_at: Annotated[Instant, FactMeaning(zh="十八周岁生日零点", en="Midnight of the 18th birthday")]
    visit: Annotated[
        Literal["none", "outpatient", "emergency", "inpatient"],
        FactMeaning(zh="申请的就诊类型（没有就诊则为 none）", en="Kind of visit requested, or none"),
    ] = "none"
    free_fen: Annotated[int, Meta(ge=0, le=10**13), FactMeaning(zh="可用额度", en="Available credit", unit="fen")] = 0
    city_score: Annotated[
        Annotated[int, Meta(ge=0, le=1_000)] | None,
        FactMeaning(zh="城市信用分（没有则无）", en="City credit score; absent if the person has none", unit="points"),
    ] = None
    arrears_fen: Annotated[
        int,
        Meta(ge=0, le=10**13),
        FactMeaning(zh="生效决定确认的对公共机构的欠款", en="Arrears to public bodies by final decision", unit="fen"),
    ] = 0
    owing: Annotated[
        tuple[Overdue, ...], Meta(max_length=100), FactMeaning(zh="未付的账单和分期", en="Unpaid bills and instalments")
    ] = ()
    breaches: Annotated[
        tuple[Breach, ...],
        Meta(max_length=50),
        FactMeaning(
            zh="上一次按时付清账单之后的违约，最早的在前", en="Breaches since the last bill paid on time, oldest first"
        ),
    ] = ()


class TermAsked(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The figure of the agreement that is requested."""

    term: Annotated[Term, FactMeaning(zh="所查询的协议条款", en="Figure of the agreement that is requested")]
