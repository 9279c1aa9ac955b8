import io
from collections.abc import Callable
from typing import Any

import pytest
import resvg_py
import zxingcpp
from PIL import Image

from backend.services.health_code.image import draw_png, draw_svg
from tests.conftest import lacking

PAYLOAD = "eyJhbGciOiJFZERTQSIsImtpZCI6ImFiMTIifQ." + "Ab3-_x9Qz7" * 12 + "." + "Kd8_wP-2Lm" * 8 + "Zz09_-"
COLOURS = ("green", "yellow", "red")


def read_with_zbar(image: Image.Image) -> list[str]:
    try:
        from pyzbar.pyzbar import ZBarSymbol, decode
    except (ImportError, OSError) as error:  # the wheel for Linux lacks the C library
        lacking(f"zbar ({error})")
    return [found.data.decode() for found in decode(image, symbols=[ZBarSymbol.QRCODE])]


def read_with_zxing(image: Image.Image) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(image)]


def png(colour: str, *, gold: bool) -> Image.Image:
    return Image.open(io.BytesIO(draw_png(PAYLOAD, colour, gold=gold))).convert("RGB")


def svg(colour: str, *, gold: bool) -> Image.Image:
    drawn: Any = resvg_py.svg_to_bytes(svg_string=draw_svg(PAYLOAD, colour, gold=gold))
    return Image.open(io.BytesIO(bytes(drawn))).convert("RGB")


def as_it_is(image: Image.Image) -> Image.Image:
    return image


def in_grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def two_hundred_pixels_wide(image: Image.Image) -> Image.Image:
    return image.resize((200, round(image.height * 200 / image.width)), Image.Resampling.BICUBIC)


def both(image: Image.Image) -> Image.Image:
    return two_hundred_pixels_wide(in_grey(image))


Seen = Callable[[Image.Image], Image.Image]


def test_the_example_is_as_long_as_a_code_may_be() -> None:
    assert 240 <= len(PAYLOAD) <= 250


@pytest.mark.parametrize("read", [read_with_zxing, read_with_zbar])
@pytest.mark.parametrize("seen", [as_it_is, in_grey, two_hundred_pixels_wide, both])
@pytest.mark.parametrize("draw", [png, svg])
@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("colour", COLOURS)
def test_every_image_is_read_by_every_scanner(
    colour: str, gold: bool, draw: Callable[..., Image.Image], seen: Seen, read: Callable[[Image.Image], list[str]]
) -> None:
    assert read(seen(draw(colour, gold=gold))) == [PAYLOAD]


@pytest.mark.parametrize("draw", [png, svg])
def test_someone_who_sees_no_colours_tells_the_codes_apart_by_their_foot(draw: Callable[..., Image.Image]) -> None:
    feet = {in_grey(draw(colour, gold=False)).crop(_foot_of(draw)).tobytes() for colour in COLOURS}
    assert len(feet) == 3


def _foot_of(draw: Callable[..., Image.Image]) -> tuple[int, int, int, int]:
    image = draw("green", gold=False)
    return (0, image.width, image.width, image.height)


def test_a_vector_image_says_its_word_in_both_languages() -> None:
    drawn = draw_svg(PAYLOAD, "yellow", gold=False)
    assert 'aria-label="黄码 YELLOW"' in drawn
    assert ">黄码 YELLOW</text>" in drawn


def test_only_a_green_code_wears_its_gold_frame() -> None:
    assert png("green", gold=True).getpixel((1, 1)) == (0xD4, 0xA0, 0x17)
    assert png("yellow", gold=True).tobytes() == png("yellow", gold=False).tobytes()


def test_there_is_white_around_the_code() -> None:
    image = png("red", gold=False)
    scale = 8
    assert {image.getpixel((x, 2 * scale + 1)) for x in range(2 * scale, image.width - 2 * scale)} == {(255, 255, 255)}
