"""Parses generated Python, in one thread at a time.

Two threads that parse at once share CPython 3.11's count of the recursion depth, and one fails with SystemError.
"""

import ast
import threading

_parsing = threading.Lock()


def parse_generated(source: str) -> ast.Module:
    """Return the syntax tree of a generated module."""
    with _parsing:
        return ast.parse(source)
