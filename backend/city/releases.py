"""Rulebooks in the store: a release is immutable and identified by its digest; one pointer names the release in force.

Publishing and activating are two steps, so that a second person can approve in between. An activation takes effect at
once or at a future instant, and is one write either way: the pointer holds what is `scheduled`, and each process
compares its instant with the clock. See `following_releases` for how processes follow the pointer.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from backend.city.audit_log import UNLOGGED, Act, AuditedDocument, city_act, with_act
from backend.i18n import Text
from backend.rulebook import Rulebook, SourceFile, make_rulebook
from backend.rulebook.needs import RuleModule, check_needs, facts_of
from backend.security.identity import Caller
from backend.store import Conflict, Duplicate, Index, Store
from backend.store.retention import Retention
from backend.store.time import to_ms
from backend.store.update import insert_or_get, update_document

MAX_HISTORY = 100
IN_FORCE = "in-force"
MIN_WORDS, MAX_WORDS = 2, 500
"""The fewest and the most characters of a note, and of a reason to do without a part of a review."""

MIN_DIGITS = 4
"""The fewest first digits of a digest that name a release."""


class RulebookRelease(AuditedDocument, kw_only=True):
    """The files of a rulebook, by module; `id` is the rulebook's digest. It never changes.

    `author` and `author_person` are the ids of the account that submitted it and of its Person; they are empty for a
    release of a command on the city's machine. `claims` are what its author claims of the modules, as texts by module;
    the digest does not name them.
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
    claims: dict[str, str] = field(default_factory=dict[str, str])


class Activation(Struct, frozen=True):
    """The rulebook with this digest is in force from `since`. `account` activated it, empty for the city's machine."""

    digest: str
    since: datetime
    account: str = ""


class RulebookPointer(AuditedDocument, kw_only=True):
    """The history of activations, and the one that is `scheduled`. There is one such document.

    The release of the last one in the `past` is in force, or that of the scheduled one once its instant has come.
    `initial` is the digest of the edition that was in force before the first activation, without being activated: that
    of the folder of rules of the process which made the activation.
    """

    collection: ClassVar[str] = "rulebook_pointers"
    indexes: ClassVar[tuple[Index, ...]] = (UNLOGGED,)
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one",
        ends="never: it holds the last 100 activations",
        names="nobody",
    )

    past: tuple[Activation, ...]
    scheduled: Activation | None = None
    initial: str = ""

    def in_force(self, now: datetime) -> Activation | None:
        """Return the activation that is in force at `now`, the latest instant that the caller knows."""
        if self.scheduled is not None and self.scheduled.since <= now:
            return self.scheduled
        return self.past[-1] if self.past else None

    def pending(self, now: datetime) -> Activation | None:
        """Return the scheduled activation if its instant has not come."""
        return self.scheduled if self.scheduled is not None and self.scheduled.since > now else None

    def settled(self, now: datetime) -> "RulebookPointer":
        """Return the pointer with a scheduled activation whose instant has come in its past, and the city's act.

        From then on it is in force whatever the clock of a process says. Returns the same object if there is none.
        """
        if self.scheduled is None or self.scheduled.since > now:
            return self
        act = city_act("rules.activated", self.scheduled.digest, self.scheduled.since)
        settled = replace(self, past=_appended(self.past, self.scheduled), scheduled=None)
        return with_act(settled, act)


class UnknownRelease(Exception):
    """No release has this digest, or those of `several` begin with it, or it is too short; `text` says which."""

    def __init__(self, text: Text, *, several: bool = False) -> None:
        super().__init__(text.en)
        self.text = text
        self.several = several


class ActivationPending(Exception):
    """Another activation is scheduled, and must take effect or be cancelled first."""

    def __init__(self, scheduled: Activation) -> None:
        super().__init__(f"the release {scheduled.digest[:16]} is scheduled for {scheduled.since.isoformat()}")
        self.scheduled = scheduled


async def store_release(
    store: Store,
    files: Mapping[str, SourceFile],
    rulebook: Rulebook,
    now: datetime,
    *,
    author: Caller | None = None,
    note: str = "",
    claims: Mapping[str, SourceFile] | None = None,
    act: Act | None = None,
) -> RulebookRelease:
    """Store a checked rulebook as a release, with its act, and return it.

    A rulebook that is a release already keeps its author, note and claims. Without an act, the city itself published
    it.
    """
    release = RulebookRelease(
        id=rulebook.digest,
        files={name: file.text for name, file in files.items()},
        published=now,
        published_ms=to_ms(now),
        author=author.account_id if author is not None else "",
        author_person=(author.citizen_id if author is not None else None) or "",
        note=note,
        claims={name: file.text for name, file in (claims or {}).items()},
    )
    return await insert_or_get(store, with_act(release, act or city_act("rules.published", rulebook.digest, now)))


