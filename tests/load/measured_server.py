"""`chengma serve` with two switches: SIGUSR1 takes admission away, SIGUSR2 fills the room; sent again, back to normal.

So one process with one state of its memory is measured with and without what is to be compared.
"""

import runpy
import signal
import sys
import time
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backend.operations.load_shedding import MOST_ROOM, BegunRequest, LoadShedder
from backend.web import overload_refusals
from backend.web.bounded_protocol import BoundedProtocol
from backend.web.overload_refusals import OverloadRefusals

UNPACED = 1_000_000_000


def main() -> None:
    """Serve."""
    switched(signal.SIGUSR1, admit_all())
    switched(signal.SIGUSR2, admit_none())
    sys.argv = ["chengma", "serve"]
    runpy.run_module("backend", run_name="__main__")


def switched(number: signal.Signals, switch: Callable[[bool], None]) -> None:
    """Let a signal call `switch`, with True the first time and every second time from then on."""
    is_on = False

    def turn(*_: object) -> None:
        nonlocal is_on
        is_on = not is_on
        switch(is_on)

    signal.signal(number, turn)


def admit_all() -> Callable[[bool], None]:
    """Return the switch that takes away ranks, room and the times of requests; only while nothing is in flight."""
    begun = BegunRequest("citizens", time.perf_counter())

    def has_room(*_: object) -> bool:
        return True

    def begin(*_: object) -> BegunRequest:
        return begun

    def nothing(*_: object) -> None:
        pass

    start = HttpToolsProtocol._start_asgi_task
    bare: dict[type, dict[str, object]] = {
        BoundedProtocol: {"_has_room": has_room, "_start_asgi_task": start},
        LoadShedder: {"begin": begin, "admit": nothing, "wait": nothing, "resume": nothing, "end": nothing},
    }
    ours = {of: {name: vars(of)[name] for name in methods} for of, methods in bare.items()}

    def switch(is_on: bool) -> None:
        for of, methods in (bare if is_on else ours).items():
            for name, method in methods.items():
                setattr(of, name, method)

    return switch


def admit_none() -> Callable[[bool], None]:
    """Return the switch that fills the room with requests which never end, and refuses without a pace."""
    load_shedders: list[LoadShedder] = []
    make, paced = OverloadRefusals.__init__, overload_refusals.LEAST_REFUSALS

    def made(self: OverloadRefusals, load_shedder: LoadShedder, *rest: object) -> None:
        load_shedders.append(load_shedder)
        make(self, load_shedder, *rest)  # pyright: ignore[reportArgumentType]

    OverloadRefusals.__init__ = made

    def switch(is_on: bool) -> None:
        overload_refusals.LEAST_REFUSALS = UNPACED if is_on else paced
        for load_shedder in load_shedders:
            load_shedder.in_flight += MOST_ROOM * (2 if is_on else -2)
            for audience in load_shedder._in_flight_of:
                load_shedder._in_flight_of[audience] += MOST_ROOM * (2 if is_on else -2)

    return switch


if __name__ == "__main__":
    main()
