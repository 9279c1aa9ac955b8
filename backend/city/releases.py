"""Rulebooks in the store: a release is immutable and identified by its digest; one pointer names the release in force.

Publishing and activating are two steps, so that a second person can approve in between. Running processes read the
pointer every two seconds and replace their whole City, which contains the rulebook: a running request keeps the City
that it started with.
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

from backend.city.audit_log import UNLOGGED, Act, AuditedDocument, city_act, with_act
from backend.city.service import City
from backend.jobs.beside import beside
from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from backend.security.identity import Caller
from backend.store import Index, Store, StoreUnavailable
from backend.store.retention import Retention
from backend.store.time import to_ms
from backend.store.update import insert_or_get

POLL_SECONDS = 2.0
MAX_HISTORY = 100
IN_FORCE = "in-force"

_log = logging.getLogger("chengma.rules")


class RulebookRelease(AuditedDocument, kw_only=True):
    """The files of a rulebook, by module; `id` is the rulebook's digest. It never changes.

    `author` and `author_person` are the ids of the account that submitted it and of its Person; they are empty for a
    release of a command on the city's machine.
    """

    collection: ClassVar[str] = "rulebook_releases"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED, Index((), ordered="published_ms"))
    retention: ClassVar[Retention] = Retention(
        grows_with="each published rulebook",
        ends="never: verdicts name the rulebook that made them, and are replayed with it",
        names="nobody",
    )

    files: dict[str, str]
    published: datetime
    published_ms: int | None = None
    author: str = ""
    author_person: str = ""
    note: str = ""


class Activation(Struct, frozen=True):
    """The rulebook with this digest was put in force at `since`."""

    digest: str
    since: datetime


class RulebookPointer(AuditedDocument, kw_only=True):
    """The history of activations; the release of the last one is in force. There is one such document."""

    collection: ClassVar[str] = "rulebook_pointers"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED,)
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one",
        ends="never: it holds the last 100 activations",
        names="nobody",
    )

    past: tuple[Activation, ...]


class UnknownRelease(Exception):
    """No release has this digest, or the digests of several releases begin with it."""


async def store_release(
    store: Store,
    files: Mapping[str, SourceFile],
    rulebook: Rulebook,
    now: datetime,
    *,
    author: Caller | None = None,
    note: str = "",
    act: Act | None = None,
) -> RulebookRelease:
    """Store a checked rulebook as a release, with its act, and return it.

    A rulebook that is a release already keeps its author and note. Without an act, the city itself published it.
    """
    release = RulebookRelease(
        id=rulebook.digest,
        files={name: file.text for name, file in files.items()},
        published=now,
        published_ms=to_ms(now),
        author=author.account_id if author is not None else "",
        author_person=(author.citizen_id if author is not None else None) or "",
        note=note,
    )
    return await insert_or_get(store, with_act(release, act or city_act("rules.published", rulebook.digest, now)))


async def activate_release(store: Store, digest: str, now: datetime, *, act: Act | None = None) -> None:
    """Put a release in force, with its act. Without an act, the city itself did so; one in force already stays.

    Raises UnknownRelease, or Conflict if someone else activates one at the same time.
    """
    if await store.get(RulebookRelease, digest) is None:
        raise UnknownRelease(f"there is no release {digest}")
    pointer = await store.get(RulebookPointer, IN_FORCE)
    entry, act = Activation(digest, now), act or city_act("rules.activated", digest, now)
    if pointer is None:
        await store.insert(with_act(RulebookPointer(id=IN_FORCE, past=(entry,)), act))
    elif pointer.past[-1].digest != digest:
        await store.replace(with_act(replace(pointer, past=(*pointer.past[1 - MAX_HISTORY :], entry)), act))


async def release_named(store: Store, beginning: str) -> str:
    """Return the digest of the only release whose digest begins with `beginning`. Raises UnknownRelease."""
    digests = [release.id async for release in store.scan(RulebookRelease) if release.id.startswith(beginning)]
    if len(digests) != 1:
        problem = "more than one release begins" if digests else "no release begins"
        raise UnknownRelease(f"{problem} with {beginning!r}; `chengma rules releases` lists them")
    return digests[0]


async def digest_in_force(store: Store) -> str | None:
    """Return the digest of the release in force; None if no release has been published."""
    pointer = await store.get(RulebookPointer, IN_FORCE)
    return pointer.past[-1].digest if pointer is not None else None


async def released_rulebook(
    store: Store, digest: str, needed: Sequence[RuleModule], time_zone: ZoneInfo, previous: Rulebook | None = None
) -> Rulebook:
    """Return a release, compiled in a thread. Raises InvalidRulebook if it is not what the services need.

    Modules that are unchanged since the `previous` rulebook (with the same facts) are reused, which saves time.
    """
    release = await store.get(RulebookRelease, digest)
    assert release is not None, "only existing releases are activated, and none is deleted"
    files = {name: SourceFile(f"{digest[:16]}/{name}", text, []) for name, text in release.files.items()}

    def make() -> Rulebook:
        rulebook = make_rulebook(files, facts_of(needed), time_zone, previous)
        check_needs(rulebook, needed, digest[:16])
        rulebook.compile()
        return rulebook

    return await asyncio.to_thread(make)


async def load_active_rulebook(city: City) -> City:
    """Return the City with the rulebook that is in force now. Raises InvalidRulebook or StoreUnavailable."""
    digest = await digest_in_force(city.store)
    if digest is None or digest == city.rulebook.digest:
        return city
    zone = ZoneInfo(city.settings.time_zone)
    rulebook = await released_rulebook(city.store, digest, city.rule_modules, zone, city.rulebook)
    _log.info("rulebook %s is in force", digest[:16])
    return replace(city, rulebook=rulebook)


@asynccontextmanager
async def follow_releases(
    current: Callable[[], City], replace_city: Callable[[City], None]
) -> AsyncGenerator[None, None]:
    """Use the rulebook in force, and each one that is put in force later, until the end of the block.

    Raises InvalidRulebook at the start; later, a rulebook that does not fit is logged and not used.
    """
    with suppress(StoreUnavailable):  # the next poll tries again
        replace_city(await load_active_rulebook(current()))
    async with beside(_poll(current, replace_city)):
        yield


async def _poll(current: Callable[[], City], replace_city: Callable[[City], None]) -> None:
    refused = ""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        try:
            city = current()
            updated = await load_active_rulebook(city)
            if updated is not city:
                replace_city(updated)
        except StoreUnavailable:
            continue  # the rulebook stays in force; the missing store is reported elsewhere
        except InvalidRulebook as error:
            if str(error) != refused:
                refused = str(error)
                _log.error("the published rulebook does not fit this edition and is not used: %s", error)
