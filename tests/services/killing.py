"""A store whose process is killed at a drawn write: just before it, or just after."""

from collections.abc import Sequence
from typing import Any, TypeVar

from backend.store import Document, Store

D = TypeVar("D", bound=Document)


class Killed(BaseException):
    """The process is gone; no `except Exception` hears of it."""


class KillingStore:
    """Passes calls on, and kills the process at the `countdown`-th write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.countdown: int | None = None
        self.after = False
        self.kills = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the store has
        return getattr(self._store, name)

    async def insert(self, document: D) -> D:
        return await self._write(self._store.insert, document)

    async def replace(self, document: D) -> D:
        return await self._write(self._store.replace, document)

    async def delete(self, document: Document) -> None:
        await self._write(self._store.delete, document)

    async def get_many(self, kind: type[D], document_ids: Sequence[str]) -> dict[str, D]:
        return await self._store.get_many(kind, document_ids)

    async def _write(self, write: Any, document: Any) -> Any:  # noqa: ANN401  any of the three
        if self.countdown is None:
            return await write(document)
        self.countdown -= 1
        dies = self.countdown < 0
        if dies:
            self.countdown = None
            self.kills += 1
            if not self.after:
                raise Killed
        done = await write(document)
        if dies:
            raise Killed
        return done
