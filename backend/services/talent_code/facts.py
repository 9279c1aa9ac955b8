"""Facts that the rules of the talent code may read, and the terms in the file of every benefit.

Instants are in UTC, amounts in fen. Rules see evidence only after a registry has confirmed it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, cast, get_args

import msgspec
from msgspec import Meta, Struct

from backend.benefits import terms as benefits
from backend.benefits.terms import Fen, OfferTerms, Term
from backend.rulebook.explanation.changes import Change
from backend.rulebook.language.types import FactMeaning
from backend.services.talent_code.changes import BENEFIT_CHANGES, TALENT_CHANGES

TalentClass = Literal["a", "b", "c", "d", "e"]
TalentClassOrNone = Literal["none", "e", "d", "c", "b", "a"]
"""A talent's class, lowest first, or none."""

TALENT_CLASSES: tuple[TalentClassOrNone, ...] = get_args(TalentClassOrNone)


def class_above(talent_class: TalentClassOrNone) -> TalentClass | None:
    """Return the next higher class, or None above the highest."""
    return cast("TalentClass | None", dict(pairwise(TALENT_CLASSES)).get(talent_class))


PrizeName = Literal[
    "nobel",
    "fields",
    "turing",
    "state_supreme",
    "state_first",
    "state_second",
    "provincial_first",
    "provincial_second",
    "municipal_first",
]
TitleName = Literal[
    "academician",
    "foreign_academician",
    "national_leader",
    "national_young_leader",
    "provincial_leader",
    "provincial_young_leader",
    "municipal_leader",
    "master_of_craft",
    "professor",
    "associate_professor",
    "senior_technician",
    "technician",
]
PostName = Literal[
    "world_500_chief",
    "national_laboratory_head",
    "listed_company_chief",
    "provincial_laboratory_head",
    "unicorn_founder",
    "key_firm_head",
]
DegreeLevel = Literal["bachelor", "master", "doctor"]
School = Literal["ordinary", "key", "world_100"]
Instant = Annotated[datetime, Meta(tz=True)]
MAX_MONTHS = 1_200
Months = Annotated[int, Meta(ge=0, le=MAX_MONTHS)]


class Prize(Struct, frozen=True, gc=False, tag="prize", forbid_unknown_fields=True):
    """A prize that was awarded."""

    prize: Annotated[PrizeName, FactMeaning(zh="奖项", en="Prize")]
    awarded_at: Annotated[Instant, FactMeaning(zh="获奖时间", en="When it was awarded")]


class Title(Struct, frozen=True, gc=False, tag="title", forbid_unknown_fields=True):
    """A title, or a place in a talent programme, that was granted."""

    title: Annotated[TitleName, FactMeaning(zh="称号或人才计划", en="Title, or place in a talent programme")]
    granted_at: Annotated[Instant, FactMeaning(zh="授予时间", en="When it was granted")]


class Degree(Struct, frozen=True, gc=False, tag="degree", forbid_unknown_fields=True):
    """A degree; `school` is ordinary, a national key school, or one of the hundred best in the world."""

    level: Annotated[DegreeLevel, FactMeaning(zh="学位", en="Degree")]
    awarded_at: Annotated[Instant, FactMeaning(zh="授予时间", en="When it was awarded")]
    school: Annotated[
        School,
        FactMeaning(
            zh="学校类别：普通高校、全国重点、世界百强",
            en="Class of school: ordinary, a national key school, or among the world's best hundred",
        ),
    ] = "ordinary"
    full_time: Annotated[bool, FactMeaning(zh="是否全日制", en="Whether the studies were full-time")] = True


class Post(Struct, frozen=True, gc=False, tag="post", forbid_unknown_fields=True):
    """A post held since an instant, and until another if it has ended."""

    post: Annotated[PostName, FactMeaning(zh="职务", en="Post")]
    since: Annotated[Instant, FactMeaning(zh="任职时间", en="When the person took the post")]
    until: Annotated[
        Instant | None, FactMeaning(zh="离任时间（在任则无）", en="When the person left the post; absent while held")
    ] = None


class Pay(Struct, frozen=True, gc=False, tag="pay", forbid_unknown_fields=True):
    """A person's income in the city in a calendar year, before tax."""

    year: Annotated[int, Meta(ge=1990, le=2149)]
    income_fen: Fen


class IncomeYear(Struct, frozen=True, gc=False):
    """A person's income in the calendar year that ended at an instant, the midnight after its last day."""

    ended_at: Annotated[datetime, FactMeaning(zh="该年度结束的零点", en="Midnight after the last day of the year")]
    income_fen: Annotated[
        Fen, FactMeaning(zh="该年度本市税前收入", en="Income in the city in that year, before tax", unit="fen")
    ]


class TalentFacts(Struct, frozen=True, gc=False, kw_only=True):
    """The confirmed qualifications of a person that decide their class."""

    changes: ClassVar[tuple[Change, ...]] = TALENT_CHANGES

    born_at: Annotated[datetime, FactMeaning(zh="出生当日零点", en="Midnight that began the day of birth")]
    prizes: Annotated[tuple[Prize, ...], FactMeaning(zh="奖项", en="Prizes")] = ()
    titles: Annotated[tuple[Title, ...], FactMeaning(zh="称号和人才计划", en="Titles and talent programmes")] = ()
    degrees: Annotated[tuple[Degree, ...], FactMeaning(zh="学位", en="Degrees")] = ()
    posts: Annotated[tuple[Post, ...], FactMeaning(zh="职务", en="Posts")] = ()
    pay: Annotated[tuple[IncomeYear, ...], FactMeaning(zh="各年度本市收入", en="Income in the city by year")] = ()
    insured_months: Annotated[
        Months, FactMeaning(zh="本市社保缴纳月数", en="Months of social insurance in the city", unit="months")
    ] = 0


