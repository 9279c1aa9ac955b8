"""How resources are represented on the wire: JSON, `meta` with version and instant, and ETags."""

from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

Json = dict[str, Any]

encode = msgspec.json.Encoder(decimal_format="number").encode


def with_meta(resource: Json, last_updated: datetime, *history: int) -> Json:
    """Return the resource with `meta`; its version is a digest of its content and of its history.

    `history` counts the changes that can be undone. So content that returns has a new version, and a change that does
    not concern the resource leaves its version as it is.
    """
    version = blake2b(encode((resource, history)), digest_size=8).hexdigest()
    meta = {"versionId": version, "lastUpdated": format_instant(last_updated)}
    return {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta} | resource


def etag(resource: Json) -> str:
    """Return the ETag of a resource, for `If-Match` and `If-None-Match`."""
    return f'W/"{resource["meta"]["versionId"]}"'


def matches_etag(header: str, resource: Json) -> bool:
    """Return whether an `If-Match` or `If-None-Match` names this version; weak and strong ETags are equal here."""
    if header.strip() == "*":
        return True
    versions = [part.strip().removeprefix("W/").strip('"') for part in header.split(",")]
    return resource["meta"]["versionId"] in versions


def format_instant(at: datetime) -> str:
    """Return an instant as FHIR writes it, to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
