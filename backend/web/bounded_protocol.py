"""The connections of the server: limits on what a connection may send, how slowly, and how many connections there are.

uvicorn waits without end for the rest of a request, and its parser collects headers without end. So a few idle sockets
hold a process's files, and one endless header stalls its loop. The limits hold for each connection and not for each
address, since all connections through a proxy have the proxy's. If there are too many connections, those that have
waited longest for their clients are closed in favour of new ones: an honest client needs milliseconds.

If the process is overloaded, requests are refused here, before the application reads them; see `load_shedding`. Only a
request that begins when no other of its connection is in progress: pipelined ones are admitted by the application.
"""

import asyncio
import math
from heapq import nsmallest
from typing import Any, cast

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from backend.i18n import preferred_language
from backend.operations.access_log import REFUSED_STATUS, REQUEST_ID, AccessLog
from backend.operations.load_shedding import IN_FLIGHT, Audience, BegunRequest
from backend.problems import Problem
from backend.web.connection_limits import FRAMING_BYTES_PER_BYTE, SHARE_CLOSED, ConnectionLimits
from backend.web.overload_refusals import NO_ANSWER, OverloadRefusals, RefusedMessages
from backend.web.request_ranks import rank_of
from backend.web.unreadable_requests import HEADERS_TOO_LARGE, NOT_HTTP, TIMED_OUT, last_response


