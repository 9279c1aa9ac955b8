"""How requests are read strictly, and how what went wrong is said in HTTP, as RFC 9457 describes it."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.status_codes import HTTP_401_UNAUTHORIZED

from backend.city.service import ProblemFormat
from backend.i18n import Text, preferred_language
from backend.operations.access_log import REQUEST_ID
from backend.operations.load_shedding import unavailable
from backend.problems import (
    BodyTooLarge,
    EditConflict,
    FieldError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Problem,
    TooManyRequests,
    UnsupportedMediaType,
)
from backend.store import Conflict, InvalidCursor, StoreUnavailable

AnyRequest = Request[Any, Any, Any]
PROBLEM_JSON = "application/problem+json"
_PLAIN_JSON = (b"content-type", b"application/json")


class StrictRequest(Request[Any, Any, State]):
    """A request whose JSON body is read strictly into what the handler declares: no text passes for a number.

    Litestar would first decode to plain objects and then convert them leniently.
    """

    async def json(self) -> Any:  # noqa: ANN401  any Struct that a handler declares
        """Read the body. Raises UnsupportedMediaType or InvalidRequest."""
        if _PLAIN_JSON not in self.scope["headers"]:  # which spares nearly every request the parsing of its header
            media_type = self.content_type[0].lower()
            if media_type != "application/json" and not media_type.endswith("+json"):
                raise UnsupportedMediaType(
                    Text(zh="请求体必须是 application/json。", en="The body must be sent as application/json.")
                )
        body = await self.body()
        try:
            return _decoder(self.route_handler.parsed_fn_signature.parameters["data"].annotation).decode(body)
        except msgspec.ValidationError as error:
            raise _invalid([field_error(str(error))]) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _invalid([FieldError("", f"The body is no JSON: {error}")]) from error

    async def body(self) -> bytes:
        """Read the body's bytes. Raises InvalidRequest if the caller hung up before the end."""
        try:
            return await super().body()
        except InternalServerException as error:
            raise _invalid([FieldError("", "The body ended early.")]) from error


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401  likewise
    return msgspec.json.Decoder(kind)


_PLACE = re.compile(r"^(?P<detail>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:missing required|unknown) field `(?P<name>.*)`$", re.DOTALL)


def field_error(message: str) -> FieldError:
    """Read msgspec's message, such as "Expected `int`, got `str` - at `$.x[1].n`", as a detail with a JSON pointer."""
    match = _PLACE.match(message)
    assert match, "every part of the pattern may be empty"
    steps = re.findall(r"[^.\[\]]+", match["path"] or "")
    if named := _NAMED.search(match["detail"]):
        steps.append(named["name"])
    escaped = [step.replace("~", "~0").replace("/", "~1") for step in steps]
    return FieldError("".join(f"/{step}" for step in escaped), match["detail"])


def _invalid(errors: Sequence[FieldError]) -> InvalidRequest:
    return InvalidRequest(
        Text(zh="请求格式不正确。", en="The request does not have the form that the document gives it."),
        errors=tuple(errors),
    )


def _answer_problem(request: AnyRequest, problem: Problem) -> Response[dict[str, Any]]:
    language = preferred_language(request.headers.get("accept-language", ""))
    headers = {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store", **problem.headers}
    if problem.status == HTTP_401_UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    for problem_format in cast("Sequence[ProblemFormat]", request.app.state.get("problem_formats", ())):
        if problem_format.covers(request.scope["path"]):
            said = problem_format.body(problem, language, request.scope["state"][REQUEST_ID])
            return Response(said, status_code=problem.status, media_type=problem_format.media_type, headers=headers)
    return Response(
        problem.body(language, request.scope["state"][REQUEST_ID]),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


_SAID: dict[int, tuple[type[Problem], Text]] = {
    401: (NotSignedIn, Text(zh="请先登录。", en="Sign in first.")),
    403: (NotAllowed, Text(zh="您无权进行此操作。", en="You may not do this.")),
    404: (NotFound, Text(zh="没有找到您请求的内容。", en="There is nothing here.")),
    405: (MethodNotAllowed, Text(zh="此地址不支持该方法。", en="This address does not know the method.")),
    413: (BodyTooLarge, Text(zh="请求体过大。", en="The body is too large.")),
    415: (UnsupportedMediaType, Text(zh="不支持的媒体类型。", en="The media type is not supported.")),
    429: (TooManyRequests, Text(zh="请求过于频繁，请稍后再试。", en="Too many requests; come back later.")),
}


def _answer_http_exception(request: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """Say what Litestar noticed by itself as a Problem."""
    if error.status_code >= 500:  # noqa: PLR2004  HTTP's own line between their faults and ours
        return _answer_fault(request, error)
    if error.status_code in _SAID:
        kind, detail = _SAID[error.status_code]
        return _answer_problem(request, kind(detail, headers=dict(error.headers or {})))
    errors = [_litestar_error(extra) for extra in error.extra or ()] if isinstance(error, ValidationException) else []
    return _answer_problem(request, _invalid(errors or [FieldError("", error.detail)]))


def _litestar_error(extra: Any) -> FieldError:  # noqa: ANN401  Litestar leaves the form of `extra` open
    if extra.get("source") == "body" or extra.get("key") == "data":
        return FieldError("", "The body is missing." if extra["message"] == "'data'" else extra["message"])
    return FieldError(extra.get("key", ""), field_error(extra["message"]).detail)


def _answer_conflict(request: AnyRequest, _error: Conflict) -> Response[dict[str, Any]]:
    detail = Text(
        zh="同一内容刚刚被他人更改，请重试。", en="Somebody else changed the same thing just now; please try again."
    )
    return _answer_problem(request, EditConflict(detail))


def _answer_invalid_cursor(request: AnyRequest, _error: InvalidCursor) -> Response[dict[str, Any]]:
    return _answer_problem(request, _invalid([FieldError("cursor", "This query did not make the cursor.")]))


def _answer_unavailable(request: AnyRequest, _error: StoreUnavailable) -> Response[dict[str, Any]]:
    request.app.state.load_shedder.note_store_away()
    return _answer_problem(request, unavailable())


def _answer_fault(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    request.app.state.access_log.fault(request.scope, error)
    detail = Text(
        zh="系统出错，我们已有记录。请稍后再试。", en="Something went wrong on our side, and is on record. Try later."
    )
    return _answer_problem(request, InternalError(detail))


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[Any, Any], Response[Any]]] = {
    Problem: _answer_problem,
    HTTPException: _answer_http_exception,
    Conflict: _answer_conflict,
    InvalidCursor: _answer_invalid_cursor,
    StoreUnavailable: _answer_unavailable,
    Exception: _answer_fault,
}
