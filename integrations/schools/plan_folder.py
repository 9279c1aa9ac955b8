"""Read and write a plan as a folder of files that spreadsheets and map programs can edit.

`plan.yaml` is the heading, `boundary.geojson` the boundary, `catchments.geojson` the areas, `address_ranges.csv` their
address ranges, `schools.csv` the schools with their places; `past_batches.csv` and `addresses.csv` are optional. Tables
are in UTF-8, or in GB18030 as spreadsheets write it in China. A text that a spreadsheet would run as a formula has an
apostrophe in front.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import msgspec
import shapely
from msgspec import Meta, Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from backend.csv_cells import read_cell
from backend.i18n import Text
from backend.rulebook.modules.yaml_document import find_deep_nesting
from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.maps import past_csv, schools_csv, table
from backend.services.school_lookup.plan import (
    AddressPoint,
    Catchment,
    Code,
    Heading,
    MultiPolygon,
    PastBatch,
    Plan,
    Polygon,
    School,
    geometry_of,
    shape_of,
)
from backend.services.school_lookup.plan_check import Fault

T = TypeVar("T")
_FORMAT_ERRORS = (ValueError, RecursionError)
"""Errors of a decoder: the wrong form, or nested too deeply."""

ADDRESS_COLUMNS = ("address", "longitude", "latitude")


class CatchmentRange(AddressRange, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of `address_ranges.csv`: a range and its catchment."""

    catchment: Code


class _Properties(Struct):
    id: Code
    school: Code
    double_district: Code | None = None


class _Area(Struct):
    properties: _Properties
    geometry: MultiPolygon | Polygon


class _Feature(Struct, tag="Feature"):
    geometry: MultiPolygon | Polygon


class _FeatureCollection(Struct, tag="FeatureCollection"):
    features: Annotated[list[_Feature], Meta(min_length=1)]


_Boundary = _FeatureCollection | _Feature | MultiPolygon | Polygon


