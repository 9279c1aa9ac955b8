"""Normalise the text of an address: width, spaces, brackets and the numerals where a number can be.

Numerals in names (五一路, 三里亭, 十八家) stay as they are; numerals before 号, 幢 and the like become digits.
"""

import re
import unicodedata

from backend.services.school_lookup.numerals import NUMERAL, numeral_value

_DASHES = str.maketrans(
    dict.fromkeys("‐‑‒–—―−﹣", "-") | {"～": "~", "〜": "~", "號": "号"} | dict.fromkeys("【】[]〔〕《》<>“”\"'")
)
_LEADING_NOTE = re.compile(r"^\(([^()]*)\)")
_TRAILING_NOTE = re.compile(r"\([^()]*\)$")
_NOTE = re.compile(r"\(([^()]*)\)")
_UNIT = r"(?:号|支?弄|幢|栋|座|单元|室|楼|层|组(?!团)|队|#)"
_LETTER = "[甲乙丙丁戊A-H]"
_RUN = rf"(?:{NUMERAL}+|\d+)"
_BEFORE_UNIT = re.compile(rf"{NUMERAL}+(?=(?:{_LETTER}?号?[-之附至到~、]{_RUN})*{_LETTER}?{_UNIT})")
_AFTER_NUMBER = re.compile(rf"(?<=号[-之附]){NUMERAL}+")
_AT_END = re.compile(rf"(?<=[路街巷弄道里埭幢栋座元号楼层])({NUMERAL}+)((?:[-之附]{_RUN})?)$")
_AFTER_DIGITS = re.compile(rf"(?<=\d[-之附]){NUMERAL}+$")
_ANY_NUMERAL = re.compile(NUMERAL)
_LATIN_ZERO = re.compile(rf"(?<={NUMERAL})[0O](?={NUMERAL}|号)")
_SPACE = re.compile(r"[\s,.;。]+")
_LIST = re.compile(r"\s*、\s*")
_SPACE_IN_NUMBER = re.compile(r"(?<=\d)[\s,.;。]+(?=\d)")
_SPACE_IN_NUMERAL = re.compile(rf"(?<=[零一二三四五六七八九])\s+(?=[零一二三四五六七八九]+{_UNIT})")
_MAYBE_NAMES = frozenset("陆伍百千两")
"""Characters that are numerals, but in 大陆弄 or 老伍家 belong to a name if they stand alone."""


def normalised(text: str) -> tuple[str, str]:
    """Return an address in half width without spaces, and the notes in brackets within it, which are not understood.

    A note at the end, as in 中山北路632号（近文晖路）, does not change the place and is dropped. Between two digits a
    space stays: 4 1号 is not 41号.
    """
    narrow = unicodedata.normalize("NFKC", text).upper().translate(_DASHES).strip()
    notes = ""
    if "(" in narrow:
        narrow = _TRAILING_NOTE.sub("", _LEADING_NOTE.sub(r"\1", narrow).rstrip(" ,.;。"))
        notes = "".join(_NOTE.findall(narrow))
        narrow = _NOTE.sub("", narrow)
    return _with_digits(_without_spaces(narrow)), "".join(notes.split())


def normalised_name(name: str) -> str:
    """Return the name of a road or community in half width without spaces and brackets."""
    return _with_digits(re.sub(r"[\s()]+", "", unicodedata.normalize("NFKC", name).upper().translate(_DASHES)))


def _without_spaces(text: str) -> str:
    if _SPACE.search(text) is None:
        return text
    kept = _SPACE_IN_NUMERAL.sub("\0", _SPACE_IN_NUMBER.sub("\0", _LIST.sub("、", text)))
    return _SPACE.sub("", kept).replace("\0", " ")


def _with_digits(text: str) -> str:
    if _ANY_NUMERAL.search(text) is None:
        return text
    found = _BEFORE_UNIT.sub(_digits, _LATIN_ZERO.sub("〇", text))
    found = _AFTER_NUMBER.sub(_digits, found)
    found = _AT_END.sub(lambda match: _digits_of(match[1]) + match[2], found)
    return _AFTER_DIGITS.sub(_digits, found)


def _digits(found: re.Match[str]) -> str:
    before = found.string[: found.start()][-1:]
    if found[0] in _MAYBE_NAMES and before not in "路街巷弄道里号区苑村院":
        return found[0]
    return _digits_of(found[0])


def _digits_of(numeral: str) -> str:
    value = numeral_value(numeral)
    return numeral if value is None else str(value)
