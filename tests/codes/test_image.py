"""Images of codes: scanners read every one, and people distinguish them without seeing colours."""

from collections.abc import Callable

import pytest
from PIL import Image

from backend.codes.image import draw_png, draw_svg
from backend.services.health_code.code import STYLES
from backend.services.health_code.rule_modules import COLOURS
from tests.codes.scanners import (
    PAYLOAD,
    SCANNERS,
    VIEWS,
    Scanner,
    View,
    contrast,
    footer,
    in_grey,
    label_end,
    open_png,
    open_svg,
)


def png(colour: str, *, gold: bool) -> Image.Image:
    return open_png(draw_png(PAYLOAD, STYLES[colour], gold=gold))


def svg(colour: str, *, gold: bool) -> Image.Image:
    return open_svg(draw_svg(PAYLOAD, STYLES[colour], gold=gold))


def test_the_example_is_as_long_as_a_code_may_be() -> None:
    assert 240 <= len(PAYLOAD) <= 250


@pytest.mark.parametrize("read", SCANNERS)
@pytest.mark.parametrize("seen", VIEWS)
@pytest.mark.parametrize("draw", [png, svg])
@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("colour", COLOURS)
def test_every_image_is_read_by_every_scanner(
    colour: str, gold: bool, draw: Callable[..., Image.Image], seen: View, read: Scanner
) -> None:
    assert read(seen(draw(colour, gold=gold))) == [PAYLOAD]


@pytest.mark.parametrize("draw", [png, svg])
def test_a_person_who_sees_no_colours_distinguishes_the_codes_by_their_footer(draw: Callable[..., Image.Image]) -> None:
    assert len({in_grey(footer(draw(colour, gold=False))).tobytes() for colour in COLOURS}) == 3


@pytest.mark.parametrize("colour", COLOURS)
def test_the_label_on_a_frame_has_enough_contrast(colour: str) -> None:
    assert contrast(STYLES[colour].background, STYLES[colour].foreground) >= 4.5


def test_a_vector_image_has_its_label_in_both_languages() -> None:
    drawn = draw_svg(PAYLOAD, STYLES["yellow"])
    assert 'aria-label="黄码 YELLOW"' in drawn
    assert ">黄码 YELLOW</text>" in drawn


@pytest.mark.parametrize("colour", COLOURS)
def test_the_label_ends_before_the_edge(colour: str) -> None:
    assert label_end(draw_svg(PAYLOAD, STYLES[colour], gold=False)) < 1


def test_there_is_a_white_margin_around_the_code() -> None:
    image = png("red", gold=False)
    scale = 8
    assert {image.getpixel((x, 2 * scale + 1)) for x in range(2 * scale, image.width - 2 * scale)} == {(255, 255, 255)}
