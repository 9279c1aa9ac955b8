"""A key that a JSON object repeats is found, at every level and in every spelling."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.web.json_body import find_repeated_key


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"amount_fen": 1, "amount_fen": 100}', "/amount_fen"),
        (r'{"amount_fen": 1, "amount\u005ffen": 100}', "/amount_fen"),
        (r'{"\u0061": 1, "\u0061": 2}', "/a"),
        ('{"一": 1, "\\u4e00": 2}', "/一"),
        ('{"a": {"b": [0, {"c": 1, "d": {}, "c": 2}]}}', "/a/b/1/c"),
        ('[[], [{"a": 1, "a": 1}]]', "/1/0/a"),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', "/a/b"),
        ('{"": 1, "": 2}', "/"),
        ('{"a/b~c": 1, "a/b~c": 2}', "/a~1b~0c"),
    ],
)
def test_a_repeated_key_has_a_pointer(body: str, pointer: str) -> None:
    assert find_repeated_key(body.encode()) == pointer


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "1",
        '"\\"a\\": 1, \\"a\\": 2"',
        '[{"a": 1}, {"a": 1}]',
        '{"a": {"a": {"a": "a"}}}',
        '{"a": 1, "A": 2, "a ": 3}',
        '{"a": ' + "9" * 5_000 + "}",
    ],
)
def test_equal_keys_of_different_objects_are_not_repeated(body: str) -> None:
    assert find_repeated_key(body.encode()) is None


_values = st.recursive(
    st.none() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(_values, st.booleans())
def test_no_key_of_a_written_object_is_repeated(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert find_repeated_key(text.encode("utf-8", "replace")) is None
