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

    changes: ClassVar[tuple[Change, ...]] = TALENT_CHANGES

    born_at: datetime
    prizes: tuple[Prize, ...] = ()
    titles: tuple[Title, ...] = ()
    degrees: tuple[Degree, ...] = ()
    posts: tuple[Post, ...] = ()
    pay: tuple[IncomeYear, ...] = ()
    insured_months: Months = 0


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


class AuditFacts(Struct, frozen=True, gc=False, kw_only=True):
    """A paid claim, as the rules see it that select claims for audits.

    `draw` is a random number that is always the same for the same claim; `stated` is True if the claim depends on
    facts that only the person stated.
    """

    amount_fen: Fen
    talent_class: TalentClassOrNone
    stated: bool
    draw: Annotated[int, Meta(ge=0, le=999)]


TalentTerm = Literal["grant_days", "review_days", "registry_days", "facts_days", Term, "usage_days"]


class TalentTermAsked(Struct, frozen=True, gc=False):
    """The figure of the talent code's own terms that is looked up."""

    term: TalentTerm
