"""A plan as a folder of files that spreadsheets and map programs write: read with every fault named, and written.

`plan.yaml` is the heading, `boundary.geojson` the district, `zones.geojson` the areas, `address_ranges.csv` what they
consist of, `schools.csv` the schools with their seats; `past_batches.csv` and `addresses.csv` may be missing. Tables
are UTF-8, or GB18030 as spreadsheets write it in China.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from backend.i18n import Text
from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.maps import past_csv, schools_csv, table
from backend.services.school_lookup.plan import (
    AddressPoint,
    Code,
    Heading,
    MultiPolygon,
    PastBatch,
    Plan,
    Polygon,
    School,
    Zone,
)
from backend.services.school_lookup.plan_check import Fault

T = TypeVar("T")
ADDRESS_COLUMNS = ("address", "longitude", "latitude")


class ZoneRange(AddressRange, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of `address_ranges.csv`: a range, and the zone that it belongs to."""

    zone: Code


class _Properties(Struct):
    id: Code
    school: Code
    double_district: Code | None = None


class _Area(Struct):
    properties: _Properties
    geometry: MultiPolygon | Polygon


class _Boundary(Struct):
    geometry: MultiPolygon | Polygon


class Reading:
    """A folder that is read; `faults` are what was found wrong with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.faults: list[Fault] = []

    def plan(self) -> Plan | None:
        """Give the plan, its coordinates as they stand; None where something cannot be read."""
        heading, boundary = self._heading(), self._boundary()
        areas = list(self._areas())
        ranges = list(self._rows("address_ranges.csv", ZoneRange))
        schools = list(self._rows("schools.csv", School))
        past = list(self._rows("past_batches.csv", PastBatch, needed=False))
        addresses = list(self._rows("addresses.csv", AddressPoint, needed=False))
        zones = self._zones(areas, ranges)
        if heading is None or boundary is None or self.faults:
            return None
        return Plan(heading, boundary, schools, zones, past, addresses)

    def _refuse(self, place: str, detail: str) -> None:
        self.faults.append(Fault(place, "unreadable", Text(zh=f"无法读取：{detail}", en=detail)))

    def _text(self, name: str, *, needed: bool = True) -> str | None:
        path = self._folder / name
        if not path.is_file():
            if needed:
                self._refuse(name, "This file is missing.")
            return None
        data = path.read_bytes()
        for encoding in ("utf-8-sig", "gb18030"):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                continue
        self._refuse(name, "This is neither UTF-8 nor GB18030.")
        return None

    def _heading(self) -> Heading | None:
        text = self._text("plan.yaml")
        if text is None:
            return None
        try:
            return msgspec.convert(_yaml().load(text), Heading)
        except (YAMLError, msgspec.ValidationError) as error:
            self._refuse("plan.yaml", str(error))
            return None

    def _boundary(self) -> MultiPolygon | Polygon | None:
        text = self._text("boundary.geojson")
        if text is None:
            return None
        try:
            return msgspec.json.decode(text, type=_Boundary).geometry
        except msgspec.DecodeError as error:
            self._refuse("boundary.geojson", str(error))
            return None

    def _areas(self) -> Iterator[_Area]:
        text = self._text("zones.geojson")
        if text is None:
            return
        try:
            features: Any = msgspec.json.decode(text, type=dict[str, Any]).get("features")
        except msgspec.DecodeError as error:
            self._refuse("zones.geojson", str(error))
            return
        if not isinstance(features, list):
            self._refuse("zones.geojson", "This is no FeatureCollection.")
            return
        for number, feature in enumerate(cast("list[Any]", features), 1):
            try:
                yield msgspec.convert(feature, _Area)
            except msgspec.ValidationError as error:
                self._refuse(_name_of(feature, number), str(error))

    def _rows(self, name: str, kind: type[T], *, needed: bool = True) -> Iterator[T]:
        text = self._text(name, needed=needed)
        reader = csv.DictReader(io.StringIO(text or "", newline=""))
        for row in reader:
            try:
                yield msgspec.convert({column: value for column, value in row.items() if value}, kind, strict=False)
            except msgspec.ValidationError as error:
                self._refuse(f"{name}:{reader.line_num}", str(error))

    def _zones(self, areas: Iterable[_Area], ranges: Iterable[ZoneRange]) -> list[Zone]:
        by_zone: dict[str, list[AddressRange]] = {area.properties.id: [] for area in areas}
        all_read = not self.faults
        for number, one in enumerate(ranges, 2):
            if one.zone not in by_zone:
                if all_read:
                    self._refuse(f"address_ranges.csv:{number}", f"There is no zone {one.zone}.")
                continue
            by_zone[one.zone].append(AddressRange(**_fields(one)))
        return [
            Zone(
                area.properties.id,
                area.properties.school,
                by_zone[area.properties.id],
                area.geometry,
                area.properties.double_district,
            )
            for area in areas
        ]


def _name_of(feature: Any, number: int) -> str:  # noqa: ANN401  any JSON
    """Name a feature that cannot be read: by its id if it has one, else by its number."""
    try:
        return f"zone:{feature['properties']['id']}"
    except (KeyError, TypeError):
        return f"zones.geojson, feature {number}"


def write_folder(plan: Plan, folder: Path) -> None:
    """Write a plan as the files that `Reading` reads. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "plan.yaml").open("w", encoding="utf-8") as file:
        _yaml().dump(msgspec.to_builtins(plan.heading), file)
    _write_json(folder / "boundary.geojson", _feature({"district": plan.heading.district}, plan.boundary))
    areas = [
        _feature({"id": zone.id, "school": zone.school, "double_district": zone.double_district}, zone.geometry)
        for zone in plan.zones
    ]
    _write_json(folder / "zones.geojson", {"type": "FeatureCollection", "features": areas})
    ranges = [ZoneRange(zone=zone.id, **_fields(one)) for zone in plan.zones for one in zone.address_ranges]
    (folder / "address_ranges.csv").write_bytes(table(("zone", *AddressRange.__struct_fields__), ranges))
    (folder / "schools.csv").write_bytes(schools_csv(plan))
    (folder / "past_batches.csv").write_bytes(past_csv(plan))
    (folder / "addresses.csv").write_bytes(table(ADDRESS_COLUMNS, plan.addresses))


def _fields(one: AddressRange) -> dict[str, Any]:
    """Give the fields of a range, without the zone if it names one."""
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
