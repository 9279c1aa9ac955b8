"""Strict reading of requests, and errors as HTTP responses (RFC 9457)."""

import logging
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from typing import Any, Literal, cast

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.params import ParameterKwarg
from litestar.status_codes import HTTP_401_UNAUTHORIZED

from backend.city.service import ProblemFormat
from backend.i18n import Text, preferred_language
from backend.operations.access_log import REQUEST_ID
from backend.operations.load_shedding import IN_FLIGHT, not_writable, priority_of, unavailable
from backend.problems import (
    PROBLEM_JSON,
    BodyTooLarge,
    EditConflict,
    FieldError,
    InternalError,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Problem,
    TooManyRequests,
    UnsupportedMediaType,
)
from backend.store import Conflict, InvalidCursor, StoreNotWritable, StoreUnavailable
from backend.web.json_body import decode_body, field_error, invalid

_log = logging.getLogger("chengma.store")

AnyRequest = Request[Any, Any, Any]
_PLAIN_JSON = (b"content-type", b"application/json")


class StrictRequest(Request[Any, Any, State]):
    """A request whose JSON body is decoded strictly into the Struct that the handler declares.

    Litestar would decode to plain objects first and then convert them leniently, such as a text to a number.
    """

    async def json(self) -> Any:  # noqa: ANN401  any Struct that a handler declares
        """Return the decoded body. Raises UnsupportedMediaType or InvalidRequest."""
        if _PLAIN_JSON not in self.scope["headers"]:  # nearly all requests have exactly this header
            media_type = self.content_type[0].lower()
            if media_type != "application/json" and not media_type.endswith("+json"):
                raise UnsupportedMediaType(
                    Text(zh="提交的内容须为application/json格式。", en="The body must be sent as application/json.")
                )
        decoder = _decoder(self.route_handler.parsed_fn_signature.parameters["data"].annotation)
        return decode_body(await self.body(), decoder)

    async def body(self) -> bytes:
        """Return the bytes of the body. Raises InvalidRequest if the caller disconnected before the end.

        A slow client may finish sending when the process is overloaded, so it is admitted again: raises Unavailable.
        """
        is_first = self.is_connected
        try:
            body = await super().body()
        except InternalServerException as error:
            raise invalid([FieldError("", "The body ended early.", "提交的内容不完整。")]) from error
        if is_first and (load_shedder := self.app.state.get("load_shedder")):
            load_shedder.admit(priority_of(self.route_handler), self.scope["state"].get(IN_FLIGHT))
        return body


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401  likewise
    return msgspec.json.Decoder(kind)


