"""Names of people, as identity documents show them and as phones type them.

Typed forms become one. Otherwise a name is accepted if documents could show it: the register knows whose it is.
"""

import re
import unicodedata

from backend.city.typed_text import without_invisible
from backend.problems import FieldError, Problem

MAX_LENGTH = 60
_PRIVATE_USE_OF_GBK = {
    chr(0xE815 + position): bytes((0xFE, trail)).decode("gb18030")
    for position, trail in enumerate((*range(0x50, 0x7F), *range(0x80, 0xA1)))
} | {
    "\ue816": "\U00020087",
    "\ue817": "\U00020089",
    "\ue818": "\U000200cc",
    "\ue81e": "\u9fb4",
    "\ue826": "\u9fb5",
    "\ue82b": "\u9fb6",
    "\ue82c": "\u9fb7",
    "\ue831": "\U000215d7",
    "\ue832": "\u9fb8",
    "\ue83b": "\U0002298f",
    "\ue843": "\u9fb9",
    "\ue854": "\u9fba",
    "\ue855": "\U000241fe",
    "\ue864": "\u9fbb",
}
"""The characters that GBK placed in the private use area, such as 䶮, in their places since GB 18030-2005."""

_TYPED = str.maketrans(
    dict.fromkeys("•・･‧∙⋅⸱ꞏ᛫●◦\u0387", "·")
    | dict.fromkeys("．。｡﹒", ".")
    | dict.fromkeys("○◯", "〇")
    | dict.fromkeys("‘’‛ʼʻ′`´＇", "'")
    | dict.fromkeys("‐‑‒–—―−－﹣", "-")
    | _PRIVATE_USE_OF_GBK
)
_VARIATIONS = re.compile("[\U000e0100-\U000e01ef]")
# All planes of Chinese characters, also those that Python does not know yet, and the private use areas of registers.
_HAN = "〇㐀-\u4dbf一-\u9fff\uf900-\ufaff\U00020000-\U0003fffd\ue000-\uf8ff\U000f0000-\U0010fffd"
_HAN_LETTER = re.compile(f"[{_HAN}]")
_DOT = re.compile(rf"(?<=[{_HAN}]) ?\.+ ?(?=[{_HAN}])| ?·+ ?")
_SPACE = re.compile(rf"(?<=[{_HAN}]) (?=[{_HAN}])")
_PUNCTUATION = "·' -.,"
_FIRST, _LAST = "'", "'."


class InvalidName(Problem):
    """The name contains characters that names on identity documents never have."""

    status, title_zh = 400, "姓名格式不正确"


def parse_name(text: str) -> str:
    """Parse a name as an identity document shows it; its parts are joined by `·` (U+00B7). Raises InvalidName."""
    typed = unicodedata.normalize("NFKC", _VARIATIONS.sub("", without_invisible(text)).translate(_TYPED))
    name = _SPACE.sub("", _DOT.sub("·", " ".join(typed.split())))
    letters = [character for character in name if character not in _PUNCTUATION]
    if (
        not (letters and len(name) <= MAX_LENGTH and all(map(_is_letter, letters)))
        or not (_is_letter(name[0]) or name[0] in _FIRST)
        or not (_is_letter(name[-1]) or name[-1] in _LAST)
    ):
        english = "Enter the name as on your document: letters or Chinese characters, optionally joined by ·."
        chinese = "姓名格式不正确，请按证件上的姓名填写。"
        raise InvalidName(zh=chinese, en=english, errors=(FieldError("/name", english, chinese),))
    return name


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" or _HAN_LETTER.fullmatch(character) is not None
