"""Forwarded addresses count from configured proxies only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec.structs import replace

from backend.app import create_app
from backend.security.client_address import TrustedProxies, subscriber
from backend.settings import InvalidSettings, Settings, parse_networks, read_settings
from tests.cli.command import running
from tests.conftest import Clock
from tests.servers import city_environment, free_port

PROXIES = TrustedProxies(parse_networks("10.0.0.0/8, 2001:db8:ffff::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", ["1.2.3.4"], "203.0.113.5"),
        ("127.0.0.1", ["1.2.3.4"], "127.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, <script>"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, 999.1.1.1, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["fe80::1%" + 100 * "e"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::7]:5678"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("2001:db8:ffff::1", ["1.2.3.4"], "1.2.3.4"),
        ("", ["1.2.3.4"], ""),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client(peer, forwarded) == client


@pytest.mark.parametrize(
    ("address", "counted_by"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_addresses_of_one_subscriber_are_counted_together(address: str, counted_by: str) -> None:
    assert subscriber(address) == counted_by


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "proxy", "10.0.0.0/99", "10.0.0.0/8;192.0.2.7"])
def test_malformed_networks_of_proxies_are_refused_at_the_start(networks: str) -> None:
    with pytest.raises(InvalidSettings, match="CHENGMA_TRUSTED_PROXIES"):
        read_settings({"CHENGMA_TRUSTED_PROXIES": networks})


def answers(app: Litestar, peer: str, headers: Sequence[dict[str, str]]) -> list[httpx.Response]:
    """Return the answers to requests of a peer with these headers."""

    async def get() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=cast("Any", app), client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as sender:
            return [await sender.get("/.well-known/jwks.json", headers=each) for each in headers]

    with TestClient(app) as client:
        return client.blocking_portal.call(get)


def statuses(app: Litestar, count: int) -> list[int]:
    """Return the statuses of requests of a peer that forwards a new address each time."""
    forwarded = [{"X-Forwarded-For": f"6.6.6.{number}"} for number in range(count)]
    return [answer.status_code for answer in answers(app, "127.0.0.1", forwarded)]


def few_requests(settings: Settings, **changed: Any) -> Settings:  # noqa: ANN401  settings of several types
    return replace(settings, address_requests_per_minute=3, **changed)


def test_nobody_escapes_the_budget_of_their_address_by_inventing_others(settings: Settings, clock: Clock) -> None:
    app = create_app(few_requests(settings), clock=clock)
    assert statuses(app, 5) == [200] * 3 + [429] * 2


def test_behind_a_trusted_proxy_each_client_has_its_own_budget(settings: Settings, clock: Clock) -> None:
    app = create_app(few_requests(settings, trusted_proxies="127.0.0.0/8"), clock=clock)
    assert statuses(app, 5) == [200] * 5


@pytest.mark.parametrize(("proxies", "protected"), [("", False), ("127.0.0.1", True)])
def test_only_a_trusted_proxy_says_that_a_request_came_by_tls(
    settings: Settings, clock: Clock, proxies: str, protected: bool
) -> None:
    app = create_app(replace(settings, trusted_proxies=proxies), clock=clock)
    (answer,) = answers(app, "127.0.0.1", [{"X-Forwarded-Proto": "https"}])
    assert ("strict-transport-security" in answer.headers) is protected


@pytest.mark.slow
def test_a_served_city_believes_nobody_on_its_own_machine(tmp_path: Path) -> None:
    settings = {"address_requests_per_minute": 150, "port": free_port(), "metrics_port": 0}
    environment = city_environment(tmp_path, f"sqlite:///{tmp_path}/city.db", "", **settings)
    with running("serve", environment=environment, folder=tmp_path) as (client, _):
        forwarded = [{"X-Forwarded-For": f"6.6.{number}.6", "X-Forwarded-Proto": "https"} for number in range(180)]
        answers = [client.get("/.well-known/jwks.json", headers=each) for each in forwarded]
    assert 429 in [answer.status_code for answer in answers]
    assert not any("strict-transport-security" in answer.headers for answer in answers)
