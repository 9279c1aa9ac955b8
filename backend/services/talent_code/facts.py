"""What the rules of the talent code may read, and the terms that stand in the file of every benefit.

Instants are in UTC, amounts in fen. Evidence reaches the rules only once a registry has confirmed it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta, Struct

TalentClass = Literal["a", "b", "c", "d", "e"]
Standing = Literal["none", "e", "d", "c", "b", "a"]
"""A talent's class, the lowest first, or none."""

STANDINGS: tuple[Standing, ...] = get_args(Standing)

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
MAX_FEN = 10**13
MAX_MONTHS = 1_200
Fen = Annotated[int, Meta(ge=0, le=MAX_FEN)]
Months = Annotated[int, Meta(ge=0, le=MAX_MONTHS)]


class Prize(Struct, frozen=True, gc=False, tag="prize", forbid_unknown_fields=True):
    """A prize that was awarded."""

    prize: PrizeName
    awarded_at: Instant


class Title(Struct, frozen=True, gc=False, tag="title", forbid_unknown_fields=True):
    """A title, or a place in a programme for talents, that was granted."""

    title: TitleName
    granted_at: Instant


class Degree(Struct, frozen=True, gc=False, tag="degree", forbid_unknown_fields=True):
    """A degree; `school` tells ordinary schools, key schools of the country, and the hundred best of the world."""

    level: DegreeLevel
    awarded_at: Instant
    school: School = "ordinary"
    full_time: bool = True


class Post(Struct, frozen=True, gc=False, tag="post", forbid_unknown_fields=True):
    """A post that is held since an instant, until another if it has ended."""

    post: PostName
    since: Instant
    until: Instant | None = None


class Pay(Struct, frozen=True, gc=False, tag="pay", forbid_unknown_fields=True):
    """What somebody earned in the city in a calendar year, before tax."""

    year: Annotated[int, Meta(ge=1990, le=2149)]
    income_fen: Fen


class PaidYear(Struct, frozen=True, gc=False):
    """What somebody earned in a calendar year that ended at an instant, the midnight after its last day."""

    ended_at: datetime
    income_fen: Fen


class TalentFacts(Struct, frozen=True, gc=False, kw_only=True):
    """What is confirmed of a person, as far as it counts for their class."""

    born_at: datetime
    prizes: tuple[Prize, ...] = ()
    titles: tuple[Title, ...] = ()
    degrees: tuple[Degree, ...] = ()
    posts: tuple[Post, ...] = ()
    pay: tuple[PaidYear, ...] = ()
    insured_months: Months = 0


