"""What goes wrong with the layout of a YAML file in an ordinary text editor, named where it is.

YAML's own messages are about its grammar, and often a line late. So a file is first searched for full-width
punctuation, tabs and dashes of word processors, and an error of the grammar is traced to the line that caused it.
"""
# ruamel does not declare the types of an error's marks:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError

from backend.i18n import Text
from backend.rulebook.source import Location, SourceFile

KEYS = (
    "module", "title", "facts", "result", "strategy", "terms", "parameters", "rules", "otherwise", "id", "from",
    "until", "when", "then", "because", "remedy", "source", "sources", "value", "values", "label", "unit", "table",
    "zh", "en", "cases", "case", "at", "on", "given", "expect", "personas", "persona", "claims", "articles",
)  # fmt: skip
"""The keys of rule modules and cases, by which a line is recognised whatever its punctuation."""

MAX_LINE = 2_000
"""A longer line is not written by hand, and is not searched: the time would grow with its square."""

_KEY = "|".join(KEYS)
_BLOCK = re.compile(r"^(?P<indent> *(?:- +)*)(?:[^\s#'\"].*?)?[:\-] [|>][+-]?\d?[+-]? *(?:#.*)?$")
_INDENTATION = re.compile(r"^[ \t\u3000\u00a0]*")
_WRONG_DASH = re.compile(r"^\s*([－–—−‐•·])\s*\S")
_TIGHT_DASH = re.compile(rf"^\s*(-)(?:{_KEY})\s*[:：]")
_WIDE_COLON = re.compile(rf"(?:^\s*(?:- +)*|[{{,，]\s*)(?:{_KEY})\s*(：)")
_KEY_WITH_WIDE_COLON = re.compile(r"[a-z][a-z0-9_]*\s*(：)")
_WIDE_COMMA = re.compile(rf"(，)\s*(?:{_KEY})\s*[:：]")
_WIDE_BRACKET = re.compile(rf"^\s*(?:- +)*(?:{_KEY}):\s*([｛［【])")
_TIGHT_COLON = re.compile(rf"(?:^\s*(?:- +)*|[{{,]\s*)(?:{_KEY})(:)[^\s]")
_WIDE_SPACE = re.compile(rf"(?:^\s*(?:- +)*|[{{,]\s*)(?:{_KEY}):([\u3000\u00a0])")
_WIDE_QUOTES = re.compile(rf"(?:^\s*(?:- +)*|[{{,]\s*)(?:{_KEY}):\s+([“”＂])")
_NO_COLON = re.compile(rf"^\s*(?:- +)*({_KEY})\s+[^\s:#]")
_TWO_COLONS = re.compile(rf"(?:^\s*(?:- +)*|[{{,]\s*)(?P<key>{_KEY}):\s+(?P<text>[^\s'\"{{\[|>#].*)$")
_SPECIAL = re.compile(rf"(?:^\s*(?:- +)*|[{{,]\s*)(?:{_KEY}):\s+(?P<text>[\[@`%&*!].*)$")
_OPEN_QUOTE = re.compile(rf"(?:^\s*(?:- +)*|[{{,]\s*)(?:{_KEY}):\s+(?P<quote>['\"])")
_FIGURE = re.compile(r"\{[a-z_]+(?: ?[-+] ?[a-z0-9_]+)?(?::number)?\}")
_CUT_NUMBER = re.compile(r"(?<=[:\[] )(\d{1,3}(?:,\d{3})+)( yuan| fen)?(?=\s*[,}\]])")
_QUOTE_IT = Text(zh="请给整句加上英文引号", en="put the whole sentence in quotes")


@dataclass(frozen=True)
class Flaw:
    """A flaw of the layout, at the characters [start, end) of a line."""

    line: int
    start: int
    end: int
    message: Text
    help: Text
    code: str

    def report(self, file: SourceFile) -> None:
        """Add the flaw to the faults of its file."""
        location = Location(self.line, self.start + 1, max(1, self.end - self.start))
        file.fault(location, self.message, self.help, self.code)


def cut_by_comma(text: str, line: int, column: int) -> Flaw | None:
    """Return the flaw of a comma before this place, if it cuts a sentence or a number in `{ }`; None without a comma.

    The comma of 1,440 yuan is one of its first group: a later one of the same number has the same flaw.
    """
    whole = text.split("\n")[line - 1]
    before = whole[: column - 1].rstrip()
    if not before.endswith(","):
        return None
    end, advice = len(before), _QUOTE_IT
    number = next((found for found in _CUT_NUMBER.finditer(whole) if found.start(1) < end <= found.end(1)), None)
    if number is not None:
        end = number.start(1) + number[1].index(",") + 1
        form = number[1].replace(",", "_") + number[2] if number[2] else number[1].replace(",", "")
        advice = Text(zh=f"数字里不写逗号：请写 `{form}`", en=f"write the number without commas: `{form}`")
    message = Text(zh="花括号里的逗号截断了这个值", en="the comma ends the value, because it is within { }")
    return Flaw(line, end - 1, end, message, advice, "R009")


