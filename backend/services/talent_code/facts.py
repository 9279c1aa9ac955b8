"""Facts that the rules of the talent code may read, and the terms in the file of every benefit.

Instants are in UTC, amounts in fen. Rules see evidence only after a registry has confirmed it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta, Struct

TalentClass = Literal["a", "b", "c", "d", "e"]
TalentClassOrNone = Literal["none", "e", "d", "c", "b", "a"]
"""A talent's class, lowest first, or none."""

TALENT_CLASSES: tuple[TalentClassOrNone, ...] = get_args(TalentClassOrNone)

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
    """A title, or a place in a talent programme, that was granted."""

    title: TitleName
    granted_at: Instant


class Degree(Struct, frozen=True, gc=False, tag="degree", forbid_unknown_fields=True):
    """A degree; `school` is ordinary, a national key school, or one of the hundred best in the world."""

    level: DegreeLevel
    awarded_at: Instant
    school: School = "ordinary"
    full_time: bool = True


class Post(Struct, frozen=True, gc=False, tag="post", forbid_unknown_fields=True):
    """A post held since an instant, and until another if it has ended."""

    post: PostName
    since: Instant
    until: Instant | None = None


class Pay(Struct, frozen=True, gc=False, tag="pay", forbid_unknown_fields=True):
    """A person's income in the city in a calendar year, before tax."""

    year: Annotated[int, Meta(ge=1990, le=2149)]
    income_fen: Fen


class IncomeYear(Struct, frozen=True, gc=False):
    """A person's income in the calendar year that ended at an instant, the midnight after its last day."""

    ended_at: datetime
    income_fen: Fen


class TalentFacts(Struct, frozen=True, gc=False, kw_only=True):
    """The confirmed qualifications of a person that decide their class."""

    born_at: datetime
    prizes: tuple[Prize, ...] = ()
    titles: tuple[Title, ...] = ()
    degrees: tuple[Degree, ...] = ()
    posts: tuple[Post, ...] = ()
    pay: tuple[IncomeYear, ...] = ()
    insured_months: Months = 0


class Instalment(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A share of an amount, due after a number of months of social insurance in the city; 0: at once."""

    percent: Annotated[int, Meta(ge=1, le=100)]
    insured_months: Months = 0


class Exclusion(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A benefit that excludes this one, if both are claimed `within` this time of each other, or ever."""

    benefit: str
    within: timedelta | None = None


class Deduction(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A percentage of an amount in the facts."""

    percent: Annotated[int, Meta(ge=1, le=100)]
    of: str


class Base(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The amount in the facts that a benefit is a share of, or is limited to, after subtracting `less`."""

    of: str
    less: Deduction | None = None


Partner = Literal["hospital", "school", "park", "transport", "housing", "fund"]


class BenefitTerms(Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """How a benefit is carried out while these terms are in force; its rules decide who is entitled to it.

    `subject` is who may have it.

    For money, `amount` is the meaning of the rules' figure: `fixed`, the amount in fen; `share`, a percentage of
    `base`; `up_to`, the limit of `base` in fen. It is paid in `instalments`, or all at once; `after_withdrawal` decides
    about open instalments when the class is withdrawn. `budget_fen` and `quota` limit the claims of a calendar year.

    For a service, `unit` is the unit of the figure, `partners` may see and honour it, and `quota` is the number of
    uses per person and calendar year (None: unlimited).

    A person may claim it `times_at_most` times, each at least `cooldown` after the last; `excludes` are benefits that
    cannot be combined with it.
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
        """Refuse contradictory terms."""
        for wrong in self._contradictions():
            raise ValueError(wrong)

    def _contradictions(self) -> Iterator[str]:
        money = self.gives == "money"
        if self.instalments and (total := sum(instalment.percent for instalment in self.instalments)) != 100:  # noqa: PLR2004  percent
            yield f"the instalments add up to {total} percent, not to 100"
        months = [instalment.insured_months for instalment in self.instalments]
        if months != sorted(set(months)):
            yield "each instalment must be due after more months of insurance than the one before"
        if (self.amount == "fixed") != (self.base is None):
            yield "`share` and `up_to` need a `base`; a `fixed` amount must not have one"
        for name in self.figures():
            if name not in _FIGURES:
                yield f"{name!r} is not an amount in the facts: use one of {', '.join(sorted(_FIGURES))}"
        if money and (self.budget_fen is None or self.unit or self.partners):
            yield "money needs `budget_fen`, and must not have `unit` or `partners`"
        if not money and (self.budget_fen is not None or self.base or self.instalments or self.excludes):
            yield "a service must not have `budget_fen`, `base`, `instalments` or `excludes`"
        if not money and not (self.unit and self.partners):
            yield "a service needs `unit` and `partners`"

    def figures(self) -> Iterator[str]:
        """Return the names of the facts that an amount is computed from."""
        if self.base is not None:
            yield self.base.of
            if self.base.less is not None:
                yield self.base.less.of

    def references(self) -> tuple[str, ...]:
        """Return the rule modules that these terms refer to."""
        return tuple(f"{BENEFIT_PREFIX}{one.benefit}" for one in self.excludes)


BENEFIT_PREFIX = "talent_code.benefits."
"""The prefix of the names of benefits' rule modules."""


class BenefitFacts(Struct, frozen=True, gc=False, kw_only=True):
    """Facts about a person who claims a benefit.

    Class, highest degree, months of social insurance, and income and income tax of the last full year are confirmed.
    Homes and the amount spent are stated by the person; they are accepted at once, and an audit may check them later.
    """

    terms: ClassVar[type[Struct]] = BenefitTerms

    born_at: datetime
    talent_class: TalentClassOrNone = "none"
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
    """A paid claim, as the rules see it that select claims for audits.

    `draw` is a random number that is always the same for the same claim; `stated` is True if the claim depends on
    facts that only the person stated.
    """

    amount_fen: Fen
    talent_class: TalentClassOrNone
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
    """The figure of the talent code's own terms that is looked up."""

    term: Term
