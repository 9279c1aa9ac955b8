"""Garbage collection of a server process.

Why: Python looks for reference cycles after every 700 new objects, and examines all modules, rules and routes again
whenever the oldest generation is due. Gain: 1.0 to 1.1 times as many health codes per second (shared machine).
"""

import gc


def collect_rarely() -> None:
    """Exclude all existing objects from garbage collection, and collect less often. Cycles are still freed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