class Instalment(benefits.Instalment, frozen=True, gc=False, forbid_unknown_fields=True):
    """A share of an amount, due after a number of months of social insurance in the city; 0: at once."""

    insured_months: Months = 0

    @property
    def milestone(self) -> int:
        """Return the months of insurance from which it is due."""
        return self.insured_months


Partner = Literal["hospital", "school", "park", "transport", "housing", "fund"]


class BenefitTerms(OfferTerms, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """How a benefit is carried out while these terms are in force; its rules decide who is entitled to it.

    Open instalments stop or go on when the class is withdrawn.

    For a service, `unit` is the unit of the figure, `partners` may see and honour it, and `quota` is the number of
    uses per person and calendar year (None: unlimited).
    """

    module_prefix: ClassVar[str] = "talent_code.benefits."
    milestones: ClassVar[str] = "more months of insurance"

    subject: Literal["person"]
    instalments: tuple[Instalment, ...] = ()
    unit: Literal["level", "months", "percent"] | None = None
    partners: tuple[Partner, ...] = ()

    @property
    def depends_on_spending(self) -> bool:
        """Return True if the amount depends on what the person spent."""
        return self.base is not None and self.base.of == "spent_fen"

    @classmethod
    def amounts(cls) -> set[str]:
        """Return the names of the amounts in the facts."""
        return {field.name for field in msgspec.structs.fields(BenefitFacts) if field.name.endswith("_fen")}

    def contradictions(self) -> Iterator[str]:
        """Yield what contradicts itself in these terms."""
        yield from super().contradictions()
        money = self.gives == "money"
        if money and (self.budget_fen is None or self.unit or self.partners):
            yield "money needs `budget_fen`, and must not have `unit` or `partners`"
        if not money and (self.budget_fen is not None or self.base or self.instalments or self.excludes):
            yield "a service must not have `budget_fen`, `base`, `instalments` or `excludes`"
        if not money and not (self.unit and self.partners):
            yield "a service needs `unit` and `partners`"


FACT_SOURCES: Mapping[str, tuple[str, ...]] = {
    "profile.sex": ("words",),
    "property_register.homes": ("number",),
}
"""Where the facts that a benefit declares may come from, besides the person, and the types they may have."""


class BenefitFacts(Struct, frozen=True, gc=False, kw_only=True):
    """Facts about a person who claims a benefit.

    Class, highest degree, months of social insurance, and income and income tax of the last full year are confirmed.
    Homes and the amount spent are stated by the person; they are accepted at once, and an audit may check them later.
    A benefit may declare further facts, which `declared` asks for and gathers.
    """

    terms: ClassVar[type[Struct]] = BenefitTerms
    sources: ClassVar[Mapping[str, tuple[str, ...]]] = FACT_SOURCES
    changes: ClassVar[tuple[Change, ...]] = BENEFIT_CHANGES

    born_at: Annotated[datetime, FactMeaning(zh="出生当日零点", en="Midnight that began the day of birth")]
    talent_class: Annotated[TalentClassOrNone, FactMeaning(zh="人才类别", en="Talent class")] = "none"
    class_since: Annotated[datetime | None, FactMeaning(zh="取得该类别的时间", en="When the class was granted")] = None
    degree: Annotated[
        Literal["none", "bachelor", "master", "doctor"], FactMeaning(zh="最高学位", en="Highest degree")
    ] = "none"
    graduated_at: Annotated[datetime | None, FactMeaning(zh="毕业时间", en="When the person graduated")] = None
    insured_months: Annotated[
        Months, FactMeaning(zh="本市社保缴纳月数", en="Months of social insurance in the city", unit="months")
    ] = 0
    income_fen: Annotated[Fen, FactMeaning(zh="上一完整年度的收入", en="Income of the last full year", unit="fen")] = 0
    tax_fen: Annotated[
        Fen, FactMeaning(zh="上一完整年度的个人所得税", en="Income tax of the last full year", unit="fen")
    ] = 0
    homes: Annotated[
        int, Meta(ge=0, le=1_000), FactMeaning(zh="本人申报的住房套数", en="Homes that the person stated", unit="homes")
    ] = 0
    spent_fen: Annotated[
        Fen, FactMeaning(zh="本人申报的支出", en="Amount that the person stated to have spent", unit="fen")
    ] = 0


class AuditFacts(Struct, frozen=True, gc=False, kw_only=True):
    """A paid claim, as the rules see it that select claims for audits.

    `draw` is a random number that is always the same for the same claim; `stated` is True if the claim depends on
    facts that only the person stated.
    """

    amount_fen: Annotated[Fen, FactMeaning(zh="已付金额", en="Amount paid", unit="fen")]
    talent_class: Annotated[TalentClassOrNone, FactMeaning(zh="人才类别", en="Talent class")]
    stated: Annotated[
        bool,
        FactMeaning(
            zh="申领是否依据本人申报的事实", en="Whether the claim depends on facts that only the person stated"
        ),
    ]
    draw: Annotated[
        int,
        Meta(ge=0, le=999),
        FactMeaning(zh="同一申领固定不变的随机数", en="Random number that is always the same for one claim"),
    ]


TalentTerm = Literal["grant_days", "review_days", "registry_days", "facts_days", Term, "usage_days"]


class TalentTermAsked(Struct, frozen=True, gc=False):
    """The figure of the talent code's own terms that is looked up."""

    term: Annotated[TalentTerm, FactMeaning(zh="所查询的规定数值", en="Figure that is looked up")]
