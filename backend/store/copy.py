"""Moving a city from one store to another: resumable, and verified at the end by counts and hashes."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backend.store import Document, Store

BATCH = 1_000


class CopyProgress(Document, kw_only=True):
    """How far a collection was copied: up to the id `after`. Its `id` is the collection's name."""

    collection: ClassVar[str] = "copy_progress"

    source: str
    after: str = ""


class CopiedCollection(Struct, frozen=True):
    """A collection that is the same on both sides."""

    collection: str
    count: int
    digest: str


class CopyRefused(Exception):
    """The target holds something else, or what was copied is not the same. The message names it."""


async def copy_city(
    source: Store,
    target: Store,
    name: str,
    kinds: Sequence[type[Document]],
    progress: Callable[[str, int, int], None],
) -> list[CopiedCollection]:
    """Copy every collection, then compare them, and give what is the same. Raises CopyRefused.

    `name` names the source, so that an interrupted copy is gone on with from the same one. `progress` is told the
    collection, how many documents are done, and how many there are.
    """
    wanted = [kind for kind in kinds if kind is not CopyProgress]
    await _refuse_other_cities(target, name, wanted)
    for kind in wanted:
        await _copy(source, target, name, kind, progress)
    copied = [await _compare(source, target, kind) for kind in wanted]
    for kind in wanted:
        done = await target.get(CopyProgress, kind.collection)
        if done is not None:
            await target.delete(done)
    return copied


async def _refuse_other_cities(target: Store, name: str, kinds: Sequence[type[Document]]) -> None:
    for kind in kinds:
        progress = await target.get(CopyProgress, kind.collection)
        if progress is not None and progress.source != name:
            raise CopyRefused(f"the target holds part of a copy of {progress.source}: go on with that, or empty it")
        if progress is None and await target.count(kind, {}):
            raise CopyRefused(f"the target holds {kind.collection} of its own: copy into an empty store")


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
    one, other = await _digest(source.scan(kind)), await _digest(target.scan(kind))
    if one != other:
        raise CopyRefused(
            f"{kind.collection} differs: {one[0]:,} documents with the digest {one[1]} in the source, {other[0]:,} "
            f"with {other[1]} in the target. Was the source written to meanwhile? Empty the target and copy again"
        )
    return CopiedCollection(kind.collection, *one)


async def _digest(documents: AsyncIterator[Document]) -> tuple[int, str]:
    count, digest, encode = 0, hashlib.sha256(), msgspec.json.Encoder().encode
    async for document in documents:
        digest.update(encode(to_the_millisecond(document)))
        count += 1
    return count, digest.hexdigest()[:16]


def to_the_millisecond(value: Any) -> Any:  # noqa: ANN401  a document or any part of one
    """Give a document with its instants to the millisecond, as every store keeps them; an older city has finer ones."""
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
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
