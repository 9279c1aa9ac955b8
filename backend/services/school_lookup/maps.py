"""Plans for everybody's own use: schools and zones as GeoJSON (RFC 7946), and tables as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from backend.services.school_lookup.plan import Plan, School, Zone

SCHOOL_COLUMNS = ("id", "name", "stage", "kind", "longitude", "latitude", "address", "seats", "campus")
PAST_COLUMNS = ("school", "year", "batch", "applied", "admitted")


def schools_geojson(plan: Plan) -> bytes:
    """Give the schools as points."""
    return _collection(plan, [_point(school) for school in plan.schools])


def zones_geojson(plan: Plan) -> bytes:
    """Give the zones as areas; the address ranges beside each are the authority."""
    return _collection(plan, [_area(zone) for zone in plan.zones])


def schools_csv(plan: Plan) -> bytes:
    """Give the schools with their seats, in the form in which they are imported."""
    return table(SCHOOL_COLUMNS, plan.schools)


def past_csv(plan: Plan) -> bytes:
    """Give the past admissions by batch, in the form in which they are imported."""
    return table(PAST_COLUMNS, plan.past)


def _collection(plan: Plan, features: Sequence[dict[str, Any]]) -> bytes:
    head = plan.heading
    about = {"district": head.code, "year": head.year, "source": head.source, "invented": head.invented}
    return msgspec.json.encode({"type": "FeatureCollection", **about, "features": features})


def _point(school: School) -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.to_builtins(school)
    at = [properties.pop("longitude"), properties.pop("latitude")]
    return _feature(properties, {"type": "Point", "coordinates": at})


def _area(zone: Zone) -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.to_builtins(zone)
    return _feature(properties, properties.pop("geometry"))


def _feature(properties: dict[str, Any], geometry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "id": properties.get("id"), "properties": properties, "geometry": geometry}


def table(columns: Sequence[str], rows: Iterable[Struct]) -> bytes:
    """Write Structs as a table of some of their fields, which are its columns."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([getattr(row, column) for column in columns] for row in rows)
    return text.getvalue().encode()
