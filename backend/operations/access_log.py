"""The access log, and what every response carries: the id of its request, and headers that protect its content.

One JSON line per request contains what an operator needs and nothing about a person: the route template replaces the
path, and query, body and address are omitted. This is the only middleware around every request, so it is plain ASGI
and writes its lines in batches.
"""

import asyncio
import errno
import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

import msgspec
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from backend.operations.load_shedding import IN_FLIGHT, BegunRequest, LoadShedder, Unavailable
from backend.operations.metrics import AnsweredRequest, RequestCounts

REQUEST_ID = "request_id"
"""The key of `scope["state"]` under which the id of the request is stored."""
REFUSED_STATUS = "refused_status"
"""Likewise the status that the server front has answered in place of the application."""

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_FLUSH_SECONDS = 0.25
_MAX_LINES = 1_000
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"})
_METHOD_NAMES = {name.encode(): name for name in METHODS}
_REFUSAL_END = f'","route":null,"status":{Unavailable.status},"duration_ms":0.00,"request_id":"'
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONG_NUMBER = re.compile(r"\d{6,}[\dXx]?")


class AccessLog:
    """Wraps an ASGI application: assigns an id to each request, and writes a log line for it to standard output.

    A caller's own `X-Request-Id` is used if it has at most 64 letters, digits, `.`, `_` and `-`. Lines are written
    within a quarter of a second, or at once by `flush`.
    """

    def __init__(self, app: ASGIApp, load_shedder: LoadShedder, *, writes: bool = True) -> None:
        self.request_counts = RequestCounts()
        self._app = app
        self.load_shedder = load_shedder
        self._writes = writes
        self._lines: list[str | AnsweredRequest] = []
        self._second = 0
        self._second_text = ""
        self._prefix = secrets.token_hex(6)
        self._counter = count(1)
        self._millisecond = 0
        self._refusal_start = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        scope["state"][REQUEST_ID] = request_id
        header = (b"x-request-id", request_id.encode())
        status = 500
        load_shedder = self.load_shedder
        begun: BegunRequest | None = scope["state"].get(IN_FLIGHT)
        request = begun or load_shedder.begin()
        scope["state"][IN_FLIGHT] = request
        is_read = False

        async def read() -> ReceiveMessage:
            nonlocal is_read
            if is_read:
                return await receive()
            load_shedder.wait(request)  # for the rest of its body
            try:
                message = await receive()
            finally:
                load_shedder.resume(request)
            is_read = not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    header,
                    *protective_headers(message["headers"], scope["scheme"]),
                ]
            load_shedder.wait(request)  # until its client reads
            try:
                await send(message)
            finally:
                load_shedder.resume(request)

        try:
            await self._app(scope, read, answer)
        finally:
            if begun is None:  # otherwise the server front ends it, with its task
                load_shedder.end(request)
            status = scope["state"].get(REFUSED_STATUS, status)
            self._note(scope, status, time.perf_counter() - request.begun, request_id)

    def note_refused(self, status: int, method: str | None = None) -> str:
        """Log a request that the server front refused before the application read it, and return its id."""
        request_id = self._new_id()
        self._note({"method": method}, status, 0.0, request_id)
        return request_id

    def note_overload(self, method: bytes) -> str:
        """Log and count a request that was refused because the process is overloaded, and return its id.

        For a tenth of the time of `note_refused`, since all that differs from one to the next is the id.
        """
        request_id = self._new_id()
        name = _METHOD_NAMES.get(method, "OTHER")
        refused = self.request_counts.refused
        refused[name] = refused.get(name, 0) + 1
        if self._writes:
            now = time.time()
            millisecond = int(now * 1_000)
            if millisecond != self._millisecond:
                self._millisecond = millisecond
                self._refusal_start = f'{{"time":"{self._timestamp(now)}","method":"'
            self._write_soon(f'{self._refusal_start}{name}{_REFUSAL_END}{request_id}"}}\n')
        return request_id

    def fault(self, scope: Mapping[str, Any], error: BaseException) -> None:
        """Log an internal error with its traceback; long numbers, which may belong to a person, are masked."""
        line = {
            "time": self._timestamp(time.time()),
            "fault": type(error).__name__,
            "route": scope.get("path_template"),
            "request_id": scope["state"].get(REQUEST_ID),
            "traceback": "".join(traceback.format_exception(error)),
        }
        self._lines.append(_as_line(line))
        self.flush()

    def flush(self) -> None:
        """Count pending requests, and write pending lines."""
        self.request_counts.count()
        lines = [line for line in self._lines if self._writes or isinstance(line, str)]
        self._lines = []
        try:
            sys.stdout.write("".join(line if isinstance(line, str) else self._line(line) for line in lines))
            sys.stdout.flush()
        except (OSError, ValueError) as error:  # the reader of the log is gone; requests continue without a log
            self._writes = self._writes and getattr(error, "errno", None) in _FULL_DISK  # those lines alone are lost

    def _note(self, scope: Mapping[str, Any], status: int, seconds: float, request_id: str) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        answered = (time.time(), method, scope.get("path_template"), status, seconds, request_id)
        self.request_counts.answered.append(answered)
        self._write_soon(answered)

    def _write_soon(self, line: str | AnsweredRequest) -> None:
        lines = self._lines
        lines.append(line)
        if len(lines) == 1:
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        elif len(lines) >= _MAX_LINES:
            self.flush()

    def _line(self, request: AnsweredRequest) -> str:
        at, method, template, status, seconds, request_id = request
        route = f'"{template}"' if template else "null"
        return (
            f'{{"time":"{self._timestamp(at)}","method":"{method}","route":{route},'
            f'"status":{status},"duration_ms":{seconds * 1000:.2f},"request_id":"{request_id}"}}\n'
        )

    def _timestamp(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{int((now - second) * 1000):03d}Z"

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                sent = value.decode("latin-1")
                if _VALID_ID.fullmatch(sent):
                    return sent
                break
        return self._new_id()

    def _new_id(self) -> str:
        return f"{self._prefix}{next(self._counter):06x}"


def protective_headers(headers: Iterable[tuple[bytes, bytes]], scheme: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that keep browsers and caches from misusing a response, unless it has its own."""
    names = {name for name, _ in headers}
    added: list[tuple[bytes, bytes]] = [_NOSNIFF]
    if b"cache-control" not in names:
        added.append(_NO_STORE)
    if b"content-security-policy" not in names:
        added.append(_NO_CONTENT)
    if scheme == "https":
        added.append(_HTTPS_ONLY)
    return added


def _as_line(members: Mapping[str, Any]) -> str:
    masked = {
        name: _LONG_NUMBER.sub("[number]", text) if name in _FREE_TEXT else text for name, text in members.items()
    }
    return msgspec.json.encode(masked).decode() + "\n"


_FREE_TEXT = ("message", "traceback")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _as_line(line).rstrip("\n")


def log_as_json_lines() -> None:
    """Write all log records of this process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