class Instalment(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A part of an amount, due after so many months of social insurance in the city; 0: at once."""

    percent: Annotated[int, Meta(ge=1, le=100)]
    insured_months: Months = 0


class Exclusion(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A benefit that nobody has together with this one: claimed `within` this time of each other, or ever."""

    benefit: str
    within: timedelta | None = None


class Deduction(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """So many percent of a figure of the facts."""

    percent: Annotated[int, Meta(ge=1, le=100)]
    of: str


class Base(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The figure of the facts that an amount is a share of, or is bounded by; `less` is taken off it first."""

    of: str
    less: Deduction | None = None


Partner = Literal["hospital", "school", "park", "transport", "housing", "fund"]


class BenefitTerms(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """How a benefit is given while these terms are in force, beside what its rules say of a person.

    `subject` is who may have it.

    Of money, `amount` says what the figure of the rules means: `fixed`, the amount in fen; `share`, so many percent of
    `base`; `up_to`, at most so many fen of `base`. It comes in `instalments`, or all at once; `after_withdrawal` says
    what becomes of those to come when the class is withdrawn. `budget_fen` and `quota` bound the claims of a calendar
    year.

    Of a service, `unit` says what the figure counts, `partners` who may see and honour it, and `quota` how often a
    person may use it in a calendar year (None: as often as wanted).

    A person may claim it `times_at_most`, each time `cooldown` after the last, and none of `excludes` beside it.
    """

    subject: Literal["person"]
    gives: Literal["money", "service"]
    amount: Literal["fixed", "share", "up_to"] = "fixed"
    base: Base | None = None
    instalments: tuple[Instalment, ...] = ()
    after_withdrawal: Literal["stop", "go_on"] = "go_on"
    budget_fen: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    quota: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    times_at_most: Annotated[int, Meta(ge=1, le=100)] = 1
    cooldown: timedelta = timedelta()
    excludes: tuple[Exclusion, ...] = ()
    unit: Literal["level", "months", "percent"] | None = None
    partners: tuple[Partner, ...] = ()

    def __post_init__(self) -> None:
        """Refuse terms that contradict each other."""
        for wrong in self._contradictions():
            raise ValueError(wrong)

    def _contradictions(self) -> Iterator[str]:
        money = self.gives == "money"
        if self.instalments and (total := sum(part.percent for part in self.instalments)) != 100:  # noqa: PLR2004  percent
            yield f"the instalments add up to {total} percent, not to 100"
        months = [part.insured_months for part in self.instalments]
        if months != sorted(set(months)):
            yield "each instalment is due after more months of insurance than the one before"
        if (self.amount == "fixed") != (self.base is None):
            yield "a share, and an amount up to a base, need a `base`; a fixed amount has none"
        for name in self.figures():
            if name not in _FIGURES:
                yield f"{name!r} is no figure of the facts: {', '.join(sorted(_FIGURES))}"
        if money and (self.budget_fen is None or self.unit or self.partners):
            yield "money needs `budget_fen`, and has neither `unit` nor `partners`"
        if not money and (self.budget_fen is not None or self.base or self.instalments or self.excludes):
            yield "a service has no `budget_fen`, `base`, `instalments` or `excludes`"
        if not money and not (self.unit and self.partners):
            yield "a service needs `unit` and `partners`"

    def figures(self) -> Iterator[str]:
        """Name the facts that an amount is made of."""
        if self.base is not None:
            yield self.base.of
            if self.base.less is not None:
                yield self.base.less.of

    def references(self) -> tuple[str, ...]:
        """Give the rule modules that these terms name."""
        return tuple(f"{BENEFITS}{one.benefit}" for one in self.excludes)


BENEFITS = "talent_code.benefits."
"""How the names of the rule modules of benefits begin."""


class BenefitFacts(Struct, frozen=True, gc=False, kw_only=True):
    """What is known of a person who claims a benefit.

    Class, highest degree, months of social insurance, income and income tax of the last full year are confirmed. What
    the person owns and spent is what they state; it counts at once, and an audit may look it up afterwards.
    """

    terms: ClassVar[type[Struct]] = BenefitTerms

    born_at: datetime
    talent_class: Standing = "none"
    class_since: datetime | None = None
    degree: Literal["none", "bachelor", "master", "doctor"] = "none"
    graduated_at: datetime | None = None
    insured_months: Months = 0
    income_fen: Fen = 0
    tax_fen: Fen = 0
    homes: Annotated[int, Meta(ge=0, le=1_000)] = 0
    spent_fen: Fen = 0


_FIGURES = {field.name for field in msgspec.structs.fields(BenefitFacts) if field.name.endswith("_fen")}


class AuditFacts(Struct, frozen=True, gc=False, kw_only=True):
    """A paid claim, as far as it matters for whether it is audited.

    `draw` is a number by chance, the same each time for the same claim; `stated` says that the claim rests on what the
    person stated themselves.
    """

    amount_fen: Fen
    talent_class: Standing
    stated: bool
    draw: Annotated[int, Meta(ge=0, le=999)]


Term = Literal[
    "grant_days",
    "review_days",
    "registry_days",
    "facts_days",
    "audit_days",
    "appeal_days",
    "repay_days",
    "instalment_hours",
    "payout_tries",
    "usage_days",
]


class TalentTermAsked(Struct, frozen=True, gc=False):
    """Which figure of the talent code's own terms is asked for."""

    term: Term
