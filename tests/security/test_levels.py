"""Each route of citizens needs a level of identity, which the guide lists."""

import re

from litestar.handlers import HTTPRouteHandler

from backend.city.service import discover_services
from backend.security.identity import citizen, person_present
from tests.conftest import ROOT

LEVELS = {citizen: 2, person_present: 3}
BY_THE_BODY = {"POST /v1/school-lookups": 2, "POST /v1/school-lookups/explanations": 2}
"""Routes that need a level for a part of what they do."""


def listed_levels() -> dict[str, int]:
    """Return the levels in the guide, by method and path."""
    guide = (ROOT / "docs" / "account.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+ /v1/\S+)`[^|]*\| ([123]) \|$", guide, re.MULTILINE)
    return {route: int(level) for route, level in rows}


def guarded_levels() -> dict[str, int]:
    """Return the level that each route requires, by method and path."""
    handlers = [one for service in discover_services() for one in service.routes if isinstance(one, HTTPRouteHandler)]
    return {
        f"{method} {re.sub(r':[a-z]+}', '}', path)}": LEVELS[guard]
        for handler in handlers
        for guard in handler.guards or ()
        if guard in LEVELS
        for path in handler.paths
        for method in handler.http_methods - {"HEAD", "OPTIONS"}
    }


def test_the_guide_lists_the_level_of_each_route_of_citizens() -> None:
    assert listed_levels() == guarded_levels() | BY_THE_BODY


def test_what_moves_money_needs_the_person_to_be_present() -> None:
    present = {route for route, level in guarded_levels().items() if level == 3}
    assert {"POST /v1/me/medical-credit", "PUT /v1/me/talent/account", "POST /v1/me/claims"} <= present
