"""A spreadsheet runs no cell that the city writes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.csv_cells import read_cell, text_cell


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
@pytest.mark.parametrize("before", ["", " ", "   ", "\u3000", "\n"])
def test_a_text_that_begins_a_formula_has_an_apostrophe_in_front(before: str, begin: str) -> None:
    text = f"{before}{begin}HYPERLINK(1)"
    assert text_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "中山路1-3号", "a=b", "'tis", "1+1", "  x"])
def test_any_other_text_stays(text: str) -> None:
    assert text_cell(text) == text


@given(st.text(st.sampled_from("'= \t-a＝")))
@example("'=1")
def test_a_written_text_is_read_back(text: str) -> None:
    assert read_cell(text_cell(text)) == text
