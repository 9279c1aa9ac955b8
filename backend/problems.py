"""Errors that a caller can act on, as RFC 9457 describes them.

A service declares its own Problems beside the rule they protect. What a Problem looks like on the wire is written here
once; `backend.app` hands it to the HTTP server.
"""

import re
from typing import Any, ClassVar

from msgspec import Struct

from backend.i18n import Text


class FieldError(Struct, frozen=True):
    """What is wrong with one place of a request: `pointer` is a JSON pointer into the body, or the parameter's name."""

    pointer: str
    detail: str


class Problem(Exception):
    """An error a caller can act on.

    `detail` is for a citizen; `members` are for machines and stand beside it in the answer. A subclass names its HTTP
    `status` and `title`; its `type` follows from its name.
    """

    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(
        self,
        detail: Text,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: dict[str, str] | None = None,
        **members: Any,  # noqa: ANN401  extension members are free by RFC 9457, 3.2
    ) -> None:
        super().__init__(detail.en)
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.members = members

    @classmethod
    def type_path(cls) -> str:
        """Give the Problem's type as a URI path, such as `/problems/credit-exhausted`."""
        return "/problems/" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()

    def body(self, language: str, request_id: str) -> dict[str, Any]:
        """Give the members of the answer, `detail` in `language` ("zh" or "en")."""
        body: dict[str, Any] = {
            "type": self.type_path(),
            "title": self.title,
            "status": self.status,
            "detail": self.detail.in_language(language),
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        return body | self.members


class InvalidRequest(Problem):
    """The request does not have the form that the OpenAPI document gives it."""

    status, title = 400, "Invalid request"


class NotSignedIn(Problem):
    """The request carries no access token, or one that is forged, foreign or expired."""

    status, title = 401, "Not signed in"


class NotAllowed(Problem):
    """The caller is known but may not do this."""

    status, title = 403, "Not allowed"


class NotFound(Problem):
    """There is nothing here that the caller may see."""

    status, title = 404, "Not found"


class MethodNotAllowed(Problem):
    """The route exists, but not for this method."""

    status, title = 405, "Method not allowed"


class EditConflict(Problem):
    """Somebody else changed the same thing at the same time; asking again is safe."""

    status, title = 409, "Changed meanwhile"


class BodyTooLarge(Problem):
    """The request's body is larger than the server accepts."""

    status, title = 413, "Body too large"


class UnsupportedMediaType(Problem):
    """The body is not in a media type that this route reads."""

    status, title = 415, "Unsupported media type"


class TooManyRequests(Problem):
    """The caller asks too often; `Retry-After` says when to come back."""

    status, title = 429, "Too many requests"


class InternalError(Problem):
    """A fault of ours. It says nothing but the request id, by which the log is found."""

    status, title = 500, "Internal error"
