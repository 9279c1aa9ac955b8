"""Columns hold every value that facts admit, from objects and from stored documents."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import bson
import msgspec
import numpy as np
import pytest
from msgspec import Meta, Struct

from backend.rulebook.preview.columns import Columns, columns_of_facts
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


def test_a_number_that_may_be_absent_or_any_of_64_bits_has_no_column() -> None:
    with pytest.raises(UnsupportedLayout):
        layout_of(Anything, all_fields(Anything))
