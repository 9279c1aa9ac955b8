"""Compare point queries with shapely's own tree, and `POST /v1/school-lookups` with a bare route of the same JSON."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import shapely

from backend.services.school_lookup.atlas import Atlas
from backend.services.school_lookup.plan import shape_of
from backend.services.school_lookup.synthetic_district import synthetic_plan
from tests.bench.health_code_read import CONNECTIONS, LAST_CORE, ROOT, ask, free_port, server
from tests.bench.report import Table, alternate, ratio_of
from tests.keys import new_keys

POINTS, POINT_ROUNDS = 10_000, 50
LOOKUPS, ROUNDS = 4_000, 10
YEAR = 2026
Kind = Literal["address", "point"]
KINDS: tuple[Kind, ...] = ("address", "point")
PATH = "/v1/school-lookups"


def points() -> Table:
    """Find the catchments of random points in the synthetic district."""
    plan = synthetic_plan(YEAR)
    stages = {school.id: school.stage for school in plan.schools}
    catchments = [catchment for catchment in plan.catchments if stages[catchment.school] == "primary"]
    shapes = np.array([shape_of(catchment.geometry) for catchment in catchments])
    atlas, tree = Atlas(catchments), shapely.STRtree(shapes)
    west, south, east, north = shapely.total_bounds(shapes)
    coordinates = np.random.default_rng(1).uniform([west, south], [east, north], (POINTS, 2))
    rows = list[tuple[str, ...]]()
    for what, predicate in (("by bounding box", None), ("by coverage", "covered_by")):
        mine, theirs = alternate(
            POINT_ROUNDS,
            lambda: atlas.covering(coordinates),
            lambda predicate=predicate: tree.query(shapely.points(coordinates), predicate=predicate),
        )
        ratio = 1 / ratio_of(mine, theirs)
        times = f"{statistics.median(mine) * 1e3:.1f}", f"{statistics.median(theirs) * 1e3:.1f}"
        rows.append((f"`STRtree.query` of catchments {what}", *times, f"**{ratio:.2f}**"))
    return Table(
        "school_points",
        f"Which of {len(catchments)} catchments cover each of {POINTS:,} random points, boundaries included and in "
        "order, compared with shapely's STRtree alone over the same catchments and points; "
        f"{POINT_ROUNDS} alternating rounds. Target: less than 2.",
        ("compared with", "ours, ms", "theirs, ms", "ours takes"),
        rows,
    )


def lookups() -> Table:
    """Look up the schools of families with addresses all over the synthetic district."""
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory()))
        ours = free_port()
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "CHENGMA_STORE": f"sqlite:///{folder}/city.db",
            "CHENGMA_KEYS": new_keys(folder / "keys"),
            "CHENGMA_RULES": str(ROOT / "rules"),
            "CHENGMA_PORT": str(ours),
            "CHENGMA_ADDRESS_REQUESTS_PER_MINUTE": "100000000",
        }
        for command in (["synthesize", f"{folder}/plan", "--year", str(YEAR)], ["import", f"{folder}/plan"]):
            chengma = [sys.executable, "-m", "backend", "schools", *command]
            subprocess.run(chengma, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        running.enter_context(server(["-m", "backend", "serve"], ours, environment, folder / "ours.log"))
        rows = [_measure(what, ours, environment, folder) for what in KINDS]
    return Table(
        "school_lookups",
        f"`POST {PATH}` for {LOOKUPS:,} families of the synthetic district who own the home in which they "
        "are registered: addresses, places, age, batch, ties, seats, chance, documents, possible changes; compared "
        "with a bare Litestar route that decodes the same body and returns the same JSON from a Struct. One "
        f"uvicorn worker each, {CONNECTIONS} connections, one client process on its own core, {ROUNDS} alternating "
        "rounds. Target: 0.3 or more.",
        ("the registration is given by", "JSON, bytes", "our requests per second", "the bare route's", "ratio"),
        rows,
    )


def _measure(what: Kind, ours: int, environment: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    answer, bare = folder / f"{what}.json", free_port()
    prepared = _requests(_families(what))
    answer.write_bytes(ask(ours, prepared[:1])[1])
    with server(["-m", "tests.bench.bare_lookup", str(answer), str(bare)], bare, environment, folder / "bare.log"):
        os.sched_setaffinity(0, {LAST_CORE})
        rates = [(_rate(ours, prepared), _rate(bare, prepared)) for _ in range(ROUNDS)]
    mine, theirs = zip(*rates, strict=True)
    ratio = statistics.median(one / other for one, other in rates)
    size = f"{answer.stat().st_size:,}"
    return what, size, f"{statistics.median(mine):,.0f}", f"{statistics.median(theirs):,.0f}", f"**{ratio:.2f}**"


def _families(what: Kind) -> list[Mapping[str, object]]:
    plan = synthetic_plan(YEAR)
    known, land = plan.addresses, shape_of(plan.boundary)
    west, south, east, north = shapely.buffer(land, -0.01).bounds
    random_points = np.random.default_rng(1).uniform([west, south], [east, north], (LOOKUPS, 2)).tolist()
    families = list[Mapping[str, object]]()
    for number in range(LOOKUPS):
        one, (longitude, latitude) = known[number % len(known)], random_points[number]
        at: Mapping[str, object] = {"address": one.address}
        if what == "point":
            at = {"point": {"longitude": longitude, "latitude": latitude}}
        child = {"born_on": "2020-03-10", "registered_since": "2021-05-01"}
        home = {**at, "grandparents_percent": 100}
        families.append({"children": [child], "registration": {**at, "parents": "some"}, "homes": [home]})
    return families


def _requests(families: Sequence[Mapping[str, object]]) -> list[bytes]:
    prepared = list[bytes]()
    for family in families:
        body = json.dumps({"family": family}, ensure_ascii=False).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        prepared.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return prepared


def _rate(port: int, requests: Sequence[bytes]) -> float:
    seconds, _ = ask(port, requests)
    return len(requests) / seconds
