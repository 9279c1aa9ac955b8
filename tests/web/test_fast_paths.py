"""The shortcuts in the handling of a request have the same result as the framework's code."""

import gc
import weakref
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from litestar import Litestar, Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.testing import TestClient

from backend.city import fast_clock
from backend.cli.garbage_collection import collect_rarely
from backend.operations.load_shedding import LoadShedder
from backend.security.identity import Connection
from backend.store import time
from backend.web.fast_paths import city_of, guard_directly

CITY = "a city"


async def admit_names(connection: Connection, handler: BaseRouteHandler) -> None:
    if "name" not in connection.query_params:
        raise NotAuthorizedException
    connection.scope["state"]["admitted"] = (connection.query_params["name"], handler.opt["door"])


async def admit_adults(connection: Connection, _handler: BaseRouteHandler) -> None:
    if connection.query_params.get("age", "0") < "18":
        raise NotAuthorizedException


@get("/house", guards=[admit_names, admit_adults], door="front")
async def enter(request: Request[Any, Any, State]) -> list[str]:
    return [*request.scope["state"]["admitted"]]


@get("/injected", guards=[admit_names], door="back")
async def read_injected(city: NamedDependency[str]) -> str:
    return city


@get("/from-state", guards=[admit_names], door="back")
async def read_from_state(request: Request[Any, Any, State]) -> str:
    city: object = city_of(request)
    return str(city)


async def provide_city() -> str:
    return CITY


def house(*, direct: bool) -> TestClient[Litestar]:
    app = Litestar(
        [enter, read_injected, read_from_state],
        dependencies={"city": Provide(provide_city)},
        state=State({"city": CITY}),
        openapi_config=None,
        logging_config=None,
    )
    if direct:
        guard_directly(app, LoadShedder())
    return TestClient(app)


@pytest.mark.parametrize("query", ["", "?name=Anna", "?name=Anna&age=17", "?name=Anna&age=18", "?age=18"])
def test_guards_that_are_called_directly_decide_as_the_framework_does(query: str) -> None:
    plain, direct = (house(direct=direct).get(f"/house{query}") for direct in (False, True))
    assert (plain.status_code, plain.json()) == (direct.status_code, direct.json())
    assert plain.status_code == (200 if query == "?name=Anna&age=18" else 401)


def test_the_city_of_the_state_is_the_injected_one() -> None:
    client = house(direct=True)
    injected, read = (client.get(f"/{path}?name=Anna").text for path in ("injected", "from-state"))
    assert injected == read == CITY


def test_an_instant_is_truncated_as_by_replacing_its_microseconds() -> None:
    random = Random(7)
    for _ in range(2_000):
        at = datetime(2022, 4, 20, tzinfo=UTC) + timedelta(microseconds=random.randrange(10**13))
        assert fast_clock.to_the_millisecond(at) == time.to_the_millisecond(at)


class Knot:
    """An object that only the garbage collector frees."""

    def __init__(self) -> None:
        self.itself = self


def test_cycles_are_still_freed_when_garbage_is_collected_seldom() -> None:
    before = gc.get_threshold()
    try:
        collect_rarely()
        seen = weakref.ref(Knot())
        gc.collect()
        assert seen() is None
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
