from collections.abc import Callable

import pytest
from PIL import Image

from backend.codes.image import draw_png, draw_svg
from backend.services.health_code.code import COLOURS, SIGNS
from tests.seeing import (
    PAYLOAD,
    SCANNERS,
    SEEN,
    Scanner,
    Seen,
    contrast,
    foot,
    in_grey,
    shown_png,
    shown_svg,
    words_end,
)


def png(colour: str, *, gold: bool) -> Image.Image:
    return shown_png(draw_png(PAYLOAD, SIGNS[colour], gold=gold))


def svg(colour: str, *, gold: bool) -> Image.Image:
    return shown_svg(draw_svg(PAYLOAD, SIGNS[colour], gold=gold))


def test_the_example_is_as_long_as_a_code_may_be() -> None:
    assert 240 <= len(PAYLOAD) <= 250


@pytest.mark.parametrize("read", SCANNERS)
@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("draw", [png, svg])
@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("colour", COLOURS)
def test_every_image_is_read_by_every_scanner(
    colour: str, gold: bool, draw: Callable[..., Image.Image], seen: Seen, read: Scanner
) -> None:
    assert read(seen(draw(colour, gold=gold))) == [PAYLOAD]


@pytest.mark.parametrize("draw", [png, svg])
def test_someone_who_sees_no_colours_tells_the_codes_apart_by_their_foot(draw: Callable[..., Image.Image]) -> None:
    assert len({in_grey(foot(draw(colour, gold=False))).tobytes() for colour in COLOURS}) == 3


@pytest.mark.parametrize("colour", COLOURS)
def test_what_is_written_on_a_frame_stands_out(colour: str) -> None:
    assert contrast(SIGNS[colour].ink, SIGNS[colour].lettering) >= 4.5


def test_a_vector_image_says_its_word_in_both_languages() -> None:
    drawn = draw_svg(PAYLOAD, SIGNS["yellow"])
    assert 'aria-label="黄码 YELLOW"' in drawn
    assert ">黄码 YELLOW</text>" in drawn


@pytest.mark.parametrize("colour", COLOURS)
def test_the_words_end_before_the_edge(colour: str) -> None:
    assert words_end(draw_svg(PAYLOAD, SIGNS[colour], gold=False)) < 1


def test_there_is_white_around_the_code() -> None:
    image = png("red", gold=False)
    scale = 8
    assert {image.getpixel((x, 2 * scale + 1)) for x in range(2 * scale, image.width - 2 * scale)} == {(255, 255, 255)}
