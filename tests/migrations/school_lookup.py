"""Examples of the migrations of the school lookup: what was stored, and what it becomes."""

from datetime import date
from typing import Any

from backend.services.school_lookup.addresses import AddressRange
from backend.services.school_lookup.model import SchoolCatchments, SchoolEdition
from backend.services.school_lookup.plan import Calendar, Catchment, Heading, PastBatch, Polygon
from backend.store import Document

SQUARE = [[[120.1, 30.3], [120.2, 30.3], [120.2, 30.4], [120.1, 30.3]]]

EXAMPLES: list[tuple[str, dict[str, Any], Document]] = [
    (
        "0040_rename_parts_of_school_editions",
        {
            "id": "e",
            "revision": 1,
            "heading": {
                "district": "试验区",
                "code": "990002",
                "year": 2018,
                "source": "s",
                "coordinates": "WGS84",
                "batches": "general_batch",
                "calendar": {
                    "publication": "2018-04-01",
                    "application_from": "2018-06-01",
                    "application_until": "2018-06-10",
                    "admission": "2018-07-01",
                    "school_begins": "2018-09-01",
                },
                "counted_districts": ["西湖区"],
                "invented": True,
            },
            "boundary": {"type": "Polygon", "coordinates": SQUARE},
            "schools": [],
            "past": [{"school": "S1", "year": 2017, "batch": 1, "applied": 2, "admitted": 1}],
            "zone_parts": 3,
        },
        SchoolEdition(
            id="e",
            revision=2,
            heading=Heading(
                "试验区",
                "990002",
                2018,
                "s",
                "WGS84",
                "general_batch",
                Calendar(date(2018, 4, 1), date(2018, 6, 1), date(2018, 6, 10), date(2018, 7, 1), date(2018, 9, 1)),
                city_districts=("西湖区",),
                synthetic=True,
            ),
            boundary=Polygon(SQUARE),
            schools=[],
            past=[PastBatch("S1", 2017, 1, 2, 1)],
            catchment_parts=3,
        ),
    ),
    (
        "0041_rename_zones_to_catchments",
        {
            "id": "e-0000",
            "revision": 1,
            "zones": [
                {
                    "id": "west",
                    "school": "S1",
                    "address_ranges": [{"road": "和平路", "parity": "odd"}],
                    "geometry": {"type": "Polygon", "coordinates": SQUARE},
                    "double_district": "D",
                }
            ],
        },
        SchoolCatchments(
            id="e-0000",
            revision=2,
            catchments=[Catchment("west", "S1", [AddressRange(road="和平路", parity="odd")], Polygon(SQUARE), "D")],
        ),
    ),
]