class _RefusedError(Exception):
    """Ends the parsing of a request that a callback of the parser refuses."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose client must send its requests, and read its responses, in time and in size.

    `close_if_overdue` must be called every second or so: a timer for each request would cost more.
    """

    # with more than 30 attributes in its dictionary, a connection would have a table of names of its own
    __slots__ = (
        "_access_log",
        "_audience",
        "_framing_bytes_left",
        "_has_answered",
        "_head_bytes",
        "_held_data",
        "_in_body",
        "_is_admitted",
        "_is_closing",
        "_is_held",
        "_is_refused",
        "_limits",
        "_load_shedder",
        "_payload_bytes",
        "_prepared",
        "_reading",
        "_refusals",
        "_refused",
        "_seconds_allowed",
        "_unanswered",
        "_waiting_since",
        "_write_deadline",
    )

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        limits: ConnectionLimits,
        access_log: AccessLog,
        refusals: OverloadRefusals,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._limits, self._access_log, self._refusals = limits, access_log, refusals
        self._load_shedder = access_log.load_shedder
        self._audience: Audience = "citizens"
        self._is_admitted = False
        self._reading: BegunRequest | None = None
        """The request that has begun and whose body is read; there is none if it waits for earlier ones."""
        self._refused: RefusedMessages | None = None
        self._prepared = NO_ANSWER
        self._is_held, self._held_data = False, b""
        """What came while a refusal waited; only then reading pauses, which costs more than a refusal."""
        self._waiting_since = 0.0
        self._seconds_allowed = math.inf
        """How long we wait for what the client is to send; infinite if we wait for nothing."""
        self._write_deadline = math.inf
        self._in_body = False
        self._unanswered = 0
        self._has_answered = self._is_refused = self._is_closing = False
        self._head_bytes = self._payload_bytes = self._framing_bytes_left = 0

    # ── events of the connection ──

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the deadline of the first request, and close others if there are too many."""
        super().connection_made(transport)
        self._wait(self._limits.header_seconds)
        if len(self.connections) > self._limits.connections:
            close_longest_waiting(connections_of(self.server_state), self._limits)

    def data_received(self, data: bytes) -> None:
        """Parse what was received, in pieces that are small enough to stop in time."""
        if self._is_refused:
            self._head_bytes += len(data)
            if self._head_bytes > 16 * self._limits.header_bytes:
                self.transport.abort()
            return
        if self._is_held:
            self._held_data += data
            self.flow.pause_reading()
            return
        if self._refused is not None:
            self._read_refused(self._refused, data)
            return
        if not self._head_bytes and not self._in_body and not self._unanswered and not self._has_room(data):
            self._prepared = self._refusals.answer_to(data, self.scheme or "http")
            self._refused = self._refusals.reader(self._limits.pipelined_requests)
            self._read_refused(self._refused, data)
            return
        size = self._limits.header_bytes
        for start in range(0, len(data), size):
            self._parse(data[start : start + size])
            if self._is_refused:
                return

    def _parse(self, data: bytes) -> None:
        was_in_body = self._in_body
        self._payload_bytes = 0
        if not was_in_body:
            self._head_bytes += len(data)
        assert self.parser is not None, "nothing is received after the connection is lost"
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to: the request is answered as it is
        except httptools.HttpParserError:
            if not self._is_refused:
                self._refuse(NOT_HTTP)
            return
        if not self._in_body:
            if self._head_bytes > self._limits.header_bytes:
                self._refuse(HEADERS_TOO_LARGE)
        elif was_in_body:
            allowed = self._framing_bytes_left + FRAMING_BYTES_PER_BYTE * self._payload_bytes
            self._framing_bytes_left = min(self._limits.header_bytes, allowed) - (len(data) - self._payload_bytes)
            if self._framing_bytes_left < 0:
                self._refuse(HEADERS_TOO_LARGE)
        if self._in_body and self._reading is not None:
            self._load_shedder.wait(self._reading)

    def pause_writing(self) -> None:
        """Start the deadline of a client that does not read its response."""
        super().pause_writing()
        self._write_deadline = self._time_to_flush()

    def resume_writing(self) -> None:
        """End that deadline."""
        super().resume_writing()
        if not self._is_closing:
            self._write_deadline = math.inf

    def _time_to_flush(self) -> float:
        size = self.transport.get_write_buffer_size()
        return self.loop.time() + self._limits.body_seconds + size / self._limits.bytes_per_second

    # ── overload ──

    def _has_room(self, data: bytes) -> bool:
        rank = rank_of(data, self._refusals.ranks)
        if rank is None:
            return True
        self._audience = rank.audience
        self._is_admitted = self._load_shedder.has_room(rank, is_first=not self._has_answered)
        return self._is_admitted

    def _read_refused(self, refused: RefusedMessages, data: bytes) -> None:
        """Read a request that is refused to its end, and then answer it; likewise those that come with it."""
        was_reading = refused.is_reading
        refused.feed(data)
        if was_reading:
            self._seconds_allowed += len(data) / self._limits.bytes_per_second
        elif refused.is_reading:
            self._wait(self._limits.body_seconds)
        self._head_bytes = refused.size
        if refused.size > self._limits.header_bytes and not refused.has_headers:
            self._refuse(HEADERS_TOO_LARGE)
        elif refused.is_invalid and not refused.complete:
            self._refuse(NOT_HTTP)
        elif refused.complete:
            now = self.loop.time()
            if self._refusals.pace(self, now):
                self._send_refusal(refused, now)
            else:
                self._is_held, self._seconds_allowed = True, math.inf

    def release(self, now: float) -> None:
        """Send the refusal that waits, and read on."""
        self._is_held = False
        if self._refused is None or self.transport.is_closing():
            return
        self._send_refusal(self._refused, now)
        self.flow.resume_reading()
        if self._held_data:
            data, self._held_data = self._held_data, b""
            self.data_received(data)

    def _send_refusal(self, refused: RefusedMessages, now: float) -> None:
        """Answer the requests that are refused and complete."""
        for method, is_kept in refused.complete:
            request_id = self._access_log.note_overload(method).encode()
            common = self.server_state.default_headers
            self.transport.write(self._prepared.message(common, request_id, method, is_kept=is_kept))
            if not is_kept:
                self._is_refused = True
                break
        refused.complete.clear()
        self._has_answered = True
        self._waiting_since = now
        self._seconds_allowed = self._limits.body_seconds if refused.is_reading else self._limits.idle_seconds
        if not refused.is_reading and not self._is_refused:
            self._refusals.reuse(refused)
            self._refused = None
        if self._is_refused or self.flow.write_paused:
            self._linger()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        request = self._load_shedder.begin(self._audience, is_admitted=self._is_admitted)
        self._is_admitted, self._reading = False, request
        cast("dict[str, Any]", cycle.scope)["state"][IN_FLIGHT] = request
        task = self.loop.create_task(self._run(cycle, app, request))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _run(self, cycle: RequestResponseCycle, app: ASGI3Application, request: BegunRequest) -> None:
        try:
            await cycle.run_asgi(app)
        finally:
            self._load_shedder.end(request)  # here, since a callback of the task would come after the next requests

    # ── callbacks of the parser ──

    def on_message_begin(self) -> None:
        """Start the deadline of the headers."""
        super().on_message_begin()
        self._wait(self._limits.header_seconds)

    def on_headers_complete(self) -> None:
        """Start the request unless its headers are too large, and the deadline of its body."""
        if self._head_bytes > self._limits.header_bytes and self._parsed_head_bytes() > self._limits.header_bytes:
            self._refuse(HEADERS_TOO_LARGE)
            raise _RefusedError
        if len(self.pipeline) >= self._limits.pipelined_requests:
            self._refuse(NOT_HTTP)
            raise _RefusedError
        self._reading = None
        super().on_headers_complete()
        self.headers = []  # trailers are appended to this list, and not to the headers of the request
        self._in_body = True
        self._unanswered += 1
        self._framing_bytes_left = self._limits.header_bytes
        self._wait(self._limits.body_seconds)

    def _parsed_head_bytes(self) -> int:
        assert self.parser is not None, "it is parsing"
        lines = sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        return len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n") + lines

    def on_body(self, body: bytes) -> None:
        """Let each part of a body extend its deadline."""
        super().on_body(body)
        self._payload_bytes += len(body)
        self._seconds_allowed += len(body) / self._limits.bytes_per_second

    def on_message_complete(self) -> None:
        """End the deadline: now the client waits for us, unless it has its response already."""
        super().on_message_complete()
        if self._reading is not None:
            self._load_shedder.resume(self._reading)
        self._in_body = False
        self._head_bytes = 0
        self._seconds_allowed = math.inf
        self._start_idling()

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or the idle time.

        In place of uvicorn's own, which starts a timer for each response.
        """
        self.server_state.total_requests += 1
        self._unanswered -= 1
        self._has_answered = True
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._start_idling()
        self._reading = None

    def _start_idling(self) -> None:
        if self._seconds_allowed == math.inf and not self._unanswered:
            self._wait(self._limits.idle_seconds)

    def _wait(self, seconds: float) -> None:
        self._waiting_since, self._seconds_allowed = self.loop.time(), seconds

    # ── ends ──

    @property
    def is_waiting(self) -> bool:
        """Return whether we wait for the client, and not the client for us."""
        return self._seconds_allowed < math.inf and not (self.flow.read_paused and not self._is_refused)

    @property
    def precedence(self) -> tuple[bool, float]:
        """Return a value that is higher for clients that have had an answer, and then for those who began later."""
        return self._has_answered, self._waiting_since

    def close_if_overdue(self, now: float) -> None:
        """Close the connection if a deadline has passed."""
        if self.transport.is_closing() and not self._is_closing:
            self._is_closing, self._write_deadline = True, self._time_to_flush()
        if now > self._write_deadline:
            self.transport.abort()
        elif not self.is_waiting:
            self._waiting_since = now
        elif now > self._waiting_since + self._seconds_allowed and not self._is_closing:
            self._end()

    def _end(self) -> None:
        if self._is_refused:
            self.transport.abort()
        elif self._head_bytes or self._in_body:
            self._refuse(TIMED_OUT)
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer the request that is being read with a problem, and close the connection.

        Without the answer if an earlier request, or this one, is being answered. Reads on for a moment: if the
        connection closed at once, TCP would drop the answer.
        """
        self._is_refused = True
        self._head_bytes = 0
        self._wait(self._limits.linger_seconds)
        if self._in_body and not self.pipeline and not self.cycle.response_started:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(problem)
        elif self._in_body:
            self.transport.close()
        elif self._unanswered:
            self.cycle.keep_alive = False
            self._seconds_allowed = math.inf
        else:
            self._answer(problem)

    def _answer(self, problem: Problem) -> None:
        headers, request_id = self.headers or [], ""
        if self._in_body:
            headers, state = self.scope["headers"], self.scope.setdefault("state", {})
            request_id, state[REFUSED_STATUS] = state.get(REQUEST_ID, ""), problem.status
        language = preferred_language(dict(headers).get(b"accept-language", b"").decode("latin-1"))
        request_id = request_id or self._access_log.note_refused(problem.status)
        common = self.server_state.default_headers
        self.transport.write(last_response(problem, language, request_id, common, self.scheme or "http"))
        self._end_writing()

    def _linger(self) -> None:
        """Read on for a moment after the last response: if the connection closed at once, TCP would drop it."""
        self._is_refused, self._head_bytes = True, 0
        self._wait(self._limits.linger_seconds)
        self._end_writing()

    def _end_writing(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


def connections_of(server_state: ServerState) -> set[BoundedProtocol]:
    """Return the open connections of a server."""
    return cast("set[BoundedProtocol]", server_state.connections)


def close_longest_waiting(connections: set[BoundedProtocol], limits: ConnectionLimits) -> None:
    """Close the connections whose clients have let us wait longest, first those that never completed a request."""
    waiting = [one for one in connections if one.is_waiting]
    for connection in nsmallest(1 + limits.connections // SHARE_CLOSED, waiting, key=lambda one: one.precedence):
        connections.discard(connection)
        connection.transport.abort()
