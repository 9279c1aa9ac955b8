"""The rank of a request by its first bytes, so that the server front can refuse it before the application reads it.

The ranks are those of the routes: their declared priority, and the audience of their guards.
"""

from collections.abc import Mapping, Sequence

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from backend.city.service import ProblemFormat
from backend.operations.load_shedding import Audience, Rank, priority_of
from backend.security.identity import RoleGuard

RequestRanks = Mapping[bytes, Rank | None]
"""The rank by method and path, such as `GET /v1/me`; None if such requests are never refused."""

_ANY = Rank()
_MAX_PARAMETERS = 6
"""How many last parts of a path may be parameters."""


def request_ranks(app: Litestar) -> RequestRanks:
    """Return the ranks of an application's routes. A template counts as its part before the first parameter.

    Paths with a format of Problems of their own are for connected systems.
    """
    formats: Sequence[ProblemFormat] = app.state.problem_formats
    ranks: dict[bytes, Rank | None] = {}
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            path = route.path_format.partition("/{")[0]
            is_connected = any(one.covers(path) for one in formats)
            rank = None if handler.opt.get("always_admitted") else _rank(handler, is_connected=is_connected)
            for method in handler.http_methods:
                key = f"{method} {path}".encode()
                if path == route.path_format or key not in ranks:
                    ranks[key] = rank
    return ranks


def _rank(handler: HTTPRouteHandler, *, is_connected: bool) -> Rank:
    guards = [guard for guard in handler.resolve_guards() if isinstance(guard, RoleGuard)]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    audience: Audience = "citizens"
    if any(guard.by_venue for guard in guards):
        audience = "gates"
    elif guards or is_connected:
        audience = "institutions"
    return Rank(priority_of(handler), audience)


def rank_of(data: bytes, ranks: RequestRanks) -> Rank | None:
    """Return the rank of the request that begins with `data`; None if it is never refused, or is not known yet."""
    end = data.find(b" ", data.find(b" ") + 1)
    if end < 0:
        return None
    question_mark = data.find(b"?", 0, end)
    key = data[: end if question_mark < 0 else question_mark]
    rank = ranks.get(key, _ANY)
    if rank is not _ANY:
        return rank
    for _ in range(_MAX_PARAMETERS):
        key = key.rpartition(b"/")[0]
        if key in ranks:
            return ranks[key] or _ANY
    return _ANY
