"""MLLP frames: each message is a block of bytes between 0x0B and 0x1C 0x0D.

Neither mark occurs within text in UTF-8 or GB18030, so blocks are found in bytes, before decoding.

Some senders end a block with 0x1C 0x0A, or with 0x1C alone. The latter is an end if the next block follows, or nothing.
"""

import re
from collections.abc import Iterator

from integrations.his.hl7v2.message import MAX_MESSAGE_BYTES

START_BLOCK, END_BLOCK = b"\x0b", b"\x1c\r"
MAX_HEAD_BYTES = 4_096
_MARK = re.compile(rb"\x0b|\x1c[\r\n]|\x1c(?=\x0b)")


class FrameTooLong(Exception):
    """A block exceeds the maximum size; `head` holds its first bytes."""

    def __init__(self, head: bytes) -> None:
        super().__init__("the message is too long")
        self.head = head


class FrameDecoder:
    """Finds blocks in a byte stream, however it is split into packets.

    `in_block` is true between a start and its end, and `at_end` after 0x1C, until the next byte tells what it is. A
    second start discards the block before it. `stray_bytes` counts the bytes outside blocks, and discarded starts,
    since the last complete block; `dropped_bytes` counts all bytes that belong to no complete block.
    """

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._block = bytearray()
        self.at_end = False
        self.in_block = False
        self.stray_bytes = 0
        self.dropped_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that these bytes complete. Raises FrameTooLong."""
        if self.at_end:
            data, self.at_end = END_BLOCK[:1] + data, False
        position = 0
        for mark in _MARK.finditer(data):
            self._append(data[position : mark.start()])
            position = mark.end()
            if mark[0] == START_BLOCK:
                if self.in_block:
                    self.dropped_bytes += len(self._block) + 1
                    self.stray_bytes += 1
                self._block.clear()
                self.in_block = True
            elif self.in_block:
                yield self._end_block()
            else:
                self._count_stray(len(mark[0]))
        rest = data[position:]
        if self.in_block and rest.endswith(END_BLOCK[:1]):
            rest, self.at_end = rest[:-1], True
        self._append(rest)

    def end(self) -> bytes:
        """Return the message that a lone 0x1C ends, because nothing follows it."""
        assert self.at_end, "a block without 0x1C has not ended"
        self.at_end = False
        return self._end_block()

    def _end_block(self) -> bytes:
        block = bytes(self._block)
        self._block.clear()
        self.in_block = False
        self.stray_bytes = 0
        return block

    def _append(self, piece: bytes) -> None:
        if not self.in_block:
            self._count_stray(len(piece))
            return
        self._block += piece
        if len(self._block) > self._max_bytes:
            head = bytes(self._block[:MAX_HEAD_BYTES])
            self._block.clear()
            raise FrameTooLong(head)

    def _count_stray(self, size: int) -> None:
        self.dropped_bytes += size
        self.stray_bytes += size
