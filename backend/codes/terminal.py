"""Codes on a terminal: the style as one line of text, the QR code as half blocks."""

import sys
from typing import Any

import qrcode
from qrcode.constants import ERROR_CORRECT_M

from backend.codes.image import CodeStyle

_MARKS = {"circle": "●", "triangle": "▲", "octagon": "⯃", "diamond": "◆"}


def sign_text(style: CodeStyle[Any]) -> str:
    """Return a code style as a mark and its label in both languages, such as "● 绿码 GREEN"."""
    return f"{_MARKS[style.shape]} {style.label.zh} {style.label.en}"


def qr_lines(payload: str) -> list[str]:
    """Return the lines of a QR code: on a terminal black on white, whatever its colour scheme."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=2)
    code.add_data(payload)
    rows = code.get_matrix()
    white, plain = ("\x1b[97;40m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    pairs = zip(rows[::2], [*rows[1::2], [False] * len(rows)], strict=False)
    return [f"{white}{''.join(map(_block, upper, lower))}{plain}" for upper, lower in pairs]


def _block(upper: bool, lower: bool) -> str:
    return " ▄▀█"[2 * (not upper) + (not lower)]
