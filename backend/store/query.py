"""Shared by the adapters: declared queries, and the cursors of pages."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Annotated

import msgspec

from backend.store import Document, Index, InvalidCursor, Order, Scalar

MAX_PAGE = 1_000

_encode = msgspec.msgpack.Encoder().encode
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Cursor = msgspec.msgpack.Decoder(tuple[bytes, str | _Integer | bool, str])


def assert_declared(kind: type[Document], where: Mapping[str, Scalar], order: Order | None) -> None:
    """Assert that an index is declared for a query."""
    fields = set(where)
    declared = any(
        set(index.fields) == fields and (order is None or index.ordered == order.field) for index in kind.indexes
    )
    assert declared, f"{kind.__name__} declares no index on {sorted(fields)} ordered by {order and order.field}"


def finds_at_most_one(kind: type[Document], where: Mapping[str, Scalar]) -> bool:
    """Return whether a unique index guarantees that at most one document is found."""
    return any(index.unique and set(index.fields) == set(where) for index in kind.indexes)


@cache
def indexed_fields(kind: type[Document]) -> tuple[str, ...]:
    """Return the fields of the indexes of a kind, except the id."""
    names = (field for index in kind.indexes for field in (*index.fields, index.ordered))
    return tuple(dict.fromkeys(field for field in names if field is not None and field != "id"))


def index_name(index: Index) -> str:
    """Return the name of an index, which differs for each declaration."""
    parts = [*index.fields, *([f"by_{index.ordered}"] if index.ordered else []), "unique" if index.unique else "index"]
    return "__".join(parts)


class Cursors:
    """Writes and reads the cursors of one query; cursors of other queries are refused."""

    def __init__(self, kind: type[Document], where: Mapping[str, Scalar], order: Order | None) -> None:
        description = repr((kind.collection, sorted(where.items()), order)).encode()
        self._fingerprint = hashlib.sha256(description).digest()[:8]

    def write(self, value: Scalar, last_id: str) -> str:
        """Return the cursor after the document with this ordered value and id."""
        return base64.urlsafe_b64encode(_encode((self._fingerprint, value, last_id))).decode()

    def read(self, cursor: str) -> tuple[Scalar, str]:
        """Return the ordered value and the id of the last document. Raises InvalidCursor."""
        try:
            fingerprint, value, last_id = _Cursor.decode(base64.urlsafe_b64decode(cursor.encode()))
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidCursor("the cursor was not created by this store") from error
        if fingerprint != self._fingerprint:
            raise InvalidCursor("the cursor belongs to another query")
        return value, last_id
