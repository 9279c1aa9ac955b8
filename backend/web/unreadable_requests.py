"""The Problems of requests that the server front cannot read to their end, and how it answers with them."""

from collections.abc import Sequence

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from backend.i18n import Text
from backend.operations.access_log import protective_headers
from backend.problems import PROBLEM_JSON, FieldError, InvalidRequest, Problem


class HeadersTooLarge(Problem):
    """The request line and the headers, or the trailers and chunk extensions, are larger than the server accepts."""

    status, title, title_zh = 431, "Headers too large", "请求头过大"


class RequestTimeout(Problem):
    """The client did not finish sending the request in time."""

    status, title, title_zh = 408, "Request timeout", "提交超时"


NOT_HTTP = InvalidRequest(
    Text(zh="提交的内容有误，请核对后重试。", en="The request is invalid; please check it and try again."),
    errors=(FieldError("", "The request is not HTTP/1.1 as RFC 9112 defines it.", "请求不符合HTTP/1.1规范。"),),
)
HEADERS_TOO_LARGE = HeadersTooLarge(
    Text(zh="请求头过大，请清除浏览器Cookie后重试。", en="The headers of the request are larger than 32 KB.")
)
TIMED_OUT = RequestTimeout(
    Text(zh="未能及时收到完整的请求，请检查网络后重试。", en="The request did not arrive in time; please try again.")
)


def last_response(
    problem: Problem, language: str, request_id: str, common: Sequence[tuple[bytes, bytes]], scheme: str
) -> bytes:
    """Return the last response of a connection: a Problem, with the headers that are `common` to all responses."""
    body = msgspec.json.encode(problem.body(language, request_id))
    lines = [
        *common,
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"content-language", language.encode()),
        (b"x-request-id", request_id.encode()),
        *protective_headers((), scheme),
        (b"connection", b"close"),
    ]
    head = b"".join(b"%b: %b\r\n" % line for line in lines)
    return STATUS_LINE[problem.status] + head + b"\r\n" + body
