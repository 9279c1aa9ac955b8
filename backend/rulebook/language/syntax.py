"""The parser: from the text of an expression to its syntax tree, by CEL's grammar (`cel.lark`)."""
# lark does not declare the types of a tree's parts:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from msgspec import Struct
from msgspec.structs import replace

MAX_CHARACTERS = 5_000
MAX_DEPTH = 100

RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "namespace",
        "package",
        "return",
        "var",
        "void",
        "while",
    ]
)


class InvalidExpression(Exception):
    """An expression has an error at its characters [start, end)."""

    def __init__(self, message: str, start: int, end: int, help: str = "") -> None:  # noqa: A002  the term that authors read
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = max(end, start + 1)
        self.help = help


class Literal(Struct, frozen=True):
    """A constant."""

    start: int
    end: int
    kind: str
    value: bool | int | float | str | None
    depth: int = 1


class Name(Struct, frozen=True):
    """A bare name: the facts, `now`, a parameter, or a macro's variable."""

    start: int
    end: int
    name: str
    depth: int = 1


class Select(Struct, frozen=True):
    """`operand.field`."""

    start: int
    end: int
    operand: "Syntax"
    field: str
    depth: int


class Call(Struct, frozen=True):
    """An operator (`_+_`, `!_`, `_?_:_`, `_[_]`), a function, or a method, whose `receiver` comes first."""

    start: int
    end: int
    function: str
    arguments: tuple["Syntax", ...]
    receiver: bool
    depth: int


class ListOf(Struct, frozen=True):
    """`[a, b, c]`."""

    start: int
    end: int
    elements: tuple["Syntax", ...]
    depth: int


Syntax = Literal | Name | Select | Call | ListOf


def parse(text: str) -> Syntax:
    """Parse an expression. Raises InvalidExpression."""
    if not text.strip():
        raise InvalidExpression("the condition is empty", 0, 1, "write `true` for a rule that always holds")
    if len(text) > MAX_CHARACTERS:
        raise InvalidExpression(f"longer than {MAX_CHARACTERS:,} characters", 0, 1, "split the rule in two")
    try:
        return cast("Syntax", _parser().parse(text))  # pyright: ignore[reportUnknownMemberType]  untyped library
    except UnexpectedInput as error:
        raise _explain(error, text) from None


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("cel.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", transformer=_Builder(), maybe_placeholders=False)


def _explain(error: UnexpectedInput, text: str) -> InvalidExpression:
    start = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)
    if isinstance(error, UnexpectedCharacters):
        character = text[start : start + 1]
        advice = {"=": "compare with `==`", "&": "`and` is written `&&`", "|": "`or` is written `||`"}.get(
            character, ""
        )
        if character in "\"'":
            return InvalidExpression("the string is not closed, or has a line break", start, len(text))
        return InvalidExpression(f"unexpected character {character!r}", start, start + 1, advice)
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        word = str(error.token)
        advice = {"and": "write `&&`", "or": "write `||`", "not": "write `!`"}.get(word, "")
        return InvalidExpression(f"unexpected {word!r}", start, start + len(word), advice)
    return InvalidExpression("the expression is incomplete", max(0, len(text.rstrip()) - 1), len(text))


def _depth(*children: Syntax, start: int, end: int) -> int:
    depth = 1 + max((child.depth for child in children), default=0)
    if depth > MAX_DEPTH:
        raise InvalidExpression(f"nested deeper than {MAX_DEPTH} levels", start, end, "split the rule")
    return depth


