"""Documents as the driver reads and writes them."""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from bson.codec_options import CodecOptions

from backend.store import Document
from backend.store.query import indexed_fields

D = TypeVar("D", bound=Document)

CODEC = CodecOptions[dict[str, Any]](tz_aware=True, tzinfo=UTC)


def body_of(document: Document) -> dict[str, Any]:
    """Return a document for the driver, without indexed fields that are None: a unique index ignores missing fields."""
    body: dict[str, Any] = msgspec.to_builtins(document, builtin_types=(datetime, bytes))
    body["_id"] = body.pop("id")
    for field in indexed_fields(type(document)):
        if body.get(field) is None:
            body.pop(field, None)
    return body


def document_of(kind: type[D], body: dict[str, Any]) -> D:
    """Return a document from the driver's representation."""
    absent_fields = {field: None for field in indexed_fields(kind) if field not in body}
    return msgspec.convert({**body, **absent_fields, "id": body["_id"]}, kind)