class FolderReader:
    """Reads a plan from a folder; `faults` lists everything that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.faults: list[Fault] = []

    def plan(self) -> Plan | None:
        """Return the plan in its declared coordinates, or None if something cannot be read."""
        heading, boundary = self._heading(), self._boundary()
        areas = list(self._areas())
        ranges = list(self._rows("address_ranges.csv", CatchmentRange))
        schools = list(self._rows("schools.csv", School))
        past = list(self._rows("past_batches.csv", PastBatch, required=False))
        addresses = list(self._rows("addresses.csv", AddressPoint, required=False))
        catchments = self._catchments(areas, ranges)
        if heading is None or boundary is None or self.faults:
            return None
        return Plan(heading, boundary, schools, catchments, past, addresses)

    def _add_fault(self, place: str, zh: str, en: str) -> None:
        self.faults.append(Fault(place, "unreadable", Text(zh=f"无法读取：{zh}", en=en)))

    def _text(self, name: str, *, required: bool = True) -> str | None:
        path = self._folder / name
        if not path.is_file():
            if required:
                self._add_fault(name, "缺少此文件", "This file is missing.")
            return None
        data = path.read_bytes()
        for encoding in ("utf-8-sig", "gb18030"):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                continue
        self._add_fault(name, "编码应为UTF-8或GB18030", "The encoding must be UTF-8 or GB18030.")
        return None

    def _heading(self) -> Heading | None:
        text = self._text("plan.yaml")
        if text is None:
            return None
        try:
            deepest = find_deep_nesting(text)
            if deepest is None:
                return msgspec.convert(_yaml().load(text), Heading)
            self._add_fault("plan.yaml", f"第{deepest.line}行嵌套过深", f"Line {deepest.line} is nested too deeply.")
        except (YAMLError, *_FORMAT_ERRORS) as error:
            self._add_fault("plan.yaml", _chinese(error), str(error))
        return None

    def _boundary(self) -> MultiPolygon | Polygon | None:
        text = self._text("boundary.geojson")
        if text is None:
            return None
        try:
            boundary = msgspec.json.decode(text, type=_Boundary)
        except _FORMAT_ERRORS as error:
            self._add_fault("boundary.geojson", _chinese(error), str(error))
            return None
        if isinstance(boundary, _FeatureCollection):
            return _union([feature.geometry for feature in boundary.features])
        return boundary.geometry if isinstance(boundary, _Feature) else boundary

    def _areas(self) -> Iterator[_Area]:
        text = self._text("catchments.geojson")
        if text is None:
            return
        try:
            features: Any = msgspec.json.decode(text, type=dict[str, Any]).get("features")
        except _FORMAT_ERRORS as error:
            self._add_fault("catchments.geojson", _chinese(error), str(error))
            return
        if not isinstance(features, list):
            self._add_fault("catchments.geojson", "应为FeatureCollection", "This file must be a FeatureCollection.")
            return
        for number, feature in enumerate(cast("list[Any]", features), 1):
            try:
                yield msgspec.convert(feature, _Area)
            except msgspec.ValidationError as error:
                self._add_fault(_feature_name(feature, number), _chinese(error), str(error))

    def _rows(self, name: str, kind: type[T], *, required: bool = True) -> Iterator[T]:
        text = self._text(name, required=required)
        reader = csv.DictReader(io.StringIO(text or "", newline=""))
        try:
            for row in reader:
                try:
                    yield msgspec.convert(_cells(row), kind, strict=False)
                except msgspec.ValidationError as error:
                    self._add_fault(f"{name}:{reader.line_num}", _chinese(error), str(error))
        except csv.Error as error:
            self._add_fault(f"{name}:{reader.line_num}", "表格格式有误", str(error))

    def _catchments(self, areas: Iterable[_Area], ranges: Iterable[CatchmentRange]) -> list[Catchment]:
        by_catchment: dict[str, list[AddressRange]] = {area.properties.id: [] for area in areas}
        all_read = not self.faults
        for number, one in enumerate(ranges, 2):
            if one.catchment not in by_catchment:
                if all_read:
                    place, name = f"address_ranges.csv:{number}", one.catchment
                    self._add_fault(place, f"学区{name}不存在", f"There is no catchment {name}.")
                continue
            by_catchment[one.catchment].append(AddressRange(**_fields(one)))
        return [
            Catchment(
                area.properties.id,
                area.properties.school,
                by_catchment[area.properties.id],
                area.geometry,
                area.properties.double_district,
            )
            for area in areas
        ]


def _cells(row: dict[Any, Any]) -> dict[Any, Any]:
    """Return the cells of a row that are not empty. Cells beyond the header are a list under None."""
    return {name: read_cell(cell) if isinstance(cell, str) else cell for name, cell in row.items() if cell}


def _union(geometries: list[MultiPolygon | Polygon]) -> MultiPolygon | Polygon:
    """Return the area of several geometries; the first invalid one, if any, for the check to report."""
    shapes = list[shapely.MultiPolygon]()
    for geometry in geometries:
        try:
            shapes.append(shape_of(geometry))
        except (ValueError, shapely.errors.GEOSException):
            return geometry
        if not shapes[-1].is_valid:
            return geometry
    union = shapely.get_parts(shapely.union_all(shapes)).tolist()
    return geometries[0] if len(shapes) == 1 else geometry_of(shapely.MultiPolygon(union))


def _chinese(error: Exception) -> str:
    """Describe in Chinese where a file does not have the required form."""
    if isinstance(error, RecursionError):
        return "嵌套过深"
    mark: Any = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"第{mark.line + 1}行格式有误"
    path = re.search(r"at `([^`]+)`", str(error))
    return "格式有误" if path is None else f"{path[1].removeprefix('$.')}格式有误"


def _feature_name(feature: Any, number: int) -> str:  # noqa: ANN401  any JSON
    """Return a name for an unreadable feature: by its id if it has one, else by its number."""
    try:
        return f"catchment:{feature['properties']['id']}"
    except (KeyError, TypeError, RecursionError):
        return f"catchments.geojson, feature {number}"


def write_folder(plan: Plan, folder: Path) -> None:
    """Write a plan as the files that FolderReader reads. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "plan.yaml").open("w", encoding="utf-8") as file:
        _yaml().dump(msgspec.to_builtins(plan.heading), file)
    _write_json(folder / "boundary.geojson", _feature({"district": plan.heading.district}, plan.boundary))
    areas = [
        _feature(
            {"id": catchment.id, "school": catchment.school, "double_district": catchment.double_district},
            catchment.geometry,
        )
        for catchment in plan.catchments
    ]
    _write_json(folder / "catchments.geojson", {"type": "FeatureCollection", "features": areas})
    ranges = [
        CatchmentRange(catchment=catchment.id, **_fields(one))
        for catchment in plan.catchments
        for one in catchment.address_ranges
    ]
    (folder / "address_ranges.csv").write_bytes(table(("catchment", *AddressRange.__struct_fields__), ranges))
    (folder / "schools.csv").write_bytes(schools_csv(plan))
    (folder / "past_batches.csv").write_bytes(past_csv(plan))
    (folder / "addresses.csv").write_bytes(table(ADDRESS_COLUMNS, plan.addresses))


def _fields(one: AddressRange) -> dict[str, Any]:
    """Return the fields of a range, without its catchment."""
    return {name: getattr(one, name) for name in AddressRange.__struct_fields__}


def _yaml() -> Any:  # noqa: ANN401  untyped library
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False
    return yaml


def _feature(properties: dict[str, Any], geometry: MultiPolygon | Polygon) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _write_json(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.encode(value))
