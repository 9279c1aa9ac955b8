"""How long documents are kept: each kind declares when its documents end, and sweeps delete what has ended.

A period is a dated parameter, with the source of the law or an assumption [A]. The period in force when a sweep runs
applies to all documents of the kind, also to older ones.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Literal

from msgspec import Struct


class Period(Struct, frozen=True):
    """Documents are kept for this many days, by the law in force from the day `since` on."""

    since: date
    days: int
    source: str


class Retention(Struct, frozen=True, kw_only=True):
    """When the documents of a kind end.

    `grows_with` is what adds documents, and `ends` says when they go, or why they stay. A sweep deletes a document at
    the instant in the indexed field that `ends_at` names, or one of the `periods` after the instant in that which
    `field` names; both are in milliseconds. Without either, no sweep deletes by age.

    `names` says whether a document is about a person, which the service that owns it exports and erases.
    """

    grows_with: str
    ends: str
    names: Literal["a person", "nobody"]
    ends_at: str | None = None
    field: str | None = None
    periods: tuple[Period, ...] = ()

    def length(self, now: datetime) -> timedelta:
        """Return the period in force, or the first one before that; no time if there are none."""
        in_force = [period for period in self.periods if period.since <= now.date()] or self.periods[:1]
        return timedelta(days=in_force[-1].days) if in_force else timedelta(0)


AT_EXPIRY = Retention(grows_with="", ends="at `expires_ms`", names="nobody", ends_at="expires_ms")
"""The retention of a kind that declares none: its documents end at `expires_ms`."""


def retention_table(retentions: Mapping[str, Retention]) -> str:
    """Return the retention of each collection as a table in Markdown."""
    rows = (
        f"| `{collection}` | {kept.grows_with} | {_periods(kept)} | {kept.ends} | {kept.names} |"
        for collection, kept in sorted(retentions.items())
    )
    head = "| collection | grows with | kept for | until | is about |", "| --- | --- | --- | --- | --- |"
    return "\n".join((*head, *rows))


def _periods(kept: Retention) -> str:
    return "; ".join(f"{one.days} days from {one.since} on ({one.source})" for one in kept.periods) or "-"
