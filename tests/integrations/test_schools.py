"""`chengma schools` imports a plan, all or nothing, with a report of every fault."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.plan import Catchment, MultiPolygon, Plan, School, shape_of
from backend.services.school_lookup.plan_check import faults_of
from backend.services.school_lookup.synthetic_district import synthetic_plan
from backend.store.migrations import find_migrations, migrate
from integrations.schools.command import schools
from integrations.schools.plan_folder import FolderReader, write_folder
from tests.conftest import ROOT, work_in
from tests.keys import new_keys
from tests.services.school_lookup.scene import PLAN, square

pytestmark = pytest.mark.slow

Run = Callable[..., Result]


@pytest.fixture(params=["sqlite", "mongodb"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    store = f"sqlite:///{tmp_path}/city.db"
    if request.param == "mongodb":
        store = request.getfixturevalue("emptied_url")
        work_in(store, lambda opened: migrate(opened, find_migrations(), lambda _migration, _seen: None))
    for name, value in {"STORE": store, "KEYS": new_keys(tmp_path / "keys"), "RULES": str(ROOT / "rules")}.items():
        monkeypatch.setenv(f"CHENGMA_{name}", value)

    def command(*arguments: object) -> Result:
        return CliRunner(env={"COLUMNS": "250"}).invoke(schools, [str(one) for one in arguments])

    return command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The plan of the test district as files."""
    write_folder(PLAN, tmp_path / "plan")
    return tmp_path / "plan"


def test_a_written_plan_is_read_back(folder: Path) -> None:
    reading = FolderReader(folder)
    assert (reading.plan(), reading.faults) == (PLAN, [])


def test_a_plan_whose_names_begin_formulas_is_written_as_text_and_read_back(tmp_path: Path) -> None:
    names = ["=1+1", "  @SUM(A1)", "－1", "'+1"]
    formulas = [replace(school, name=name) for school, name in zip(PLAN.schools, names, strict=True)]
    plan = replace(PLAN, schools=formulas)
    write_folder(plan, tmp_path)
    table = list(csv.reader((tmp_path / "schools.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[1] for row in table[1:]] == [f"'{name}" for name in names]
    assert table[1][4] == str(PLAN.schools[0].longitude)
    reading = FolderReader(tmp_path)
    assert (reading.plan(), reading.faults) == (plan, [])


DEEP = "[" * 50_000


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("plan.yaml", DEEP, "Line 1 is nested too deeply."),
        ("plan.yaml", f"district: {DEEP}", "Line 1 is nested too deeply."),
        ("plan.yaml", "- " * 50_000, "Line 1 is nested too deeply."),
        ("plan.yaml", "year: 2026-13-45", "month must be in 1..12"),
        ("boundary.geojson", DEEP, "Expected `object`, got `array`"),
        ("boundary.geojson", '{"type": "Feature", "x": ' + DEEP, "maximum recursion depth exceeded"),
        ("catchments.geojson", DEEP, "Expected `object`, got `array`"),
        ("catchments.geojson", '{"features": ' + DEEP, "maximum recursion depth exceeded"),
        ("addresses.csv", f"address,longitude,latitude\n{DEEP * 3},1,1\n", "field larger than field limit"),
    ],
)
def test_a_file_that_a_library_cannot_read_is_a_fault(folder: Path, file: str, content: str, fault: str) -> None:
    (folder / file).write_text(content)
    reading = FolderReader(folder)
    assert reading.plan() is None
    (found,) = reading.faults
    assert found.feature.startswith(file)
    assert found.text.en.startswith(fault)


def test_a_correct_plan_is_imported_and_listed(run: Run, folder: Path) -> None:
    done = run("import", folder)
    assert done.exit_code == 0, done.output
    assert "试验区 2018: 4 schools, 5 catchments, 4 addresses. In force as edition" in done.output
    assert "990002  2018  试验区" in run("list").output


def test_a_plan_can_be_checked_without_being_stored(run: Run, folder: Path) -> None:
    assert "No faults; nothing was stored." in run("import", folder, "--check").output
    assert run("list").output == ""


def test_the_synthetic_district_can_be_tried(run: Run, tmp_path: Path) -> None:
    assert run("synthesize", tmp_path / "new", "--year", 2026).exit_code == 0
    assert run("import", tmp_path / "new").exit_code == 0


def test_a_spreadsheet_of_gb18030_is_read(run: Run, folder: Path) -> None:
    table = folder / "schools.csv"
    table.write_bytes(table.read_text(encoding="utf-8").encode("gb18030"))
    assert run("import", folder).exit_code == 0


def broken(folder: Path, file: str, change: Callable[[str], str]) -> None:
    path = folder / file
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "before", "after", "named"),
    [
        ("schools.csv", "S2,试验S2学校,primary", "S2,试验S2学校,kindergarten", "schools.csv:3"),
        ("schools.csv", ",100,", ",-1,", "schools.csv:3"),
        ("catchments.geojson", '"id":"east"', '"id":"the east"', "catchment:the east"),
        (
            "catchments.geojson",
            '"type":"MultiPolygon","coordinates":[[[[120.11,',
            '"type":"Circle","coordinates":[[[[120.11,',
            "catchment:east",
        ),
        ("catchments.geojson", '{"type":"FeatureCollection"', '{"type":', "catchments.geojson"),
        ("address_ranges.csv", "east,和平路", "nowhere,和平路", "address_ranges.csv:4"),
        ("address_ranges.csv", ",even,", ",round,", "address_ranges.csv:4"),
        ("past_batches.csv", "S1,2016,1,40,40", "S1,2016,1,40,forty", "past_batches.csv:2"),
        ("addresses.csv", "120.105", "somewhere", "addresses.csv:2"),
        ("plan.yaml", "coordinates: WGS84", "coordinates: Mars", "plan.yaml"),
        ("plan.yaml", "batches: gongshu_batch", "batches: no_such_batch", "plan"),
        ("plan.yaml", "year: 2018", "year: 2018\nyear: 2018", "plan.yaml"),
        ("boundary.geojson", '"geometry"', '"geography"', "boundary.geojson"),
    ],
)
def test_an_unreadable_part_is_reported_and_nothing_is_stored(
    run: Run, folder: Path, file: str, before: str, after: str, named: str
) -> None:
    broken(folder, file, lambda text: text.replace(before, after, 1))
    done = run("import", folder)
    assert done.exit_code == 1
    assert f"│ {named} " in done.output
    assert "nothing was stored" in done.output
    assert run("list").output == ""


