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

from backend.i18n import Text
from backend.rulebook.language.habits import find_habit, without_strings
from backend.rulebook.source import NO_HELP

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

    def __init__(self, message: Text, start: int, end: int, help: Text, code: str) -> None:  # noqa: A002  the term that authors read
        super().__init__(message.en)
        self.message = message
        self.start = start
        self.end = max(end, start + 1)
        self.help = help
        self.code = code


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
        message = Text(zh="条件是空的", en="the condition is empty")
        advice = Text(zh="总是成立的规则写 `true`", en="write `true` for a rule that always holds")
        raise InvalidExpression(message, 0, 1, advice, "R030")
    if len(text) > MAX_CHARACTERS:
        message = Text(zh=f"超过{MAX_CHARACTERS:,}个字符", en=f"longer than {MAX_CHARACTERS:,} characters")
        advice = Text(zh="请拆成两条规则", en="split the rule in two")
        raise InvalidExpression(message, 0, 1, advice, "R004")
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
    at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    habit = find_habit(text)
    if habit is not None and habit.start <= start:
        return InvalidExpression(habit.message, habit.start, habit.end, habit.help, habit.code)
    unbalanced = _unbalanced(text)
    if unbalanced is not None and (unbalanced[0] >= start or at_end):
        return _unbalanced_fault(*unbalanced)
    if isinstance(error, UnexpectedCharacters):
        character = text[start : start + 1]
        if character in "\"'":
            message = Text(zh="文本的引号没有闭合，或中间换了行", en="the string is not closed, or has a line break")
            advice = Text(zh=f"请在文本末尾加上 {character}", en=f"write {character} at the end of the text")
            return InvalidExpression(message, start, len(text.rstrip()), advice, "R031")
        message = Text(zh=f"不应有字符“{character}”", en=f"unexpected character {character!r}")
        return InvalidExpression(message, start, start + 1, _BETWEEN, "R030")
    if isinstance(error, UnexpectedToken) and not at_end:
        word = str(error.token)
        message = Text(zh=f"不应有“{word}”", en=f"unexpected {word!r}")
        return InvalidExpression(message, start, start + len(word), _BETWEEN, "R030")
    message = Text(zh="表达式不完整", en="the expression is incomplete")
    advice = Text(zh="运算符的右边应有一个值或条件", en="an operator needs a value or a condition on its right")
    end = len(text.rstrip())
    return InvalidExpression(message, max(0, end - 1), end, advice, "R030")


_BETWEEN = Text(
    zh="两个值之间用运算符连接：== != < <= > >= in && || + - * / %",
    en="join two values with an operator: == != < <= > >= in && || + - * / %",
)
_PARTNERS = {"(": ")", "[": "]", "{": "}"}


def _unbalanced(text: str) -> tuple[int, str] | None:
    """Return the place and the form of the first bracket without a partner, or None."""
    opened: list[tuple[int, str]] = []
    for place, character in enumerate(without_strings(text)):
        if character in _PARTNERS:
            opened.append((place, character))
        elif character in _PARTNERS.values():
            if not opened or _PARTNERS[opened[-1][1]] != character:
                return place, character
            opened.pop()
    return opened[-1] if opened else None


def _unbalanced_fault(place: int, bracket: str) -> InvalidExpression:
    partner = _PARTNERS.get(bracket)
    if partner is None:
        message = Text(zh=f"`{bracket}` 前面没有与它配对的括号", en=f"no bracket is open for this `{bracket}`")
        advice = Text(zh="请删去它，或在前面补上括号", en="remove it, or open the bracket before it")
    else:
        message = Text(zh=f"`{bracket}` 没有闭合", en=f"the `{bracket}` is not closed")
        advice = Text(zh=f"请补上 `{partner}`", en=f"add `{partner}`")
    return InvalidExpression(message, place, place + 1, advice, "R030")


def _depth(*children: Syntax, start: int, end: int) -> int:
    depth = 1 + max((child.depth for child in children), default=0)
    if depth > MAX_DEPTH:
        message = Text(zh=f"嵌套超过{MAX_DEPTH}层", en=f"nested deeper than {MAX_DEPTH} levels")
        raise InvalidExpression(message, start, end, Text(zh="请拆分规则", en="split the rule"), "R004")
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
            message = Text(zh=f"“{token}”是 CEL 的保留字", en=f"{str(token)!r} is a reserved word of CEL")
            raise InvalidExpression(message, token.start_pos, token.end_pos, NO_HELP, "R044")
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
            Text(zh="规则语言没有映射", en="maps are not part of the rule language"),
            parts[0].start_pos,
            parts[-1].end_pos,
            Text(zh="请用 `||` 或 `?:` 逐一写出各种情形", en="name the cases with `||` or `?:`"),
            "R044",
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
        raise self._unsupported(
            Text(zh="规则语言没有无符号整数", en="unsigned integers are not part of the rule language"),
            token,
            Text(zh="请去掉 `u`", en="leave out the `u`"),
        )

    def BYTES(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        raise self._unsupported(
            Text(zh="规则语言没有字节串", en="bytes are not part of the rule language"),
            token,
            Text(zh="请去掉 `b`", en="leave out the `b`"),
        )

    def NULL(self, token: Token) -> Syntax:  # noqa: N802  the grammar's name
        raise self._unsupported(
            Text(zh="规则语言没有 null", en="null is not part of the rule language"),
            token,
            Text(zh="请用 `has(...)` 判断事实是否存在", en="test with `has(...)` whether a fact is present"),
        )

    @staticmethod
    def _unsupported(message: Text, token: Token, advice: Text) -> InvalidExpression:
        return InvalidExpression(message, token.start_pos or 0, token.end_pos or 0, advice, "R044")


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
            message = Text(zh=f"未知的转义“{match[0]}”", en=f"unknown escape {match[0]!r}")
            advice = Text(zh="反斜杠写作 `\\\\`", en="write a backslash as `\\\\`")
            raise InvalidExpression(message, at, at + len(match[0]), advice, "R031")
        return chr(code)

    return _ESCAPE.sub(unescape, text)