def wide_colon(text: str, line: int, column: int) -> Flaw | None:
    """Return the flaw of a key in `{ }` that begins at this place and has a full-width colon; None without one."""
    match = _KEY_WITH_WIDE_COLON.match(text.split("\n")[line - 1], column - 1)
    if match is None:
        return None
    return Flaw(line, match.start(1), match.end(1), *_wide("冒号", "colon", ": "), "R007")


def find_flaws(text: str) -> Iterator[Flaw]:
    """Yield the flaws that no file has on purpose, the first of each line."""
    if text.lstrip()[:1] in ("{", "["):  # JSON
        return
    block: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        indent = _INDENTATION.match(line)
        width = indent.end() if indent is not None else 0
        if len(line) > MAX_LINE or (block is not None and (width > block or not line.strip())):
            continue
        opened = _BLOCK.match(line)
        block = len(opened["indent"]) if opened is not None else None
        if not line.lstrip().startswith("#"):
            flaw = _flaw(number, line, line[:width])
            if flaw is not None:
                yield flaw


def _flaw(number: int, line: str, indentation: str) -> Flaw | None:
    odd = next((place for place, character in enumerate(indentation) if character != " "), None)
    if odd is not None:
        what = Text(zh="缩进用了制表符", en="the indentation has a tab")
        if indentation[odd] != "\t":
            what = Text(zh="缩进用了全角空格", en="the indentation has a full-width space")
        return Flaw(number, odd, odd + 1, what, Text(zh="请用普通空格缩进", en="indent with ordinary spaces"), "R007")
    for pattern, message, advice in _FLAWS:
        match = pattern.search(line)
        if match is not None:
            return Flaw(number, match.start(1), match.end(1), message, advice, "R007")
    return None


def _wide(what_zh: str, what_en: str, form: str) -> tuple[Text, Text]:
    message = Text(zh=f"这里用了全角{what_zh}", en=f"this is a full-width {what_en}")
    return message, Text(zh=f"请用半角 `{form}`", en=f"write `{form}`")


_FLAWS: tuple[tuple[re.Pattern[str], Text, Text], ...] = (
    (
        _WRONG_DASH,
        Text(zh="列表项前的横线不是 `-`", en="the dash of this list item is not `-`"),
        Text(zh="请用半角 `-` 加一个空格", en="write `-` and a space"),
    ),
    (
        _TIGHT_DASH,
        Text(zh="`-` 后面缺少空格", en="there is no space after `-`"),
        Text(zh="请在 `-` 后加一个空格", en="write a space after `-`"),
    ),
    (_WIDE_COLON, *_wide("冒号", "colon", ": ")),
    (_WIDE_COMMA, *_wide("逗号", "comma", ", ")),
    (_WIDE_BRACKET, *_wide("括号", "bracket", "{ }, [ ]")),
    (_WIDE_SPACE, *_wide("空格", "space", ": ")),
    (
        _WIDE_QUOTES,
        Text(zh="这里用了全角引号", en="these are full-width quotes"),
        Text(zh='请用半角 `"`，或不加引号', en='write `"`, or leave the quotes out'),
    ),
    (
        _TIGHT_COLON,
        Text(zh="冒号后面缺少空格", en="there is no space after the colon"),
        Text(zh="请在冒号后加一个空格", en="write a space after the colon"),
    ),
)


