"""Garbage collection of a server process, and of a short command.

Why: Python looks for reference cycles after every 700 new objects, and examines all modules, rules and routes again
whenever the oldest generation is due. Gain: 1.0 to 1.1 times as many health codes per second (shared machine).
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


def collect_rarely() -> None:
    """Exclude all existing objects from garbage collection, and collect less often. Cycles are still freed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def no_collection() -> Generator[None, None, None]:
    """Collect nothing while much is read and little thrown away: a fifth of the time of `chengma rules check`."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
