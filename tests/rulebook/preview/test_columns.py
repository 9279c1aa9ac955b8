"""Columns hold every value that facts admit, from objects and from stored documents."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import bson
import msgspec
import numpy as np
import pytest
from msgspec import Meta, Struct

from backend.rulebook.preview.columns import Columns, columns_of_facts, join
from backend.rulebook.preview.document_columns import DocumentReader
from backend.rulebook.preview.documents import Encoding, reading_of
from backend.rulebook.preview.layout import UnsupportedLayout, all_fields, layout_of


class Weighed(Struct, frozen=True):
    """Facts with numbers that may be absent."""

    weight: float | None = None
    count: Annotated[int, Meta(ge=-(2**31))] | None = None
    height: float = 1.5


class Record(Struct, frozen=True):
    """A stored document."""

    id: str
    facts: Weighed


class Anything(Struct, frozen=True):
    """Facts with a number without bounds that may be absent."""

    number: int | None = None


PEOPLE = [Weighed(-0.0, 0, -0.0), Weighed(None, None, 0.0), Weighed(0.0, -(2**31)), Weighed(-1e308, 7, 1e-300)]


def from_documents(encoding: Encoding, people: Sequence[Weighed]) -> Columns:
    encode: Callable[[Any], bytes] = msgspec.msgpack.encode
    if encoding == "bson":
        encode = bson.encode
    parts = [encode({"_id" if encoding == "bson" else "id": "x", "facts": msgspec.to_builtins(one)}) for one in people]
    starts = np.cumsum([0, *map(len, parts[:-1])], dtype=np.int64)
    layout = layout_of(Weighed, all_fields(Weighed))
    (columns,) = DocumentReader(reading_of(Record, "facts", layout, encoding)).read(b"".join(parts), starts)
    return columns


SOURCES: dict[str, Callable[[Sequence[Weighed]], Columns]] = {
    "objects": lambda people: columns_of_facts(layout_of(Weighed, all_fields(Weighed)), people),
    "bson": lambda people: from_documents("bson", people),
    "msgpack": lambda people: from_documents("msgpack", people),
}


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_a_negative_zero_is_a_number_and_not_an_absent_one(source: str) -> None:
    arrays = SOURCES[source](PEOPLE).arrays
    assert arrays["h_weight"].tolist() == arrays["h_count"].tolist() == [1, 0, 1, 1]
    assert [repr(value) for value in arrays["c_weight"][[0, 2, 3]].tolist()] == ["-0.0", "0.0", "-1e+308"]
    assert [repr(value) for value in arrays["c_height"].tolist()] == ["-0.0", "0.0", "1.5", "1e-300"]


class Visit(Struct, frozen=True):
    """A visit; the names of two fields begin alike, and so do the kinds."""

    kind: Literal["short", "registered by phone", "registered in person"]
    registered_at: datetime | None = None
    registered_by: int = 7


class Visits(Struct, frozen=True):
    """Facts with two lists."""

    visits: tuple[Visit, ...] = ()
    days: tuple[datetime, ...] = ()
    before: int = 3


class VisitsRecord(Struct, frozen=True):
    """A stored document."""

    id: str
    facts: Visits


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OF_AN_EARLIER_EDITION: dict[str, dict[str, Any]] = {
    "without any field": {},
    "in another order": {"before": 1, "days": [NOON], "visits": [{"registered_by": 1, "kind": "short"}]},
    "with fields that are gone": {
        "gone": [1, {"deep": [None, True, -7, 70_000, 1.5, "text" * 20, NOON, b"bytes"]}],
        "visits": [{"gone": {"a": 1}, "kind": "registered in person", "registered_at": NOON, "gone_too": "x" * 300}],
        "days": [NOON] * 20,
    },
    "without values": {"visits": [{"kind": "registered by phone", "registered_at": None}, {"kind": "short"}]},
    "with long lists": {"visits": [{"kind": "registered in person", "registered_by": -1}] * 70_000},
}


@pytest.mark.parametrize("encoding", ["bson", "msgpack"])
@pytest.mark.parametrize("facts", OF_AN_EARLIER_EDITION.values(), ids=OF_AN_EARLIER_EDITION)
def test_a_document_of_an_earlier_edition_is_read_as_its_object(encoding: Encoding, facts: dict[str, Any]) -> None:
    people = [facts, {"visits": [{"kind": "short", "registered_at": NOON}]}, facts]
    encode: Callable[[Any], bytes] = bson.encode if encoding == "bson" else msgspec.msgpack.encode
    parts = [encode({"_id" if encoding == "bson" else "id": "x", "facts": one}) for one in people]
    starts = np.cumsum([0, *map(len, parts[:-1])], dtype=np.int64)
    layout = layout_of(Visits, all_fields(Visits))
    found = join(DocumentReader(reading_of(VisitsRecord, "facts", layout, encoding)).read(b"".join(parts), starts))
    expected = columns_of_facts(layout, [msgspec.convert(one, Visits) for one in people])
    assert {name: array.tolist() for name, array in found.arrays.items()} == {
        name: array.tolist() for name, array in expected.arrays.items()
    }
    assert found.presence.tolist() == expected.presence.tolist()


def test_a_number_that_may_be_absent_or_any_of_64_bits_has_no_column() -> None:
    with pytest.raises(UnsupportedLayout):
        layout_of(Anything, all_fields(Anything))


class Tagged(Struct, frozen=True):
    """Facts with a list that may be absent."""

    tags: tuple[int, ...] | None = None


class TaggedRecord(Struct, frozen=True):
    """A stored document."""

    id: str
    facts: Tagged


def test_a_list_that_may_be_absent_is_not_read_from_documents() -> None:
    with pytest.raises(UnsupportedLayout):
        reading_of(TaggedRecord, "facts", layout_of(Tagged, all_fields(Tagged)), "bson")
