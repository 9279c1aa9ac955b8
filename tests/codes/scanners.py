"""Code images as scanners and people see them: in full, in grey, small, and by the contrast of their colours."""

import io
import re
from collections.abc import Callable

import resvg_py
import zxingcpp
from PIL import Image

from tests.conftest import lacking

PAYLOAD = "eyJhbGciOiJFZERTQSIsImtpZCI6ImFiMTIifQ." + "Ab3-_x9Qz7" * 12 + "." + "Kd8_wP-2Lm" * 8 + "Zz09_-"
"""A payload as long as that of a code can be."""


def read_with_zbar(image: Image.Image) -> list[str]:
    try:
        from pyzbar.pyzbar import ZBarSymbol, decode
    except (ImportError, OSError) as error:  # the wheel for Linux lacks the C library
        lacking(f"zbar ({error})")
    return [found.data.decode() for found in decode(image, symbols=[ZBarSymbol.QRCODE])]


def read_with_zxing(image: Image.Image) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(image)]


Scanner = Callable[[Image.Image], list[str]]
SCANNERS = (read_with_zxing, read_with_zbar)


def open_png(drawn: bytes) -> Image.Image:
    return Image.open(io.BytesIO(drawn)).convert("RGB")


def open_svg(drawn: str) -> Image.Image:
    return open_png(bytes(resvg_py.svg_to_bytes(svg_string=drawn)))


def unchanged(image: Image.Image) -> Image.Image:
    return image


def in_grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def two_hundred_pixels_wide(image: Image.Image) -> Image.Image:
    return image.resize((200, round(image.height * 200 / image.width)), Image.Resampling.BICUBIC)


def grey_and_small(image: Image.Image) -> Image.Image:
    return two_hundred_pixels_wide(in_grey(image))


View = Callable[[Image.Image], Image.Image]
VIEWS = (unchanged, in_grey, two_hundred_pixels_wide, grey_and_small)


def footer(image: Image.Image) -> Image.Image:
    """Return the part of an image below the square of the code."""
    return image.crop((0, image.width, image.width, image.height))


def contrast(colour: str, other: str) -> float:
    """Compute the contrast of two colours, from 1 to 21, as WCAG 2.2 defines it."""
    darker, lighter = sorted(map(_luminance, (colour, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (byte / 255 for byte in bytes.fromhex(colour[1:]))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def label_end(drawn: str) -> float:
    """Estimate where the label of a vector image ends; 1 is its right edge.

    A Chinese character is as wide as high, a bold capital at most three quarters of that, a space a third.
    """
    found = re.search(r'viewBox="0 0 (\d+) .*<text x="(\d+)" .*font-size="(\d+)".*>([^<]+)</text>', drawn)
    assert found is not None, drawn
    width, begins, height = map(int, found.groups()[:3])
    return (begins + height * sum(1 / 3 if c == " " else 3 / 4 if c.isascii() else 1 for c in found[4])) / width
