"""A process that writes until it is killed, and prints what the store acknowledged.

Each line is `id revision`, written after the store acknowledged that revision.
"""

import asyncio
import sys
from pathlib import Path

from msgspec.structs import replace

from backend.store.sqlite.store import SqliteStore
from tests.store.scene import KINDS, Letter


async def write_forever(store: SqliteStore, start: int, writer: int) -> None:
    for number in range(10**9):
        letter = await store.insert(Letter(id=f"{start}-{writer}-{number}", stamp=f"{start}.{writer}.{number}"))
        print(letter.id, letter.revision, flush=True)  # noqa: T201  the acknowledgement
        for _ in range(3):
            letter = await store.replace(replace(letter, text=letter.text + "." * 200))
            print(letter.id, letter.revision, flush=True)  # noqa: T201  likewise


async def main(path: Path, start: int) -> None:
    store = SqliteStore.open(path, KINDS)
    await asyncio.gather(*(write_forever(store, start, writer) for writer in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
