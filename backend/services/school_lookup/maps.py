"""Plans as open data: schools and catchments as GeoJSON (RFC 7946), and tables as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from backend.csv_cells import text_cell
from backend.services.school_lookup.plan import Catchment, Plan, School

SCHOOL_COLUMNS = ("id", "name", "stage", "kind", "longitude", "latitude", "address", "seats", "campus")
PAST_COLUMNS = ("school", "year", "batch", "applied", "admitted")


def schools_geojson(plan: Plan) -> bytes:
    """Return the schools as points."""
    return _collection(plan, [_point(school) for school in plan.schools])


def catchments_geojson(plan: Plan) -> bytes:
    """Return the catchments as areas with their address ranges, which take precedence over the areas."""
    return _collection(plan, [_area(catchment) for catchment in plan.catchments])


def schools_csv(plan: Plan) -> bytes:
    """Return the schools with their places, in the form in which they are imported."""
    return table(SCHOOL_COLUMNS, plan.schools)


def past_csv(plan: Plan) -> bytes:
    """Return the past admissions by batch, in the form in which they are imported."""
    return table(PAST_COLUMNS, plan.past)


def _collection(plan: Plan, features: Sequence[dict[str, Any]]) -> bytes:
    heading = plan.heading
    about = {
        "district": heading.code,
        "year": heading.year,
        "source": heading.source,
        "synthetic": heading.synthetic,
    }
    return msgspec.json.encode({"type": "FeatureCollection", **about, "features": features})


def _point(school: School) -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.to_builtins(school)
    position = [properties.pop("longitude"), properties.pop("latitude")]
    return _feature(properties, {"type": "Point", "coordinates": position})


def _area(catchment: Catchment) -> dict[str, Any]:
    properties: dict[str, Any] = msgspec.to_builtins(catchment)
    return _feature(properties, properties.pop("geometry"))


def _feature(properties: dict[str, Any], geometry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "id": properties.get("id"), "properties": properties, "geometry": geometry}


def table(columns: Sequence[str], rows: Iterable[Struct]) -> bytes:
    """Return Structs as a CSV table whose columns are some of their fields. No text in it begins a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return text_cell(value) if isinstance(value, str) else value
