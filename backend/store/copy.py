"""Copying a city from one store to another: resumable, and verified at the end by counts and hashes."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.store import Document, Store, time
from backend.store.retention import Retention

BATCH = 1_000


class CopyProgress(Document, kw_only=True):
    """The progress of a collection: copied up to the id `after`. Its `id` is the collection's name."""

    collection: ClassVar[str] = "copy_progress"
    retention: ClassVar[Retention] = Retention(
        grows_with="nothing: there is one for each collection that is copied",
        ends="at the end of the copy",
        names="nobody",
    )

    source: str
    after: str = ""


class CopiedCollection(Struct, frozen=True):
    """A collection that is equal in both stores."""

    collection: str
    count: int
    digest: str


class CopyRefused(Exception):
    """The target contains other data, or the copy differs from its source. The message names the collection."""


async def copy_city(
    source: Store,
    target: Store,
    name: str,
    kinds: Sequence[type[Document]],
    progress: Callable[[str, int, int], None],
) -> list[CopiedCollection]:
    """Copy every collection, then compare both stores, and return the collections. Raises CopyRefused.

    `name` identifies the source, so that an interrupted copy resumes from the same source. `progress` is called with
    the collection, the number of documents done, and the total.
    """
    copied_kinds = [kind for kind in kinds if kind is not CopyProgress]
    await _refuse_other_cities(target, name, copied_kinds)
    for kind in copied_kinds:
        await _copy(source, target, name, kind, progress)
    copied = [await _compare(source, target, kind) for kind in copied_kinds]
    for kind in copied_kinds:
        mark = await target.get(CopyProgress, kind.collection)
        if mark is not None:
            await target.delete(mark)
    return copied


async def _refuse_other_cities(target: Store, name: str, kinds: Sequence[type[Document]]) -> None:
    for kind in kinds:
        progress = await target.get(CopyProgress, kind.collection)
        if progress is not None and progress.source != name:
            raise CopyRefused(
                f"the target contains part of a copy of {progress.source}: resume that copy, or empty the target"
            )
        if progress is None and await target.count(kind, {}):
            raise CopyRefused(f"the target already contains {kind.collection}: copy into an empty store")


async def _copy(
    source: Store, target: Store, name: str, kind: type[Document], progress: Callable[[str, int, int], None]
) -> None:
    total = await source.count(kind, {})
    mark = await target.get(CopyProgress, kind.collection)
    if mark is None:
        mark = await target.insert(CopyProgress(id=kind.collection, source=name))
    done = await target.count(kind, {})
    batch: list[Document] = []
    async for document in source.scan(kind, after=mark.after):
        batch.append(to_the_millisecond(document))
        if len(batch) == BATCH:
            mark = await _save_batch(target, mark, batch)
            done += len(batch)
            progress(kind.collection, done, total)
            batch = []
    if batch:
        await _save_batch(target, mark, batch)
        progress(kind.collection, done + len(batch), total)


async def _save_batch(target: Store, mark: CopyProgress, batch: Sequence[Document]) -> CopyProgress:
    await target.restore(batch)
    return await target.replace(replace(mark, after=batch[-1].id))


async def _compare(source: Store, target: Store, kind: type[Document]) -> CopiedCollection:
    expected, actual = await _digest(source.scan(kind)), await _digest(target.scan(kind))
    if expected != actual:
        raise CopyRefused(
            f"{kind.collection} differs: {expected[0]:,} documents with the digest {expected[1]} in the source, "
            f"{actual[0]:,} with {actual[1]} in the target. Was the source written to meanwhile? "
            "Empty the target and copy again"
        )
    return CopiedCollection(kind.collection, *expected)


async def _digest(documents: AsyncIterator[Document]) -> tuple[int, str]:
    count, digest, encode = 0, hashlib.sha256(), msgspec.json.Encoder().encode
    async for document in documents:
        digest.update(encode(to_the_millisecond(document)))
        count += 1
    return count, digest.hexdigest()[:16]


def to_the_millisecond(value: Any) -> Any:  # noqa: ANN401  a document or any part of one
    """Return a document with its instants truncated to the millisecond; older documents may be more precise."""
    if isinstance(value, datetime):
        return time.to_the_millisecond(value)
    if isinstance(value, Struct):
        return _changed(value)
    if isinstance(value, tuple):
        return tuple(to_the_millisecond(part) for part in value)  # pyright: ignore[reportUnknownVariableType]
    return value


def _changed(struct: Struct) -> Struct:
    fields = ((name, getattr(struct, name)) for name in struct.__struct_fields__)
    changes = {
        name: to_the_millisecond(value) for name, value in fields if isinstance(value, datetime | Struct | tuple)
    }
    return replace(struct, **changes) if changes else struct
