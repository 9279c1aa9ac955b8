"""Shortcuts around the framework on the path of every request.

Each has the same result as the framework's own code; `tests/web/test_fast_paths.py` compares them.
"""

from typing import Any, cast

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from backend.city.service import City
from backend.operations.load_shedding import IN_FLIGHT, LoadShedder, priority_of
from backend.security.identity import Connection, Guard


def city_of(request: Request[Any, Any, Any]) -> City:
    """Return the City of a request without dependency injection.

    Why: Litestar resolves dependencies for each request. Gain: 1.07 times as fast for an empty route.
    """
    return cast("City", request.app.state.city)


def guard_directly(app: Litestar, load_shedder: LoadShedder) -> None:
    """Let each route call its guards directly, after the load shedder has admitted the request.

    Why: Litestar copies the handler for each guard of each request; our guards do not need the copy.
    Gain: 1.5 times as fast for an empty route.
    """
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            _guard_handler(handler, load_shedder)


def _guard_handler(handler: HTTPRouteHandler, load_shedder: LoadShedder) -> None:
    guards = cast("list[Guard]", handler.resolve_guards())  # pyright: ignore[reportUnknownMemberType]
    priority = priority_of(handler)
    always_admitted = bool(handler.opt.get("always_admitted"))

    async def authorize(connection: Connection) -> None:
        if not always_admitted:
            load_shedder.admit(priority, connection.scope["state"].get(IN_FLIGHT))
        for guard in guards:
            await guard(connection, handler)

    if guards:
        handler.authorize_connection = authorize