class _Builder(Transformer[Token, Syntax]):
    """Builds the tree during parsing; the method names are the rules of the grammar."""

    def _call(self, function: str, *arguments: Syntax, start: int, end: int, receiver: bool = False) -> Syntax:
        return Call(start, end, function, arguments, receiver, _depth(*arguments, start=start, end=end))

    def conditional(self, parts: list[Any]) -> Syntax:
        return self._call("_?_:_", *parts, start=parts[0].start, end=parts[-1].end)

    def logical_or(self, parts: list[Any]) -> Syntax:
        return self._call("_||_", *parts, start=parts[0].start, end=parts[-1].end)

    def logical_and(self, parts: list[Any]) -> Syntax:
        return self._call("_&&_", *parts, start=parts[0].start, end=parts[-1].end)

    def binary(self, parts: list[Any]) -> Syntax:
        left, operator, right = parts
        return self._call(f"_{operator}_", left, right, start=left.start, end=right.end)

    def unary(self, parts: list[Any]) -> Syntax:
        operator: Token = parts[0]
        operand: Syntax = parts[1]
        start = operator.start_pos or 0
        if operator == "-" and isinstance(operand, Literal) and operand.kind in ("int", "double"):
            assert isinstance(operand.value, int | float)
            return Literal(start, operand.end, operand.kind, -operand.value)
        return self._call(f"{operator}_", operand, start=start, end=operand.end)

    def select(self, parts: list[Any]) -> Syntax:
        operand, field = parts
        start, end = operand.start, field.end_pos
        return Select(start, end, operand, str(field), _depth(operand, start=start, end=end))

    def method(self, parts: list[Any]) -> Syntax:
        receiver, name, *arguments, close = parts
        arguments = arguments[0] if arguments else []
        return self._call(str(name), receiver, *arguments, start=receiver.start, end=close.end_pos, receiver=True)

    def index(self, parts: list[Any]) -> Syntax:
        operand, position, close = parts
        return self._call("_[_]", operand, position, start=operand.start, end=close.end_pos)

    def name(self, parts: list[Any]) -> Syntax:
        token = parts[0]
        if token in RESERVED:
            raise InvalidExpression(f"{str(token)!r} is a reserved word of CEL", token.start_pos, token.end_pos)
        return Name(token.start_pos, token.end_pos, str(token))

    def function(self, parts: list[Any]) -> Syntax:
        name, *arguments, close = parts
        return self._call(str(name), *(arguments[0] if arguments else []), start=name.start_pos, end=close.end_pos)

    def group(self, parts: list[Any]) -> Syntax:
        opening, inner, close = parts
        return replace(inner, start=opening.start_pos, end=close.end_pos)

    def list_literal(self, parts: list[Any]) -> Syntax:
        opening, *elements, close = parts
        elements = elements[0] if elements else []
        start, end = opening.start_pos, close.end_pos
        return ListOf(start, end, tuple(elements), _depth(*elements, start=start, end=end))

    def map_literal(self, parts: list[Any]) -> Syntax:
        raise InvalidExpression(
            "maps are not part of the rule language",
            parts[0].start_pos,
            parts[-1].end_pos,
            "name the cases with `||` or `?:`",
        )

    def arguments(self, parts: list[Any]) -> list[Any]:
        return parts

    def entries(self, parts: list[Any]) -> list[Any]:
        return parts

    def INT(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        return Literal(token.start_pos or 0, token.end_pos or 0, "int", int(token, 0 if "x" in token else 10))

    def DOUBLE(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        return Literal(token.start_pos or 0, token.end_pos or 0, "double", float(token))

    def TRUE(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        return Literal(token.start_pos or 0, token.end_pos or 0, "bool", value=True)

    def FALSE(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        return Literal(token.start_pos or 0, token.end_pos or 0, "bool", value=False)

    def STRING(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        start, end = token.start_pos or 0, token.end_pos or 0
        return Literal(start, end, "string", _unquote(str(token), start))

    def UINT(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        raise self._unsupported("unsigned integers are", token, "leave out the `u`")

    def BYTES(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        raise self._unsupported("bytes are", token, "leave out the `b`")

    def NULL(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        raise self._unsupported("null is", token, "test with `has(...)` whether a fact is present")

    @staticmethod
    def _unsupported(what: str, token: Token, advice: str) -> InvalidExpression:
        start, end = token.start_pos or 0, token.end_pos or 0
        return InvalidExpression(f"{what} not part of the rule language", start, end, advice)


_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SURROGATES = range(0xD800, 0xE000)
_LAST_CODE_POINT = 0x10FFFF


def _unquote(literal: str, start: int) -> str:
    raw = literal[0] in "rR"
    quoted = literal[1:] if raw else literal
    width = 3 if quoted[:3] in ('"""', "'''") else 1
    text = quoted[width:-width]
    if raw:
        return text

    def unescape(match: re.Match[str]) -> str:
        simple, *codes, octal, _ = match.groups()
        if simple:
            return _SIMPLE.get(simple, simple)
        code = int(octal, 8) if octal else next((int(code, 16) for code in codes if code), None)
        if code is None or code in _SURROGATES or code > _LAST_CODE_POINT:
            at = start + width + match.start()
            raise InvalidExpression(
                f"unknown escape {match[0]!r}", at, at + len(match[0]), "write a backslash as `\\\\`"
            )
        return chr(code)

    return _ESCAPE.sub(unescape, text)
