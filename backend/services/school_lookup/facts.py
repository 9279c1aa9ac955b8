"""The facts that the rules of the school lookup may read: a child, its family, and a school's places.

Days are given as instants: the midnight, in the city, at which they begin. `now` is the first day of application.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook.explanation.changes import Change

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

    stage: Stage
    year: Year
    born_at: Instant
    deferred: bool = False


class Registration(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A child's registration as a resident of the city: its place and first day, and the parents registered with it."""

    place: Literal["catchment", "city"]
    since: Instant
    parents: Literal["all", "some", "none"]


class Home(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A home of the family, and the shares that the parents (or the child) and the grandparents own in it.

    If both shares are 0, the home is rented.
    """

    place: Literal["catchment", "city"]
    parents_percent: Percent = 0
    grandparents_percent: Percent = 0
    pupil: Pupil = "none"


class AdmissionFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A child's application to one catchment; no `registration` if the child is registered outside the city.

    "The city" means the district and the plan's `city_districts`. `migrant` is the result of `school_lookup.migrant`.
    """

    changes: ClassVar[tuple[Change, ...]] = ADMISSION_CHANGES

    stage: Stage
    born_at: Instant
    registration: Registration | None = None
    homes: Annotated[tuple[Home, ...], Meta(max_length=MAX_HOMES)] = ()
    migrant: Literal["eligible", "lacking"] = "lacking"
    deferred: bool = False


class ParentFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The first days of a parent's residence permit, social insurance, and employment contract or business licence."""

    changes: ClassVar[tuple[Change, ...]] = PARENT_CHANGES

    permit_since: Instant | None = None
    insured_since: Instant | None = None
    employed_since: Instant | None = None


class MigrantFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The parents of a child who is registered outside the city."""

    changes: ClassVar[tuple[Change, ...]] = tuple(
        replace(change, path=f"parents.{change.path}") for change in PARENT_CHANGES
    )

    year: Year
    parents: Annotated[tuple[ParentFacts, ...], Meta(max_length=MAX_PARENTS)] = ()


class SeatFacts(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A school's places, and the expected number of applicants: the mean of the past years."""

    seats: Annotated[int, Meta(ge=0, le=10_000)]
    expected: Annotated[int, Meta(ge=0, le=1_000_000)]
