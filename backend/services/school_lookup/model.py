"""The plans of the districts as they are kept, and what can be wrong with a question about them."""

from datetime import datetime
from typing import ClassVar

from msgspec import Struct

from backend.problems import Problem
from backend.services.school_lookup.plan import Heading, MultiPolygon, PastBatch, Polygon, School, Zone
from backend.store import Document


class NoSchoolPlan(Problem):
    """No plan was published for this district and year, or for any."""

    status, title = 404, "No school plan"


class AddressUnknown(Problem):
    """The address names no road or community of the districts whose plans are published. `understood` is what was read.

    Addresses of districts that publish no plan here are no error.
    """

    status, title = 422, "Address unknown"


class OutsideTheCity(Problem):
    """The point lies in no district whose plan is published, or its longitude and latitude are swapped."""

    status, title = 422, "Outside the city"


class InvalidFamily(Problem):
    """What was said of the family cannot be true, such as a registration before birth."""

    status, title = 422, "Invalid family"


class NothingRegistered(Problem):
    """The registers know no children of the caller."""

    status, title = 404, "Nothing registered"


class SchoolEdition(Document, kw_only=True):
    """A plan that was imported, without its zones; `id` is the digest of all of it. Never changed."""

    collection: ClassVar[str] = "school_editions"

    heading: Heading
    boundary: MultiPolygon | Polygon
    schools: list[School]
    past: list[PastBatch]
    zone_parts: int


class SchoolZones(Document, kw_only=True):
    """A part of an edition's zones; `id` is the edition's and the part's number. Never changed."""

    collection: ClassVar[str] = "school_zones"

    zones: list[Zone]


class Imported(Struct, frozen=True):
    """At `at` an edition came to count."""

    edition: str
    at: datetime


class SchoolPlan(Document, kw_only=True):
    """Which edition counts for a district and year: the last of `imported`. `id` is the district's code and year."""

    collection: ClassVar[str] = "school_plans"

    imported: tuple[Imported, ...]
