"""Files that the commands of rule authors create, for an editor and a repository that others share.

The `chengma` command keeps the files of a city to their owner. Rules and cases are no secrets: they are created with
the permissions that the author's own umask gives, as if an editor had created them.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click


def write_file(path: Path, text: str) -> None:
    """Write a file of an author and create its folder; a file that exists keeps its permissions."""
    with _umask_of_author():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@contextmanager
def _umask_of_author() -> Generator[None]:
    umask = click.get_current_context().find_root().obj
    if umask is None:  # a command that did not begin at `main`, which sets it
        yield
        return
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)
