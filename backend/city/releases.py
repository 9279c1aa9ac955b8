"""Rulebooks in the store: a release is immutable and named by its digest, and one pointer says which is in force.

Publishing and pointing are two steps, so that a second person's approval can come between them. Running processes
look at the pointer every other second and exchange their City, which holds the rulebook, as a whole: a request keeps
the City with which it began.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.city.service import City
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from backend.store import Document, Duplicate, Store, StoreUnavailable

POLL_SECONDS = 2.0
MAX_HISTORY = 100
IN_FORCE = "in-force"

_log = logging.getLogger("chengma.rules")


class RulebookRelease(Document, kw_only=True):
    """The files of a rulebook, by module; `id` is the rulebook's digest. Never changed."""

    collection: ClassVar[str] = "rulebook_releases"

    files: dict[str, str]
    published: datetime


class Activation(Struct, frozen=True):
    """From `since` on the rulebook of this digest was in force."""

    digest: str
    since: datetime


class RulebookPointer(Document, kw_only=True):
    """Which release is in force: the last of `past`. There is one such document."""

    collection: ClassVar[str] = "rulebook_pointers"

    past: tuple[Activation, ...]


class UnknownRelease(Exception):
    """No release has this digest, or more than one begins so."""


async def store_release(store: Store, files: Mapping[str, SourceFile], rulebook: Rulebook, now: datetime) -> None:
    """Keep a checked rulebook as a release; the same one again changes nothing."""
    texts = {name: file.text for name, file in files.items()}
    with suppress(Duplicate):
        await store.insert(RulebookRelease(id=rulebook.digest, files=texts, published=now))


async def activate_release(store: Store, digest: str, now: datetime) -> None:
    """Point to a release. Raises UnknownRelease, or Conflict if somebody else points elsewhere at the same time."""
    if await store.get(RulebookRelease, digest) is None:
        raise UnknownRelease(f"there is no release {digest}")
    pointer = await store.get(RulebookPointer, IN_FORCE)
    entry = Activation(digest, now)
    if pointer is None:
        await store.insert(RulebookPointer(id=IN_FORCE, past=(entry,)))
    elif pointer.past[-1].digest != digest:
        await store.replace(replace(pointer, past=(*pointer.past[1 - MAX_HISTORY :], entry)))


async def release_named(store: Store, beginning: str) -> str:
    """Give the digest of the one release whose digest begins so. Raises UnknownRelease."""
    found = [release.id async for release in store.scan(RulebookRelease) if release.id.startswith(beginning)]
    if len(found) != 1:
        many = "more than one release begins" if found else "no release begins"
        raise UnknownRelease(f"{many} with {beginning!r}; `chengma rules releases` lists them")
    return found[0]


async def digest_in_force(store: Store) -> str | None:
    """Give the digest of the release in force; None where none was ever published."""
    pointer = await store.get(RulebookPointer, IN_FORCE)
    return pointer.past[-1].digest if pointer is not None else None


async def released_rulebook(
    store: Store, digest: str, facts: Sequence[type[Struct]], time_zone: ZoneInfo, former: Rulebook | None = None
) -> Rulebook:
    """Read a release and compile it, beside the event loop. Raises InvalidRulebook if it fits this edition no more.

    Modules that are as in a `former` rulebook of these facts are taken over: a busy city goes on sooner with the rest.
    """
    release = await store.get(RulebookRelease, digest)
    assert release is not None, "the pointer points only to releases, which are not deleted"
    files = {name: SourceFile(f"{digest[:16]}/{name}", text, []) for name, text in release.files.items()}

    def make() -> Rulebook:
        rulebook = make_rulebook(files, facts, time_zone, former)
        rulebook.compile()
        return rulebook

    return await asyncio.to_thread(make)


async def load_active_rulebook(city: City, facts: Sequence[type[Struct]]) -> City:
    """Give the City with the rulebook that is in force now. Raises InvalidRulebook and StoreUnavailable."""
    digest = await digest_in_force(city.store)
    if digest is None or digest == city.rulebook.digest:
        return city
    zone = ZoneInfo(city.settings.time_zone)
    rulebook = await released_rulebook(city.store, digest, facts, zone, city.rulebook)
    _log.info("rulebook %s is in force", digest[:16])
    return replace(city, rulebook=rulebook)


@asynccontextmanager
async def follow_releases(
    present: Callable[[], City], take: Callable[[City], None], facts: Sequence[type[Struct]]
) -> AsyncGenerator[None, None]:
    """Take up the rulebook in force, and whatever is put in force later, until the end of the block.

    Raises InvalidRulebook at the beginning; later, a rulebook that does not fit is told and not taken.
    """
    with suppress(StoreUnavailable):  # it is looked for again
        take(await load_active_rulebook(present(), facts))
    looking = asyncio.create_task(_look_out(present, take, facts))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look_out(present: Callable[[], City], take: Callable[[City], None], facts: Sequence[type[Struct]]) -> None:
    refused = ""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        try:
            city = present()
            following = await load_active_rulebook(city, facts)
            if following is not city:
                take(following)
        except StoreUnavailable:
            continue  # what is in force stays in force; the store's absence is told elsewhere
        except InvalidRulebook as error:
            if str(error) != refused:
                refused = str(error)
                _log.error("the published rulebook does not fit this edition, and is not taken up: %s", error)
