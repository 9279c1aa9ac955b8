"""What the client of a connection may send, how slowly, and how many connections there are."""

from msgspec import Struct

SHARE_CLOSED = 20
"""A twentieth of the connections is closed at a time, because finding them takes a look at all."""
FRAMING_BYTES_PER_BYTE = 8
"""How many bytes of chunk sizes and extensions a byte of a body may take; a chunk of one byte takes five."""


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """The limits of a server's connections."""

    connections: int = 4_000
    header_bytes: int = 32_768
    """Of the request line and the headers together; likewise of trailers and chunk extensions."""
    header_seconds: float = 10
    """From the start of the connection, or from the first byte of a later request."""
    body_seconds: float = 20
    """For a body, or for reading a response that is larger than the buffers."""
    bytes_per_second: int = 4_000
    """Each such number of bytes adds a second to `body_seconds`."""
    idle_seconds: float = 75
    """Between two requests. Proxies keep connections for 60 s, and should be the first to close one."""
    linger_seconds: float = 2
    """How long to read on after refusing a request, so that its sender can read the response."""
    pipelined_requests: int = 64
    """Requests that a client may send before the response to an earlier one."""
