"""Draw a code as SVG or PNG, for apps that cannot draw it.

The modules are black on white for every code, so that scanners also read them in greyscale. Background, label and shape
are around and below them: each of the three alone distinguishes the codes, also for people who do not see colours.
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
TEXT_HEIGHT = 6
"""Height of the label in modules: a label in two languages fits the width of the smallest code."""

S_co = TypeVar("S_co", bound=Shape, covariant=True)


class CodeStyle(Struct, Generic[S_co], frozen=True):
    """How people recognise a code, also without seeing colours: by its label and its shape.

    `background` is the colour of the frame; label and shape are drawn on it in `foreground`, with a contrast of 4.5 : 1
    or more (WCAG 2.2, 1.4.3).
    """

    label: Text
    shape: S_co
    background: str
    foreground: str

    @property
    def description(self) -> str:
        """Return label and shape in words, such as "绿码 GREEN (circle)"."""
        return f"{self.label.zh} {self.label.en} ({self.shape})"


QUIET_ZONE = 4
"""Width in modules of the white margin around the code, as required by ISO/IEC 18004."""

FRAME = 2
"""Width of the frame in modules; a gold frame of the same width may surround it."""

FOOTER = 16
"""Height in modules of the area below the code, for shape and label."""

PIXELS_PER_MODULE = 8

_GOLD = "#d4a017"

# Each of the eight masks makes a valid code. Scoring all of them to choose the best takes five times as long.
_MASK = 3

_SIDES: dict[Shape, int] = {"circle": 48, "triangle": 3, "octagon": 8, "diamond": 4}


def draw_svg(payload: str, style: CodeStyle[Shape], *, gold: bool = False) -> str:
    """Draw a code as SVG text, 400 pixels wide unless scaled."""
    modules = _modules(payload)
    layout = _Layout(len(modules), gold=gold)
    label = f"{style.label.zh} {style.label.en}"
    corners = " ".join(f"{x:.2f},{y:.2f}" for x, y in _outline(style.shape, layout.shape, layout.middle, 6))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {layout.height}" width="400" '
        f'height="{round(400 * layout.height / layout.width)}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<rect width="{layout.width}" height="{layout.height}" fill="{_GOLD if gold else style.background}"/>'
        f'<rect x="{layout.band}" y="{layout.band}" width="{layout.width - 2 * layout.band}" '
        f'height="{layout.height - 2 * layout.band}" '
        f'fill="{style.background}"/>'
        f'<rect x="{layout.edge}" y="{layout.edge}" width="{layout.inner}" height="{layout.inner}" fill="#fff"/>'
        f'<path transform="translate({layout.code} {layout.code})" shape-rendering="crispEdges" d="{_path(modules)}"/>'
        f'<polygon points="{corners}" fill="{style.foreground}"/>'
        f'<text x="{layout.label}" y="{layout.middle + TEXT_HEIGHT * 0.35:.2f}" font-size="{TEXT_HEIGHT}" '
        f'font-weight="bold" '
        f'fill="{style.foreground}" '
        f"font-family=\"'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif\">{label}</text></svg>"
    )


def draw_png(payload: str, style: CodeStyle[Shape], *, gold: bool = False) -> bytes:
    """Draw a code as PNG, 8 pixels per module.

    The label is in English only: the font of the drawing library has no Chinese, and a server may have no other font.
    """
    modules = _modules(payload)
    layout = _Layout(len(modules), gold=gold)
    scale = PIXELS_PER_MODULE
    canvas = Image.new("P", (layout.width * scale, layout.height * scale), _GOLD_INDEX)
    palette = ("#ffffff", "#000000", style.background, style.foreground, _GOLD)
    canvas.putpalette(b"".join(bytes.fromhex(colour[1:]) for colour in palette))
    draw = ImageDraw.Draw(canvas)
    draw.fontmode = "1"
    draw.rectangle(
        [(layout.band * scale,) * 2, (canvas.width - layout.band * scale - 1, canvas.height - layout.band * scale - 1)],
        _BACKGROUND_INDEX,
    )
    draw.rectangle([(layout.edge * scale,) * 2, ((layout.edge + layout.inner) * scale - 1,) * 2], 0)
    side = len(modules)
    code = Image.frombytes("P", (side, side), bytes(cell for row in modules for cell in row))
    canvas.paste(ImageOps.scale(code, scale, Image.Resampling.NEAREST), (layout.code * scale, layout.code * scale))
    draw.polygon(_outline(style.shape, layout.shape * scale, layout.middle * scale, 6 * scale), _FOREGROUND_INDEX)
    draw.text(
        (layout.label * scale, layout.middle * scale),
        style.label.en,
        _FOREGROUND_INDEX,
        _font(TEXT_HEIGHT * scale),
        "lm",
    )
    image = io.BytesIO()
    canvas.save(image, "PNG")
    return image.getvalue()


_BACKGROUND_INDEX, _FOREGROUND_INDEX, _GOLD_INDEX = 2, 3, 4
"""Indexes in the palette of a PNG, after white and black."""


class _Layout:
    """Positions of the parts of an image, in modules from the top left corner."""

    def __init__(self, modules: int, *, gold: bool) -> None:
        self.band = FRAME if gold else 0
        self.edge = self.band + FRAME
        self.code = self.edge + QUIET_ZONE
        self.inner = modules + 2 * QUIET_ZONE
        self.width = self.inner + 2 * self.edge
        self.height = self.width + FOOTER
        self.middle = self.edge + self.inner + (FOOTER + FRAME) / 2
        self.shape = self.edge + 9
        self.label = self.edge + 19


def _modules(payload: str) -> list[list[bool]]:
    code: Any = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=0, mask_pattern=_MASK)
    code.add_data(payload.encode("ascii"), optimize=0)
    code.make(fit=True)
    return code.modules


def _path(modules: list[list[bool]]) -> str:
    """Return the dark modules as one SVG path, with a rectangle for each run in a row."""
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
    """Return the corners of a shape around a point: triangles and octagons rest on a side, a diamond on a corner."""
    sides = _SIDES[shape]
    rotation = math.pi / sides if shape == "octagon" else 0.0
    angles = [rotation + 2 * math.pi * corner / sides for corner in range(sides)]
    return [(x + radius * math.sin(angle), y - radius * math.cos(angle)) for angle in angles]


@cache
def _font(pixels: int) -> Any:  # noqa: ANN401  either of the library's two kinds of font
    return ImageFont.load_default(pixels)