def _answer_problem(request: AnyRequest, problem: Problem) -> Response[dict[str, Any]]:
    language = preferred_language(request.headers.get("accept-language", ""))
    headers = {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store", **problem.headers}
    if problem.status == HTTP_401_UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    for problem_format in cast("Sequence[ProblemFormat]", request.app.state.get("problem_formats", ())):
        if problem_format.covers(request.scope["path"]):
            body = problem_format.body(problem, language, request.scope["state"][REQUEST_ID])
            return Response(body, status_code=problem.status, media_type=problem_format.media_type, headers=headers)
    return Response(
        problem.body(language, request.scope["state"][REQUEST_ID]),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


_DETAILS: dict[int, tuple[type[Problem], Text]] = {
    401: (NotSignedIn, Text(zh="请先登录，或重新登录。", en="Please sign in, or sign in again.")),
    403: (
        NotAllowed,
        Text(zh="您的账号没有此项权限，请联系管理员。", en="Your account does not have this permission."),
    ),
    404: (NotFound, Text(zh="没有找到您要的内容，请核对后重试。", en="Nothing was found at this address.")),
    405: (MethodNotAllowed, Text(zh="此处不支持这种操作。", en="This address does not support the method.")),
    413: (BodyTooLarge, Text(zh="提交的内容过大，请减少后重试。", en="The body is too large.")),
    415: (UnsupportedMediaType, Text(zh="不支持提交内容的格式。", en="The media type is not supported.")),
    429: (
        TooManyRequests,
        Text(zh="操作太频繁，请1分钟后再试。", en="Too many requests; please try again in a minute."),
    ),
}


def _answer_http_exception(request: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """Return an error of the framework as a Problem."""
    if error.status_code >= 500:  # noqa: PLR2004  from here on the error is the server's
        return _answer_internal_error(request, error)
    if error.status_code in _DETAILS:
        kind, detail = _DETAILS[error.status_code]
        return _answer_problem(request, kind(detail, headers=dict(error.headers or {})))
    errors = (
        [_litestar_error(request, extra) for extra in error.extra or ()]
        if isinstance(error, ValidationException)
        else []
    )
    return _answer_problem(request, invalid(errors or [FieldError("", error.detail)]))


def _litestar_error(request: AnyRequest, extra: Any) -> FieldError:  # noqa: ANN401  Litestar does not type `extra`
    if extra.get("source") == "body" or extra.get("key") == "data":
        if extra["message"] == "'data'":
            return FieldError("", "The body is missing.", "没有提交内容。")
        return FieldError("", extra["message"])
    return _parameter_error(request, extra.get("key", ""), field_error(extra["message"]).detail)


def _parameter_error(request: AnyRequest, key: str, detail: str) -> FieldError:
    """Return the error of a handler's parameter `key`, under the name that the caller sends, with what is allowed."""
    parameter = request.route_handler.parsed_fn_signature.parameters.get(key)
    if parameter is None:
        return FieldError(key, detail)
    definition = parameter.kwarg_definition
    name = (definition.name if isinstance(definition, ParameterKwarg) else None) or key
    kinds = (parameter, *parameter.inner_types)
    if values := [str(value) for kind in kinds if kind.origin is Literal for value in kind.args]:
        return FieldError(name, f"Must be one of: {', '.join(values)}.", f"须为以下之一：{'、'.join(values)}。")
    if any(kind.annotation is date for kind in kinds):
        return FieldError(name, "Must be a date, such as 2026-11-24.", "须为日期，如2026-11-24。")
    return FieldError(name, detail)


def _answer_conflict(request: AnyRequest, _error: Conflict) -> Response[dict[str, Any]]:
    detail = Text(zh="同一内容刚刚被他人更改，请重试。", en="Someone else has just changed this; please try again.")
    return _answer_problem(request, EditConflict(detail))


def _answer_invalid_cursor(request: AnyRequest, _error: InvalidCursor) -> Response[dict[str, Any]]:
    return _answer_problem(
        request, invalid([FieldError("cursor", "The cursor belongs to another query.", "翻页位置无效，请重新查询。")])
    )


def _answer_not_writable(request: AnyRequest, error: StoreNotWritable) -> Response[dict[str, Any]]:
    _log.error("%s", error)
    return _answer_problem(request, not_writable())


def _answer_unavailable(request: AnyRequest, _error: StoreUnavailable) -> Response[dict[str, Any]]:
    request.app.state.load_shedder.note_store_unavailable()
    return _answer_problem(request, unavailable())


def _answer_internal_error(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    request.app.state.access_log.fault(request.scope, error)
    detail = Text(
        zh="系统出错，已自动记录，请稍后再试；急需办理请拨打12345。",
        en="An error occurred on our side and was logged; please try again later. If it is urgent, call 12345.",
    )
    return _answer_problem(request, InternalError(detail))


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[Any, Any], Response[Any]]] = {
    Problem: _answer_problem,
    HTTPException: _answer_http_exception,
    Conflict: _answer_conflict,
    InvalidCursor: _answer_invalid_cursor,
    StoreNotWritable: _answer_not_writable,
    StoreUnavailable: _answer_unavailable,
    Exception: _answer_internal_error,
}