WHOLE = msgspec.to_builtins(PLAN.boundary)


def feature(geometry: object) -> dict[str, object]:
    return {"type": "Feature", "properties": {}, "geometry": geometry}


@pytest.mark.parametrize(
    "boundary",
    [
        feature(WHOLE),
        {"type": "FeatureCollection", "features": [feature(WHOLE)]},
        WHOLE,
        {"type": "Polygon", "coordinates": WHOLE["coordinates"][0]},
        {
            "type": "FeatureCollection",
            "features": [
                feature(msgspec.to_builtins(square(120.10, 30.30, 120.12, 30.31))),
                feature(msgspec.to_builtins(square(120.10, 30.31, 120.12, 30.32))),
            ],
        },
    ],
    ids=["Feature", "FeatureCollection", "MultiPolygon", "Polygon", "two features"],
)
def test_a_boundary_may_be_a_feature_a_collection_or_a_geometry(folder: Path, boundary: object) -> None:
    (folder / "boundary.geojson").write_text(json.dumps(boundary), encoding="utf-8")
    reader = FolderReader(folder)
    plan = reader.plan()
    assert reader.faults == []
    assert plan is not None
    assert faults_of(plan) == []
    assert shape_of(plan.boundary).equals(shape_of(PLAN.boundary))


@pytest.mark.parametrize(
    "boundary",
    [
        {"type": "FeatureCollection", "features": []},
        {"type": "Point", "coordinates": [120.1, 30.3]},
        feature(None),
        {"features": []},
        [],
    ],
)
def test_a_boundary_without_an_area_is_unreadable(folder: Path, boundary: object) -> None:
    (folder / "boundary.geojson").write_text(json.dumps(boundary), encoding="utf-8")
    reader = FolderReader(folder)
    assert reader.plan() is None
    assert [(fault.feature, fault.kind) for fault in reader.faults] == [("boundary.geojson", "unreadable")]


