"""The stored plans of the districts, and the Problems of the school lookup."""

from datetime import datetime
from typing import ClassVar

from msgspec import Struct

from backend.city.audit_log import UNLOGGED, AuditedDocument
from backend.problems import Problem
from backend.services.school_lookup.plan import Catchment, Heading, MultiPolygon, PastBatch, Polygon, School
from backend.store import Document, Index
from backend.store.retention import Retention


class NoSchoolPlan(Problem):
    """No plan has been published for this district and year, or none at all."""

    status, title = 404, "No school plan"


class UnknownAddress(Problem):
    """The published catchments do not contain the road or community of the address. `parsed` is the address as read.

    An address in a district that has no published plan here is not an error.
    """

    status, title = 422, "Unknown address"


class OutsideCity(Problem):
    """The point is in no district with a published plan, or its longitude and latitude are swapped."""

    status, title = 422, "Outside the city"


class InvalidFamily(Problem):
    """The family's information contradicts itself, for example a registration before birth."""

    status, title = 422, "Invalid family"


class NoRegisteredChildren(Problem):
    """The city's registers have no record of children of the caller."""

    status, title = 404, "No registered children"


class SchoolEdition(Document, kw_only=True):
    """An imported plan without its catchments; `id` is the digest of the whole plan. Never changed."""

    collection: ClassVar[str] = "school_editions"
    retention: ClassVar[Retention] = Retention(
        grows_with="each imported plan of a district",
        ends="never: answers of past years are explained by it",
        names="nobody",
    )

    heading: Heading
    boundary: MultiPolygon | Polygon
    schools: list[School]
    past: list[PastBatch]
    catchment_parts: int


class SchoolCatchments(Document, kw_only=True):
    """One part of an edition's catchments; `id` is the id of the edition and the part's number. Never changed."""

    collection: ClassVar[str] = "school_zones"
    retention: ClassVar[Retention] = Retention(
        grows_with="each imported plan of a district",
        ends="never: answers of past years are explained by it",
        names="nobody",
    )

    catchments: list[Catchment]


class Imported(Struct, frozen=True):
    """The edition that took effect at `at`."""

    edition: str
    at: datetime


class SchoolPlan(AuditedDocument, kw_only=True):
    """The edition in force for a district and year: the last of `imported`. `id` is the district's code and year."""

    collection: ClassVar[str] = "school_plans"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED,)
    retention: ClassVar[Retention] = Retention(
        grows_with="each district and year",
        ends="never: it names the plan in force",
        names="nobody",
    )

    imported: tuple[Imported, ...]
