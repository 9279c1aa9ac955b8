"""Cells of CSV files that spreadsheets open without running them.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return as a formula, also after
spaces and in full width. An apostrophe in front makes it a text.
"""

import re

_FORMULA = re.compile(r"'*\s*[=+\-@\t\r＝＋－＠]")
"""The beginning of a formula. With the apostrophes, `read_cell` is the inverse of `text_cell` for every text."""


def text_cell(text: str) -> str:
    """Return a text as the content of a cell, with an apostrophe in front if it would be a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def read_cell(cell: str) -> str:
    """Return the text of a cell that `text_cell` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