def explain_error(text: str, error: MarkedYAMLError) -> Flaw:
    """Return an error of YAML's grammar, traced to what caused it."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    lines = [line[:MAX_LINE] for line in text.split("\n")]
    begun = error.context_mark.line if error.context_mark is not None else line
    for flaw in (
        _missing_colon(lines, line),
        _special_character(lines, line),
        _figure(lines, line),
        _colon_in_sentence(lines, line),
        _open_quote(lines, begun, line),
        _indented(lines, line),
    ):
        if flaw is not None:
            return flaw
    problem = str(error.problem or error.context)
    message = Text(zh=f"不是有效的 YAML：{_PROBLEMS.get(problem, problem)}", en=f"not valid YAML: {problem}")
    advice = Text(
        zh="请对照上下各行，检查冒号、引号、括号和缩进",
        en="compare its colons, quotes, brackets and indentation with its neighbours",
    )
    return Flaw(line + 1, column, column + 1, message, advice, "R003")


_PROBLEMS = {
    "mapping values are not allowed in this context": "此处不应有冒号",
    "could not find expected ':'": "缺少冒号",
    "did not find expected key": "此处应为键",
    "did not find expected '-' indicator": "此处应为 `-`",
    "did not find expected ',' or '}'": "此处应为 `,` 或 `}`",
    "did not find expected ',' or ']'": "此处应为 `,` 或 `]`",
    "found unexpected end of stream": "文件提前结束，引号或括号没有闭合",
    "found character that cannot start any token": "此处不应有这个字符",
    "found a tab character that violates indentation": "缩进用了制表符",
    "block sequence entries are not allowed in this context": "此处不应有列表项",
    "control characters are not allowed": "文件中有控制字符",
}


def _missing_colon(lines: list[str], line: int) -> Flaw | None:
    """Trace an error to a key without a colon in the line, or in the one before it."""
    for number in (line, _previous(lines, line)):
        match = _NO_COLON.match(lines[number]) if 0 <= number < len(lines) else None
        if match is not None:
            message = Text(zh=f"“{match[1]}”后面缺少冒号", en=f"there is no colon after {match[1]!r}")
            advice = Text(zh=f"请写 `{match[1]}: `", en=f"write `{match[1]}: `")
            return Flaw(number + 1, match.start(1), match.end(1), message, advice, "R003")
    return None


def _previous(lines: list[str], line: int) -> int:
    """Return the last line before a line that is neither empty nor a comment."""
    before = (number for number in range(min(line, len(lines)) - 1, -1, -1) if lines[number].strip(" #"))
    return next(before, -1)


def _colon_in_sentence(lines: list[str], line: int) -> Flaw | None:
    match = _TWO_COLONS.search(lines[line]) if line < len(lines) else None
    colon = match["text"].find(": ") if match is not None else -1
    if match is None or colon < 0:
        return None
    start = match.start("text") + colon
    message = Text(zh="句子里有冒号加空格", en="the sentence contains a colon and a space")
    return Flaw(line + 1, start, start + 1, message, _QUOTE_IT, "R009")


def _figure(lines: list[str], line: int) -> Flaw | None:
    match = _FIGURE.search(lines[line]) if line < len(lines) else None
    if match is None:
        return None
    message = Text(zh=f"不加引号的文本里有 {match[0]}", en=f"a text without quotes contains {match[0]}")
    return Flaw(line + 1, match.start(), match.end(), message, _QUOTE_IT, "R009")


def _special_character(lines: list[str], line: int) -> Flaw | None:
    for number in (line, _previous(lines, line)):
        match = _SPECIAL.search(lines[number]) if 0 <= number < len(lines) else None
        if match is None or (match["text"][0] == "[" and match["text"].rstrip().endswith("]")):
            continue
        character = match["text"][0]
        message = Text(
            zh=f"不加引号的文本不能以“{character}”开头", en=f"a text without quotes cannot begin with {character!r}"
        )
        start = match.start("text")
        return Flaw(number + 1, start, start + 1, message, _QUOTE_IT, "R009")
    return None


def _open_quote(lines: list[str], begun: int, line: int) -> Flaw | None:
    """Trace an error to a quote that is not closed on its line."""
    for number in sorted({begun, line, *range(max(0, begun - 1), min(line + 1, len(lines)))}):
        for match in _OPEN_QUOTE.finditer(lines[number] if number < len(lines) else ""):
            quote, start = match["quote"], match.start("quote")
            if lines[number].count(quote, start) % 2 == 1:
                message = Text(zh="引号没有闭合", en="the quote is not closed")
                advice = Text(zh=f"请在文本末尾加上 {quote}", en=f"write {quote} at the end of the text")
                return Flaw(number + 1, start, len(lines[number].rstrip()), message, advice, "R003")
    return None


def _indented(lines: list[str], line: int) -> Flaw | None:
    """Trace an error to a line that begins neither where its neighbours do nor deeper for a reason."""
    if line >= len(lines):
        return None
    own = re.match(rf"^( *)(- +)?(?:{_KEY})\s*:", lines[line])
    before = _previous(lines, line)
    above = re.match(r"^( *(?:- +)*)", lines[before]) if before >= 0 else None
    if own is None or above is None or lines[before].rstrip().endswith(":"):
        return None
    width, expected = len(own[1]), len(above[1])
    if own[2] is not None or width == expected:
        return None
    message = Text(zh=f"这一行缩进了{width}格", en=f"this line is indented by {width} spaces")
    advice = Text(
        zh=f"上一行的内容从第{expected + 1}列开始；同级的键应对齐",
        en=f"the line above begins in column {expected + 1}; keys of one level begin in one column",
    )
    return Flaw(line + 1, 0, max(1, width), message, advice, "R003")
