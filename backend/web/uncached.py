"""A response that is encoded immediately and marked no-store.

The health code is requested more often than anything else in the city, and the framework's conversion of a Struct to
bytes takes as long as all the rules together.
"""

from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request, Response
from litestar.datastructures import ResponseHeader
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

T = TypeVar("T")

NO_STORE = [
    ResponseHeader(
        name="Cache-Control", value="no-store", documentation_only=True, description="A code must not be stored."
    )
]
"""The headers of an Uncached response in the OpenAPI document."""

UNCACHED_HEADERS = {"Cache-Control": "no-store"}

_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_encode = msgspec.json.Encoder().encode


class Uncached(Response[T], Generic[T]):
    """A Struct as JSON with `Cache-Control: no-store`."""

    def __init__(self, content: T, status_code: int = 200) -> None:
        self.body = _encode(content)
        self.status_code = status_code

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:  # noqa: ANN401, ARG002  the framework's signature
        """Return the response that is sent."""
        return _UncachedAnswer(self.body, self.status_code)


class _UncachedAnswer(ASGIResponse):
    def __init__(self, body: bytes, status_code: int) -> None:
        self.body = body
        self.status_code = status_code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        headers = [*_HEADERS, (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
