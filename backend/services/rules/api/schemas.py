"""Requests and responses about releases of rules."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from backend.city.releases import RulebookRelease

MAX_FILES = 500
RulePath = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,4}\.yaml$",
        max_length=330,
        description="the path of a rule module below the folder of rules, such as `health_code/colour.yaml`",
    ),
]
Note = Annotated[str, Meta(min_length=2, max_length=500, description="why the rules change; names nobody")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]


class ReleaseSubmission(Struct, forbid_unknown_fields=True):
    """All rule modules of the city, as text by path, and why they change. A release is always whole."""

    files: Annotated[dict[RulePath, str], Meta(min_length=1, max_length=MAX_FILES)]
    note: Note


class ReleaseSummary(Struct, frozen=True):
    """A release, named by its digest. `author` is the account that submitted it, null for the city's own machine."""

    digest: Digest
    published: datetime
    author: str | None
    note: str
    in_force: bool


class ReleaseDetails(Struct, frozen=True):
    """A release with the text of each rule module, by module."""

    digest: Digest
    published: datetime
    author: str | None
    note: str
    in_force: bool
    files: dict[str, str]


class ReleaseList(Struct, frozen=True):
    """Releases, the newest first, and the cursor of the next page."""

    releases: list[ReleaseSummary]
    cursor: str | None


def release_summary(release: RulebookRelease, digest_in_force: str | None) -> ReleaseSummary:
    """Return a release as it is listed."""
    in_force = release.id == digest_in_force
    return ReleaseSummary(release.id, release.published, release.author or None, release.note, in_force)


def release_details(release: RulebookRelease, digest_in_force: str | None) -> ReleaseDetails:
    """Return a release with its rule modules."""
    in_force = release.id == digest_in_force
    author = release.author or None
    return ReleaseDetails(release.id, release.published, author, release.note, in_force, release.files)