def test_an_invalid_part_of_a_boundary_is_reported(folder: Path) -> None:
    bow_tie = [[[120.1, 30.3], [120.12, 30.32], [120.12, 30.3], [120.1, 30.32], [120.1, 30.3]]]
    parts = [feature(WHOLE), feature({"type": "Polygon", "coordinates": bow_tie})]
    collection = json.dumps({"type": "FeatureCollection", "features": parts})
    (folder / "boundary.geojson").write_text(collection, encoding="utf-8")
    plan = FolderReader(folder).plan()
    assert plan is not None
    assert [(fault.feature, fault.kind) for fault in faults_of(plan)] == [("boundary", "invalid_geometry")]


def test_a_missing_file_is_reported(run: Run, folder: Path) -> None:
    (folder / "catchments.geojson").unlink()
    assert "catchments.geojson" in run("import", folder).output
    (folder / "past_batches.csv").unlink()
    (folder / "addresses.csv").unlink()
    assert "past_batches.csv" not in run("import", folder).output


def test_another_coordinate_system_is_converted_when_declared_and_suspected_when_not(run: Run, tmp_path: Path) -> None:
    from backend.services.school_lookup.coordinates import from_wgs84
    from backend.services.school_lookup.plan import points_of
    from tests.services.school_lookup.test_plan_check import drawn_in

    plan = synthetic_plan(2026)
    write_folder(plan, tmp_path / "first")
    assert run("import", tmp_path / "first").exit_code == 0
    drawn = drawn_in(plan, "GCJ02")
    at = from_wgs84(points_of(plan.schools), "GCJ02").tolist()
    moved = [replace(one, longitude=x, latitude=y) for one, (x, y) in zip(plan.schools, at, strict=True)]
    drawn = replace(drawn, schools=moved)
    write_folder(drawn, tmp_path / "undeclared")
    done = run("import", tmp_path / "undeclared")
    assert done.exit_code == 1
    assert "look like GCJ02, which is not declared" in done.output
    write_folder(replace(drawn, heading=replace(plan.heading, coordinates="GCJ02")), tmp_path / "declared")
    assert run("import", tmp_path / "declared").exit_code == 0


def ten_thousand_catchments() -> Plan:
    """Return a district of 100 by 100 squares."""
    side = 0.001
    made = list[Catchment]()
    places = list[School]()
    for column in range(100):
        for row in range(100):
            west, south = 120 + column * side, 30 + row * side
            name = f"{column:02}{row:02}"
            area = square(west, south, west + side, south + side)
            made.append(Catchment(f"Z{name}", f"S{name}", [AddressRange(road="路", first_number=len(made))], area))
            places.append(replace(PLAN.schools[0], id=f"S{name}", longitude=west + side / 2, latitude=south + side / 2))
    return replace(
        PLAN,
        boundary=square(120, 30, 120 + 100 * side, 30 + 100 * side),
        catchments=made,
        schools=places,
        past=[],
        addresses=[],
    )


def test_one_bad_feature_in_ten_thousand_is_reported_and_nothing_is_imported(run: Run, tmp_path: Path) -> None:
    plan = ten_thousand_catchments()
    bow_tie = MultiPolygon([[[[120, 30], [120.001, 30.001], [120.001, 30], [120, 30.001], [120, 30]]]])
    catchments = [
        replace(catchment, geometry=bow_tie) if catchment.id == "Z4321" else catchment for catchment in plan.catchments
    ]
    write_folder(replace(plan, catchments=catchments), tmp_path / "bad")
    done = run("import", tmp_path / "bad")
    assert done.exit_code == 1
    assert "│ catchment:Z4321 " in done.output
    assert "1 fault; nothing was stored" in done.output
    assert run("list").output == ""


def test_ten_thousand_good_features_are_imported(run: Run, tmp_path: Path) -> None:
    write_folder(ten_thousand_catchments(), tmp_path / "good")
    done = run("import", tmp_path / "good")
    assert "10000 schools, 10000 catchments" in done.output, done.output


def test_the_tables_of_the_api_equal_those_that_are_imported(folder: Path) -> None:
    from backend.services.school_lookup.maps import past_csv, schools_csv

    assert schools_csv(PLAN) == (folder / "schools.csv").read_bytes()
    assert past_csv(PLAN) == (folder / "past_batches.csv").read_bytes()
    header = next(csv.reader((folder / "address_ranges.csv").read_text(encoding="utf-8").splitlines()))
    assert header[0] == "catchment"
    assert json.loads((folder / "boundary.geojson").read_text())["type"] == "Feature"
