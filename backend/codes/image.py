"""Drawing a code as SVG or PNG, for those whose app cannot draw it.

The modules are black on white, whatever the code, so that a scanner reads them also in greyscale. Ink, word and shape
stand around and below them: each alone tells one code from another, to people who see no colours as well.
"""

import io
import math
from functools import cache
from typing import Any, Generic, Literal, TypeVar

import qrcode
from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont, ImageOps
from qrcode.constants import ERROR_CORRECT_M

from backend.i18n import Text

Shape = Literal["circle", "triangle", "octagon", "diamond"]
LETTERS = 6
"""Modules of the height of letters: a word in two languages ends before the edge of the smallest code."""

S_co = TypeVar("S_co", bound=Shape, covariant=True)


class Sign(Struct, Generic[S_co], frozen=True):
    """How a code is told to people, also to those who do not see colours: by its word and its shape.

    `ink` is the colour of the frame. What is written on it in the colour `lettering` stands out by 4.5 : 1 or more
    (WCAG 2.2, 1.4.3).
    """

    word: Text
    shape: S_co
    ink: str
    lettering: str


QUIET = 4
"""Modules of white around the code, as ISO/IEC 18004 asks for."""

FRAME = 2
"""Modules of the frame; a gold one of the same width may go around it."""

FOOT = 16
"""Modules of the height below the code, for shape and word."""

PIXELS_PER_MODULE = 8

_GOLD = "#d4a017"

# Any of the eight masks makes a valid code. Trying them all to find the prettiest takes five times as long.
_MASK = 3

_SIDES: dict[Shape, int] = {"circle": 48, "triangle": 3, "octagon": 8, "diamond": 4}


def draw_svg(payload: str, sign: Sign[Shape], *, gold: bool = False) -> str:
    """Draw a code as SVG text, 400 pixels wide unless scaled."""
    modules = _modules(payload)
    at = _Layout(len(modules), gold=gold)
    words = f"{sign.word.zh} {sign.word.en}"
    corners = " ".join(f"{x:.2f},{y:.2f}" for x, y in _outline(sign.shape, at.shape, at.middle, 6))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {at.width} {at.height}" width="400" '
        f'height="{round(400 * at.height / at.width)}" role="img" aria-label="{words}"><title>{words}</title>'
        f'<rect width="{at.width}" height="{at.height}" fill="{_GOLD if gold else sign.ink}"/>'
        f'<rect x="{at.band}" y="{at.band}" width="{at.width - 2 * at.band}" height="{at.height - 2 * at.band}" '
        f'fill="{sign.ink}"/>'
        f'<rect x="{at.edge}" y="{at.edge}" width="{at.inner}" height="{at.inner}" fill="#fff"/>'
        f'<path transform="translate({at.code} {at.code})" shape-rendering="crispEdges" d="{_path(modules)}"/>'
        f'<polygon points="{corners}" fill="{sign.lettering}"/>'
        f'<text x="{at.words}" y="{at.middle + LETTERS * 0.35:.2f}" font-size="{LETTERS}" font-weight="bold" '
        f'fill="{sign.lettering}" '
        f"font-family=\"'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif\">{words}</text></svg>"
    )


def draw_png(payload: str, sign: Sign[Shape], *, gold: bool = False) -> bytes:
    """Draw a code as PNG, 8 pixels to a module.

    The word is in English only: the drawing library's own font has no Chinese, and a server may have no other.
    """
    modules = _modules(payload)
    at = _Layout(len(modules), gold=gold)
    scale = PIXELS_PER_MODULE
    canvas = Image.new("P", (at.width * scale, at.height * scale), _GOLD_INK)
    inks = ("#ffffff", "#000000", sign.ink, sign.lettering, _GOLD)
    canvas.putpalette(b"".join(bytes.fromhex(ink[1:]) for ink in inks))
    pen = ImageDraw.Draw(canvas)
    pen.fontmode = "1"
    pen.rectangle(
        [(at.band * scale,) * 2, (canvas.width - at.band * scale - 1, canvas.height - at.band * scale - 1)], _INK
    )
    pen.rectangle([(at.edge * scale,) * 2, ((at.edge + at.inner) * scale - 1,) * 2], 0)
    side = len(modules)
    code = Image.frombytes("P", (side, side), bytes(cell for row in modules for cell in row))
    canvas.paste(ImageOps.scale(code, scale, Image.Resampling.NEAREST), (at.code * scale, at.code * scale))
    pen.polygon(_outline(sign.shape, at.shape * scale, at.middle * scale, 6 * scale), _LETTERING)
    pen.text((at.words * scale, at.middle * scale), sign.word.en, _LETTERING, _font(LETTERS * scale), "lm")
    image = io.BytesIO()
    canvas.save(image, "PNG")
    return image.getvalue()


_INK, _LETTERING, _GOLD_INK = 2, 3, 4
"""Places in the palette of a PNG, after white and black."""


class _Layout:
    """Where things stand, in modules from the top left corner."""

    def __init__(self, modules: int, *, gold: bool) -> None:
        self.band = FRAME if gold else 0
        self.edge = self.band + FRAME
        self.code = self.edge + QUIET
        self.inner = modules + 2 * QUIET
        self.width = self.inner + 2 * self.edge
        self.height = self.width + FOOT
        self.middle = self.edge + self.inner + (FOOT + FRAME) / 2
        self.shape = self.edge + 9
        self.words = self.edge + 19


def _modules(payload: str) -> list[list[bool]]:
    code: Any = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=0, mask_pattern=_MASK)
    code.add_data(payload.encode("ascii"), optimize=0)
    code.make(fit=True)
    return code.modules


def _path(modules: list[list[bool]]) -> str:
    """Write the dark modules as one path, a stroke for each run in a row."""
    strokes: list[str] = []
    for y, row in enumerate(modules):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                strokes.append(f"M{start} {y}h{x - start}v1h{start - x}z")
            x += 1
    return "".join(strokes)


def _outline(shape: Shape, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Give the corners of a shape around a point: a triangle and an octagon stand on a side, a diamond on a corner."""
    sides = _SIDES[shape]
    turn = math.pi / sides if shape == "octagon" else 0.0
    angles = [turn + 2 * math.pi * corner / sides for corner in range(sides)]
    return [(x + radius * math.sin(angle), y - radius * math.cos(angle)) for angle in angles]


@cache
def _font(pixels: int) -> Any:  # noqa: ANN401  either of the library's two kinds of font
    return ImageFont.load_default(pixels)
