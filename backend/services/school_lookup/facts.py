"""The facts that the rules of the school lookup may read: a child, its family, and a school's places.

Days are given as instants: the midnight, in the city, at which they begin. `now` is the first day of application.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook.explanation.changes import Change
from backend.rulebook.language.types import FactMeaning

Instant = Annotated[datetime, Meta(tz=True)]
Stage = Literal["primary", "junior"]
Year = Annotated[int, Meta(ge=2000, le=2100)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Pupil = Literal["none", "sibling", "other"]
"""The child from this property who already attends the school: none, a sibling, or a child of another family."""

STAGES: tuple[Stage, ...] = ("primary", "junior")
MAX_HOMES = 10
MAX_PARENTS = 2


DEFERRED = Change(
    what=Text(zh="教育局批准延缓入学", en="The bureau permits a later entry"),
    path="deferred",
    act="set",
    by="authority",
    fields={"": (True,)},
)

PARENT_CHANGES = tuple(
    Change(what=what, path=name, act="set")
    for name, what in (
        ("permit_since", Text(zh="办理居住证", en="Get a residence permit")),
        ("insured_since", Text(zh="参加社会保险", en="Join social insurance")),
        (
            "employed_since",
            Text(zh="签订劳动合同或办理营业执照", en="Get an employment contract or a business licence"),
        ),
    )
)

ADMISSION_CHANGES = (
    Change(
        what=Text(zh="在学区内有一处住房", en="Have a home in the catchment"),
        path="homes",
        act="add",
        fields={"place": ("catchment",), "parents_percent": (0, 100), "grandparents_percent": (0,), "pupil": ("none",)},
    ),
    Change(
        what=Text(zh="孩子的户籍迁入学区", en="Register the child in the catchment"),
        path="registration.place",
        act="set",
        fields={"": ("catchment",)},
    ),
    Change(
        what=Text(zh="孩子与父母的户籍在同一处", en="Register the parents with the child"),
        path="registration.parents",
        act="set",
        fields={"": ("all",)},
    ),
    Change(
        what=Text(zh="认定符合随迁子女入学条件", en="The bureau finds the child eligible as a migrant child"),
        path="migrant",
        act="set",
        by="authority",
        fields={"": ("eligible",)},
    ),
    DEFERRED,
)


class AgeFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The birth of a child, and the stage and year of entry; `deferred` if the bureau decided so."""

    changes: ClassVar[tuple[Change, ...]] = (DEFERRED,)

    stage: Annotated[Stage, FactMeaning(zh="入学阶段：小学或初中", en="Stage of entry: primary or junior school")]
    year: Annotated[Year, FactMeaning(zh="入学年份", en="Year of entry")]
    born_at: Annotated[Instant, FactMeaning(zh="孩子出生当日零点", en="Midnight that began the child's day of birth")]
    deferred: Annotated[bool, FactMeaning(zh="是否经教育局批准缓学", en="Whether the bureau deferred the entry")] = (
        False
    )


class Registration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A child's registration as a resident of the city: its place and first day, and the parents registered with it."""

    place: Annotated[
        Literal["catchment", "city"],
        FactMeaning(zh="户籍所在：学区内或本市", en="Place of registration: the catchment or the city"),
    ]
    since: Annotated[Instant, FactMeaning(zh="落户首日零点", en="Midnight that began its first day")]
    parents: Annotated[
        Literal["all", "some", "none"],
        FactMeaning(zh="与孩子同户的父母：全部、部分或没有", en="Parents registered with the child: all, some or none"),
    ]


class Home(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A home of the family, and the shares that the parents (or the child) and the grandparents own in it.

    If both shares are 0, the home is rented.
    """

    place: Annotated[
        Literal["catchment", "city"],
        FactMeaning(zh="住房所在：学区内或本市", en="Place of the home: the catchment or the city"),
    ]
    parents_percent: Annotated[
        Percent, FactMeaning(zh="父母（或孩子）的产权份额", en="Share of the parents or the child", unit="percent")
    ] = 0
    grandparents_percent: Annotated[
        Percent, FactMeaning(zh="祖辈的产权份额", en="Share of the grandparents", unit="percent")
    ] = 0
    pupil: Annotated[
        Pupil,
        FactMeaning(zh="该房产是否已有孩子在该校就读", en="Child from this property who already attends the school"),
    ] = "none"


class AdmissionFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A child's application to one catchment; no `registration` if the child is registered outside the city.

    "The city" means the district and the plan's `city_districts`. `migrant` is the result of `school_lookup.migrant`.
    """

    changes: ClassVar[tuple[Change, ...]] = ADMISSION_CHANGES

    stage: Annotated[Stage, FactMeaning(zh="入学阶段：小学或初中", en="Stage of entry: primary or junior school")]
    born_at: Annotated[Instant, FactMeaning(zh="孩子出生当日零点", en="Midnight that began the child's day of birth")]
    registration: Annotated[
        Registration | None,
        FactMeaning(
            zh="孩子的本市户籍（没有则无）", en="The child's registration in the city; absent if it is elsewhere"
        ),
    ] = None
    homes: Annotated[
        tuple[Home, ...], Meta(max_length=MAX_HOMES), FactMeaning(zh="家庭住房", en="Homes of the family")
    ] = ()
    migrant: Annotated[
        Literal["eligible", "lacking"],
        FactMeaning(zh="随迁子女入学条件是否具备", en="Whether the conditions for migrant children are met"),
    ] = "lacking"
    deferred: Annotated[bool, FactMeaning(zh="是否经教育局批准缓学", en="Whether the bureau deferred the entry")] = (
        False
    )


class ParentFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The first days of a parent's residence permit, social insurance, and employment contract or business licence."""

    changes: ClassVar[tuple[Change, ...]] = PARENT_CHANGES

    permit_since: Annotated[
        Instant | None, FactMeaning(zh="居住证首日零点", en="First day of the residence permit")
    ] = None
    insured_since: Annotated[Instant | None, FactMeaning(zh="社会保险首日零点", en="First day of social insurance")] = (
        None
    )
    employed_since: Annotated[
        Instant | None,
        FactMeaning(zh="劳动合同或营业执照首日零点", en="First day of the employment contract or business licence"),
    ] = None


class MigrantFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The parents of a child who is registered outside the city."""

    changes: ClassVar[tuple[Change, ...]] = tuple(
        replace(change, path=f"parents.{change.path}") for change in PARENT_CHANGES
    )

    year: Annotated[Year, FactMeaning(zh="入学年份", en="Year of entry")]
    parents: Annotated[tuple[ParentFacts, ...], Meta(max_length=MAX_PARENTS), FactMeaning(zh="父母", en="Parents")] = ()


class SeatFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A school's places, and the expected number of applicants: the mean of the past years."""

    seats: Annotated[int, Meta(ge=0, le=10_000), FactMeaning(zh="招生学位数", en="Places of the school", unit="places")]
    expected: Annotated[
        int,
        Meta(ge=0, le=1_000_000),
        FactMeaning(zh="预计报名人数（往年平均）", en="Expected applicants: the mean of past years", unit="persons"),
    ]
