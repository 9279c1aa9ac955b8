"""The client's address and scheme behind trusted proxies."""

from typing import Any, cast

from litestar.types import ASGIApp, Receive, Scope, Send

from backend.security.client_address import TrustedProxies, peer_of


class Forwarded:
    """Wraps an ASGI application: requests of trusted proxies get the address and scheme that these forward."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and self._proxies.trusts(peer_of(scope)):
            request = cast("dict[str, Any]", scope)
            request["client"] = (self._proxies.client(peer_of(scope), _values(request, b"x-forwarded-for")), 0)
            scheme = ",".join(_values(request, b"x-forwarded-proto")).rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                request["scheme"] = scheme
        await self._app(scope, receive, send)


def _values(scope: dict[str, Any], header: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == header]
