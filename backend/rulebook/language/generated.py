"""Parses generated Python, in one thread at a time.

Two threads that parse at once share CPython 3.11's count of the recursion depth, and one fails with SystemError.
"""

import ast
import keyword
import threading

_parsing = threading.Lock()

_IS_KEYWORD = "__is_keyword"


def parse_generated(source: str) -> ast.Module:
    """Return the syntax tree of a generated module."""
    with _parsing:
        tree = ast.parse(source)
    for node in ast.walk(tree) if _IS_KEYWORD in source else ():
        if isinstance(node, ast.Attribute):
            node.attr = node.attr.removesuffix(_IS_KEYWORD)
    return tree


def attribute(name: str) -> str:
    """Return how generated source names a field: facts may be called `class` or `from`, which Python cannot parse."""
    return name + _IS_KEYWORD if keyword.iskeyword(name) else name
