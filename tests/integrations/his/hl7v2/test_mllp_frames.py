import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK, FrameDecoder, FrameTooLong

MESSAGES = st.lists(
    st.binary(min_size=1, max_size=20).filter(lambda raw: not set(raw) & {0x0B, 0x1C}), min_size=1, max_size=5
)
STREAMS = st.lists(
    st.sampled_from([START_BLOCK, END_BLOCK, END_BLOCK[:1], END_BLOCK[1:], b"a", b"MSH|"]), max_size=30
).map(b"".join)


def decode_frames(pieces: list[bytes]) -> tuple[list[bytes], bool, int, int]:
    decoder = FrameDecoder(1_000)
    found = [message for piece in pieces for message in decoder.feed(piece)]
    return found, decoder.in_block, decoder.stray_bytes, decoder.dropped_bytes


@given(MESSAGES)
def test_every_message_is_decoded_from_its_frame(messages: list[bytes]) -> None:
    stream = b"".join(START_BLOCK + message + END_BLOCK for message in messages)
    assert decode_frames([stream]) == (messages, False, 0, 0)


@given(STREAMS, st.data())
def test_packet_boundaries_do_not_change_the_messages(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = decode_frames([stream])
    assert decode_frames(pieces) == whole
    assert decode_frames([bytes([byte]) for byte in stream]) == whole


def test_a_second_start_discards_the_block_before_it() -> None:
    assert decode_frames([START_BLOCK + b"half" + START_BLOCK + b"whole" + END_BLOCK]) == ([b"whole"], False, 0, 5)


@pytest.mark.parametrize("end", [b"\x1c\r", b"\x1c\n", b"\x1c\r\n", b"\x1c"])
def test_a_block_may_end_with_another_line_end_or_none(end: bytes) -> None:
    stream = START_BLOCK + b"one" + end + START_BLOCK + b"two" + END_BLOCK
    assert decode_frames([stream])[0] == [b"one", b"two"]
    assert decode_frames([bytes([byte]) for byte in stream])[0] == [b"one", b"two"]


def test_a_lone_end_of_block_ends_a_block_when_nothing_follows_it() -> None:
    decoder = FrameDecoder()
    assert list(decoder.feed(START_BLOCK + b"one\x1c")) == []
    assert decoder.at_end
    assert decoder.end() == b"one"
    assert (decoder.at_end, decoder.in_block) == (False, False)
    assert list(decoder.feed(b"\r" + START_BLOCK + b"two" + END_BLOCK)) == [b"two"]


def test_an_incomplete_end_mark_does_not_end_a_block() -> None:
    assert decode_frames([START_BLOCK + b"a\x1cb\rc" + END_BLOCK])[0] == [b"a\x1cb\rc"]


@pytest.mark.parametrize("size", [1, 7, 2_000])
def test_a_block_that_is_too_long_is_detected_in_packets_of_any_size(size: int) -> None:
    stream = START_BLOCK + b"x" * 1_001 + END_BLOCK
    with pytest.raises(FrameTooLong) as caught:
        decode_frames([stream[at : at + size] for at in range(0, len(stream), size)])
    assert caught.value.head == b"x" * 1_001
    assert decode_frames([START_BLOCK + b"x" * 1_000 + END_BLOCK])[0] == [b"x" * 1_000]