async def read_pointer(store: Store) -> RulebookPointer:
    """Return the pointer; one that is not stored yet if there was no activation."""
    return await store.get(RulebookPointer, IN_FORCE) or RulebookPointer(id=IN_FORCE, past=())


def with_activation(pointer: RulebookPointer, entry: Activation, now: datetime) -> RulebookPointer:
    """Return the pointer with an activation, which is scheduled if its instant is later than now.

    Returns the same pointer if its release is in force already. Raises ActivationPending while another is scheduled.
    """
    settled = pointer.settled(now)
    current = settled.in_force(now)
    if current is not None and current.digest == entry.digest:
        return pointer
    if settled.scheduled is not None:
        raise ActivationPending(settled.scheduled)
    if entry.since > now:
        return replace(settled, scheduled=entry)
    return replace(settled, past=_appended(settled.past, entry))


async def activate_release(store: Store, digest: str, now: datetime) -> None:
    """Put a release in force by the city's own machine; one in force already stays.

    Raises UnknownRelease, ActivationPending, or Conflict if someone else activates one at the same time.
    """
    if await store.get(RulebookRelease, digest) is None:
        raise UnknownRelease(Text(zh=f"没有编号为 {digest} 的版本", en=f"there is no release {digest}"))
    pointer = await read_pointer(store)
    changed = with_activation(pointer, Activation(digest, now), now)
    if changed is not pointer:
        await store_pointer(store, with_act(changed, city_act("rules.activated", digest, now)))


async def settle_activation(store: Store, now: datetime) -> None:
    """Move a scheduled activation whose instant has come to the past ones."""
    await update_document(store, lambda: store.get(RulebookPointer, IN_FORCE), lambda pointer: pointer.settled(now))


async def store_pointer(store: Store, pointer: RulebookPointer) -> None:
    """Store a changed pointer. Raises Conflict if someone else changed it since it was read."""
    try:
        await (store.replace(pointer) if pointer.revision else store.insert(pointer))
    except Duplicate as duplicate:  # somebody else made the first activation of the city
        raise Conflict(RulebookPointer.collection, IN_FORCE, 0) from duplicate


def _appended(past: tuple[Activation, ...], entry: Activation) -> tuple[Activation, ...]:
    return (*past[1 - MAX_HISTORY :], entry)


def only_digest(digests: Iterable[str], beginning: str) -> str:
    """Return the only one of the digests that begins so, with four digits or more. Raises UnknownRelease."""
    if re.fullmatch(f"[0-9a-f]{{0,{MIN_DIGITS - 1}}}", beginning):
        raise UnknownRelease(
            Text(
                zh=f"{beginning!r} 太短：版本编号至少写开头{MIN_DIGITS}位",
                en=f"{beginning!r} is too short: a release is named by the first {MIN_DIGITS} digits or more",
            )
        )
    found = [digest for digest in digests if digest.startswith(beginning)]
    if len(found) > 1:
        raise UnknownRelease(
            Text(
                zh=f"有{len(found)}个版本的编号以 {beginning!r} 开头，请多写几位；`chengma rules log` 列出各版本",
                en=f"the digests of {len(found)} releases begin with {beginning!r}: write more digits; "
                "`chengma rules log` lists the releases",
            ),
            several=True,
        )
    if not found:
        raise UnknownRelease(
            Text(
                zh=f"没有版本的编号以 {beginning!r} 开头；`chengma rules log` 列出各版本",
                en=f"no release's digest begins with {beginning!r}; `chengma rules log` lists the releases",
            )
        )
    return found[0]


async def release_named(store: Store, beginning: str) -> str:
    """Return the digest of the only release whose digest begins with `beginning`. Raises UnknownRelease."""
    return only_digest([release.id async for release in store.scan(RulebookRelease)], beginning)


async def digest_in_force(store: Store, now: datetime) -> str | None:
    """Return the digest of the release in force at `now`; None if there is none."""
    pointer = await store.get(RulebookPointer, IN_FORCE)
    activation = None if pointer is None else pointer.in_force(now)
    return None if activation is None else activation.digest


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
