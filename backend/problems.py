"""Errors that a caller can act on (RFC 9457).

A service declares its own Problems next to the rule that they protect. This module defines their wire format;
`backend.web.errors` sends them.
"""

import re
from typing import Any, ClassVar

from msgspec import Struct

from backend.i18n import Text

PROBLEM_JSON = "application/problem+json"

_TITLES_ZH = {
    400: "提交的内容有误",
    401: "请先登录",
    403: "没有权限",
    404: "没有找到",
    405: "不支持此操作",
    409: "与当前状态不符",
    413: "内容过大",
    415: "不支持的内容格式",
    422: "无法处理提交的内容",
    429: "操作太频繁",
    500: "系统出错",
    503: "暂时无法办理",
}
"""The Chinese titles of Problems that have none of their own, by status."""


class FieldError(Struct, frozen=True, omit_defaults=True):
    """An error in one place of a request: `pointer` is a JSON pointer into the body, or the parameter's name.

    `detail_zh` is the detail in Chinese, if there is one.
    """

    pointer: str
    detail: str
    detail_zh: str = ""

    def in_language(self, language: str) -> "FieldError":
        """Return the error as sent, with one detail, in `language` ("zh" or "en")."""
        return FieldError(self.pointer, (self.detail_zh if language == "zh" else "") or self.detail)


class Problem(Exception):
    """An error that a caller can act on.

    The detail is for a citizen: a Text, or its two languages as `zh` and `en`. `members` are for machines and are sent
    next to it. A subclass names its HTTP `status`, and its `title` unless its name says as much; `title_zh` translates
    the title. Its `type` is derived from its name. `after_effect` says that something was done for the request before
    it failed, so that a repeated request gets the same Problem and does nothing again.
    """

    status: ClassVar[int] = 409
    title: ClassVar[str] = "Problem"
    title_zh: ClassVar[str] = ""
    after_effect: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "title" not in vars(cls):
            cls.title = " ".join(_words(cls)).capitalize()

    def __init__(
        self,
        detail: Text | None = None,
        *,
        zh: str = "",
        en: str = "",
        errors: tuple[FieldError, ...] = (),
        headers: dict[str, str] | None = None,
        **members: Any,  # noqa: ANN401  extension members are free by RFC 9457, 3.2
    ) -> None:
        self.detail = detail or Text(zh=zh, en=en)
        super().__init__(self.detail.en)
        self.errors = errors
        self.headers = headers or {}
        self.members = members

    @classmethod
    def type_path(cls) -> str:
        """Return the Problem's type as a URI path, such as `/problems/credit-exhausted`."""
        return "/problems/" + "-".join(_words(cls))

    @classmethod
    def title_in(cls, language: str) -> str:
        """Return the title in `language` ("zh" or "en")."""
        return cls.title if language != "zh" else cls.title_zh or _TITLES_ZH.get(cls.status, cls.title)

    def body(self, language: str, request_id: str) -> dict[str, Any]:
        """Return the members of the response, with the texts in `language` ("zh" or "en")."""
        body: dict[str, Any] = {
            "type": self.type_path(),
            "title": self.title_in(language),
            "status": self.status,
            "detail": self.detail.in_language(language),
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = tuple(error.in_language(language) for error in self.errors)
        return body | self.members


def _words(problem: type[Problem]) -> list[str]:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", problem.__name__).lower().split()


class InvalidRequest(Problem):
    """The request does not match the OpenAPI document."""

    status, title = 400, "Invalid request"


class NotSignedIn(Problem):
    """The request has no access token, or one that is forged, foreign or expired."""

    status, title = 401, "Not signed in"


class NotAllowed(Problem):
    """The caller is known but may not do this."""

    status, title = 403, "Not allowed"


class NotFound(Problem):
    """There is nothing at this address that the caller may see."""

    status, title = 404, "Not found"


class MethodNotAllowed(Problem):
    """The route exists, but not for this method."""

    status, title = 405, "Method not allowed"


class EditConflict(Problem):
    """Someone else changed the same document at the same time; the request can be repeated."""

    status, title, title_zh = 409, "Edit conflict", "内容刚刚被更改"


class BodyTooLarge(Problem):
    """The request body is larger than the server accepts."""

    status, title = 413, "Body too large"


class UnsupportedMediaType(Problem):
    """The body has a media type that this route does not read."""

    status, title = 415, "Unsupported media type"


class TooManyRequests(Problem):
    """The caller sends too many requests; `Retry-After` says how long to wait."""

    status, title = 429, "Too many requests"


class InternalError(Problem):
    """An error of the server. The response contains only the request id, which identifies the log entry."""

    status, title = 500, "Internal error"
