"""Processes that write to a store until they are killed, and print what it acknowledged.

For each line `path start` on standard input a process is forked from this one, which has read all modules before.
`began pid` is printed first, then `id revision` after the store acknowledged each revision, at last `ended status`.
"""

import asyncio
import os
import sys
from pathlib import Path

from msgspec.structs import replace

from backend.store.sqlite.store import SqliteStore
from tests.store.scene import KINDS, Letter


async def write_forever(store: SqliteStore, start: int, writer: int) -> None:
    for number in range(10**9):
        letter = await store.insert(Letter(id=f"{start}-{writer}-{number}", stamp=f"{start}.{writer}.{number}"))
        say(letter.id, letter.revision)
        for _ in range(3):
            letter = await store.replace(replace(letter, text=letter.text + "." * 200))
            say(letter.id, letter.revision)


def say(*words: object) -> None:
    """Print a line with one call of the system, so that a kill never leaves half of it."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


async def work(path: Path, start: int) -> None:
    store = SqliteStore.open(path, KINDS)
    await asyncio.gather(*(write_forever(store, start, writer) for writer in range(8)))


def main() -> None:
    for line in sys.stdin:
        path, start = line.rsplit(maxsplit=1)
        child = os.fork()
        if not child:
            say("began", os.getpid())
            asyncio.run(work(Path(path), int(start)))
            raise AssertionError("it writes until it is killed")
        say("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
