"""Refusals of an overloaded server: answers that are prepared, and paced so that they do not become the load.

A refusal takes some microseconds. So clients that repeat a request at once would have it refused tens of thousands of
times a second, and that would take the processor from those who are served.
"""

import asyncio
import math
import re
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import httptools
import msgspec
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from backend.city.service import ProblemFormat
from backend.i18n import preferred_language
from backend.operations.access_log import protective_headers
from backend.operations.load_shedding import LoadShedder, Unavailable, unavailable
from backend.problems import PROBLEM_JSON
from backend.web.request_ranks import RequestRanks

PACE_SECONDS = 0.1
REFUSALS_PER_REQUEST, LEAST_REFUSALS = 4.5, 500
"""For each two requests that end, nine may be refused: if more than half of the capacity is served, the rest of three
times the capacity is refused without delay, and refusals take a third of the processor at most. In any tenth of a
second, 500 may be refused."""
MAX_DRAINED_BYTES = 1_000_000
"""Of the body of a request that is refused; if there are more, the connection ends."""
_BODILESS = (b"GET", b"HEAD")
_ID = "{request id}"
_ACCEPT_LANGUAGE = re.compile(rb"\naccept-language:([^\r\n]{0,300})", re.IGNORECASE)


class RefusedMessages:
    """Reads requests of a connection that are refused, and keeps nothing of them but what an answer needs."""

    def __init__(self, max_messages: int) -> None:
        self.complete: list[tuple[bytes, bool]] = []
        """The method of each request that is to be answered, and whether its connection is kept."""
        self.is_reading = False
        self.is_invalid = False
        self.has_headers = False
        self.size = 0
        """How many bytes of the present request were read."""
        self._max_messages = max_messages
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Read a part of a request, or several requests.

        One that waits for permission to send its body, or whose body is long, is to be answered before its end.
        """
        self.size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:  # or an upgrade, which is not followed by other requests
            self.is_invalid = True
            self.complete = [*self.complete[:-1], *((method, False) for method, _ in self.complete[-1:])]
            return
        if self.is_reading and self.has_headers and not self.complete:
            method = self._parser.get_method()
            if self.size > MAX_DRAINED_BYTES or (method not in _BODILESS and b"100-continue" in data.lower()):
                self.complete.append((method, False))

    # ── callbacks of the parser ──

    def on_message_begin(self) -> None:
        """Note that a request is being read. Raises OverflowError, which the parser reports, if there are too many."""
        if len(self.complete) == self._max_messages:
            raise OverflowError
        self.is_reading, self.has_headers = True, False

    def on_headers_complete(self) -> None:
        """Note that the body follows."""
        self.has_headers = True

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self.is_reading, self.size = False, 0
        is_kept = self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        self.complete.append((self._parser.get_method(), is_kept))


class PreparedAnswer(Struct):
    """A refusal without its date, its id and its length."""

    head: bytes
    body_start: bytes
    body_end: bytes
    _common: Sequence[tuple[bytes, bytes]] | None = None
    _start: bytes = b""

    def message(
        self, common: Sequence[tuple[bytes, bytes]], request_id: bytes, method: bytes, *, is_kept: bool
    ) -> bytes:
        """Return the refusal of one request, with the headers that are `common` to all responses."""
        if common is not self._common:  # the server makes new ones each second, with the date
            self._common = common
            lines = b"".join(b"%b: %b\r\n" % line for line in common)
            self._start = b"%b%b%bx-request-id: " % (STATUS_LINE[Unavailable.status], lines, self.head)
        end = b"" if is_kept else b"connection: close\r\n"
        length = len(self.body_start) + len(request_id) + len(self.body_end)
        if method == b"HEAD":
            return b"%b%b\r\ncontent-length: %d\r\n%b\r\n" % (self._start, request_id, length, end)
        return b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b%b%b" % (
            self._start,
            request_id,
            length,
            end,
            self.body_start,
            request_id,
            self.body_end,
        )


NO_ANSWER = PreparedAnswer(b"", b"", b"")


class Held(Protocol):
    """A connection whose refusal waits."""

    def release(self, now: float) -> None:
        """Send it now."""
        ...


class OverloadRefusals:
    """What the connections of a server share to refuse requests: ranks, prepared answers, and their pace."""

    def __init__(
        self, load_shedder: LoadShedder, ranks: RequestRanks, problem_formats: Sequence[ProblemFormat] = ()
    ) -> None:
        self.ranks = ranks
        self._formats = problem_formats
        self._prefixes = tuple(one.prefix.encode() for one in problem_formats)
        self._answers: dict[tuple[ProblemFormat | None, str, str], PreparedAnswer] = {}
        self._load_shedder = load_shedder
        self._left = self._earned = 0.0
        """How many refusals may be sent; how many were earned in this tenth of a second, by requests that ended."""
        self._ended = 0
        self._paced_until = 0.0
        self._held: deque[Held] = deque()
        self._releasing: asyncio.Handle | None = None
        self._releases_at = math.inf
        self._readers: list[RefusedMessages] = []

    def reader(self, max_messages: int) -> RefusedMessages:
        """Return what reads the requests of one connection until `reuse`.

        The one that was used last is used next, since one for each connection would be in no cache of the processor.
        """
        return self._readers.pop() if self._readers else RefusedMessages(max_messages)

    def reuse(self, reader: RefusedMessages) -> None:
        """Let another connection use a reader that has read complete requests, none of which was the last one."""
        self._readers.append(reader)

    def answer_to(self, data: bytes, scheme: str) -> PreparedAnswer:
        """Return the answer to a request that begins with `data`, in its language and in the format of its path."""
        used = None
        if data.startswith(self._prefixes, data.find(b" ") + 1):
            used = self._format_of(data)
        key = (used, _language(_accept_language(data)), scheme)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = _prepared(*key)
        return answer

    def _format_of(self, data: bytes) -> ProblemFormat | None:
        path = data.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")
        return next((one for one in self._formats if one.covers(path)), None)

    def pace(self, connection: Held, now: float) -> bool:
        """Return whether a refusal may be sent at once; if not, the connection is called in a moment."""
        self._earn(now)
        if self._left >= 1 and not self._held:
            self._left -= 1
            return True
        self._held.append(connection)
        self._release_soon(now)
        return False

    def _earn(self, now: float) -> None:
        """Count the refusals that the requests earned which ended since, and those of a tenth of a second."""
        ended = self._load_shedder.ended
        earned = REFUSALS_PER_REQUEST * (ended - self._ended)
        self._ended = ended
        self._left += earned
        self._earned += earned
        if now >= self._paced_until:
            allowed = max(LEAST_REFUSALS, self._earned)
            self._left = min(allowed, self._left + allowed - self._earned)
            self._earned = 0
            self._paced_until = now + PACE_SECONDS

    def _release_soon(self, now: float) -> None:
        at = now if self._left >= 1 else self._paced_until
        if at < self._releases_at:
            if self._releasing is not None:
                self._releasing.cancel()
            self._releasing = asyncio.get_running_loop().call_later(at - now, self._release)
            self._releases_at = at

    def _release(self) -> None:
        self._releasing, self._releases_at = None, math.inf
        now = asyncio.get_running_loop().time()
        self._earn(now)
        while self._held and self._left >= 1:
            self._left -= 1
            self._held.popleft().release(now)  # which may be held again at once
        if self._held:
            self._release_soon(now)


def _accept_language(data: bytes) -> bytes:
    """Return the languages that a request prefers; empty if it does not say."""
    found = _ACCEPT_LANGUAGE.search(data)
    return found[1] if found else b""


@lru_cache(maxsize=1_000)
def _language(accept_language: bytes) -> str:
    return preferred_language(accept_language.decode("latin-1").strip())


def _prepared(used: ProblemFormat | None, language: str, scheme: str) -> PreparedAnswer:
    problem = unavailable()
    body: dict[str, Any] = used.body(problem, language, _ID) if used else problem.body(language, _ID)
    start, _, end = msgspec.json.encode(body).partition(_ID.encode())
    lines = [
        (b"content-type", (used.media_type if used else PROBLEM_JSON).encode()),
        (b"content-language", language.encode()),
        (b"vary", b"Accept-Language"),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        *protective_headers((), scheme),
    ]
    return PreparedAnswer(b"".join(b"%b: %b\r\n" % line for line in lines), start, end)
