"""Where in a YAML file an author is typing, read from its lines: the file is half written at that moment."""

import re

from msgspec import Struct

_KEY = re.compile(r"""(?P<key>[\w.*-]+|"[^"]*"|'[^']*')\s*:(?=\s|$)""")
_BLOCK = re.compile(r"[|>][+-]?\d?\s*(?:#.*)?$")
ITEM = "-"


class Place(Struct, frozen=True):
    """The keys from the top of the file to the cursor, `-` for an item of a list, and the text `typed` so far.

    If `is_key`, the author types the name of a key inside `keys`; otherwise the value of the last of `keys`.
    """

    keys: tuple[str, ...]
    typed: str
    is_key: bool


class _Token(Struct, frozen=True):
    """A key, or the `-` of an item, at a column."""

    column: int
    key: str


class _Line(Struct, frozen=True):
    """What is at the beginning of a line, and the value after it."""

    tokens: tuple[_Token, ...]
    value_at: int
    indent: int


def place_at(lines: list[str], line: int, column: int) -> Place:
    """Return where the characters before `column` of a line are; both are counted from 0."""
    before = lines[line][:column] if line < len(lines) else ""
    begun = _scalar_above(lines, line, before)
    if begun is not None:
        number, parsed = begun
        text = "\n".join([lines[number][parsed.value_at :], *lines[number + 1 : line], before])
        return _in_value(_ancestors(lines, number, parsed), re.sub(r"\A[|>][+-]?\d?[^\n]*\n", "", text))
    parsed = _parse(before)
    keys = _ancestors(lines, line, parsed)
    rest = before[parsed.value_at :]
    if parsed.tokens and parsed.tokens[-1].key != ITEM:
        return _in_value(keys, rest)
    if rest.startswith(("{", "[", '"', "'")):
        return _in_value(keys, rest)
    return Place(keys, rest, is_key=True)


def _in_value(keys: tuple[str, ...], text: str) -> Place:
    text = text.lstrip()
    if text.startswith(("{", "[")):
        return _in_flow(keys, text)
    return Place(keys, text[1:] if text[:1] in ("'", '"') else text, is_key=False)


class _Frame(Struct):
    """An open `{` or `[`."""

    mapping: bool
    key: str | None = None


def _in_flow(keys: tuple[str, ...], text: str) -> Place:
    """Return the place in a value such as `{zh: ..., en: ...}` or `[a, b]`, which ends at the cursor."""
    frames: list[_Frame] = []
    word, quote = "", ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
            word += character
        elif character in "\"'" and not word.strip():
            quote, word = character, word + character
        elif character in "{[":
            frames.append(_Frame(character == "{"))
            word = ""
        elif character in "}]":
            if frames:
                frames.pop()
            word = ""
        elif character == ",":
            word = ""
            if frames:
                frames[-1].key = None
        elif character == ":" and frames and frames[-1].mapping and frames[-1].key is None and _ends_key(text, index):
            frames[-1].key, word = word.strip().strip("\"'"), ""
        else:
            word += character
    if not frames:
        return Place(keys, word.strip(), is_key=False)
    inner = tuple(frame.key or "" if frame.mapping else ITEM for frame in frames)
    is_key = frames[-1].mapping and frames[-1].key is None
    typed = word.lstrip()
    return Place(
        (*keys, *(inner[:-1] if is_key else inner)),
        typed[1:] if typed[:1] in ("'", '"') else typed,
        is_key=is_key,
    )


def _ends_key(text: str, colon: int) -> bool:
    return text[colon + 1 : colon + 2] in ("", " ", "\n", '"', "'", "{", "[")


def _parse(line: str) -> _Line:
    """Return the tokens at the beginning of a line, such as `-` and `id` of `  - id: adult`."""
    tokens: list[_Token] = []
    at = len(line) - len(line.lstrip(" "))
    indent = at
    while line[at : at + 1] == ITEM and line[at + 1 : at + 2] in ("", " "):
        tokens.append(_Token(at, ITEM))
        at += 1
        at += len(line[at:]) - len(line[at:].lstrip(" "))
    found = _KEY.match(line, at)
    if found:
        tokens.append(_Token(at, found["key"].strip("\"'")))
        at = found.end()
        at += len(line[at:]) - len(line[at:].lstrip(" "))
    return _Line(tuple(tokens), at, indent)


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _scalar_above(lines: list[str], line: int, before: str) -> tuple[int, _Line] | None:
    """Return the line in which the value began that continues at the cursor, or None if it began in this line."""
    indent = len(before) - len(before.lstrip(" "))
    own = _parse(before)
    for number in range(line - 1, -1, -1):
        if _is_blank(lines[number]):
            continue
        parsed = _parse(lines[number])
        value = lines[number][parsed.value_at :].strip()
        if parsed.tokens and parsed.tokens[-1].column < indent and value and not value.startswith("#"):
            is_block = _BLOCK.match(value) is not None
            is_open = value[0] in "{[" and value.count("{") + value.count("[") > value.count("}") + value.count("]")
            is_plain = not own.tokens and value[0] not in "{["
            return (number, parsed) if is_block or is_open or is_plain else None
        if parsed.tokens or parsed.indent < indent:
            if parsed.tokens and parsed.tokens[0].column >= indent and own.tokens:
                continue
            if not parsed.tokens:
                continue
            return None
    return None


def _ancestors(lines: list[str], line: int, parsed: _Line) -> tuple[str, ...]:
    """Return the keys from the top of the file to the tokens of a line."""
    keys = [token.key for token in parsed.tokens]
    limit = parsed.tokens[0].column if parsed.tokens else parsed.value_at
    is_item = bool(parsed.tokens) and parsed.tokens[0].key == ITEM
    for number in range(line - 1, -1, -1):
        if limit == 0 and not is_item:
            break
        if _is_blank(lines[number]):
            continue
        for token in reversed(_parse(lines[number]).tokens):
            if token.column < limit or (is_item and token.key != ITEM and token.column <= limit):
                keys.insert(0, token.key)
                limit, is_item = token.column, token.key == ITEM
    return tuple(keys)
