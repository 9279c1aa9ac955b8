"""Quick fixes: what to write in place of a fault, where its help says exactly that."""

import re
import unicodedata

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.source import Fault

_SUGGESTED = re.compile(r"did you mean '(?P<text>[^']+)'\?")
_WRITE = re.compile(r"(?:^|\b(?:write|with|written|use) )`(?P<text>[^`]+)`$")
_FULL_WIDTH = re.compile(r"[\uff01-\uff5e\u3000\u201c\u201d\u2018\u2019\u3001]")
_HALF_WIDTH = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u3001": ", "})
_KEYED = re.compile(r"\w+: (?P<value>.+)")
_QUOTES = "\"'"


class Fix(Struct, frozen=True):
    """The text that replaces the location of a fault."""

    title: Text
    replacement: str


def fix_of(fault: Fault) -> Fix | None:
    """Return the fix of a fault, or None if an author must decide."""
    at = fault.location
    wrong = fault.excerpt[at.column - 1 : at.column - 1 + at.length]
    replacement = _replacement(fault.help.en.strip(), wrong)
    if replacement is None or replacement == wrong:
        return None
    return Fix(Text(zh=f"改为 {replacement}", en=f"Change to {replacement}"), replacement)


def _replacement(advice: str, wrong: str) -> str | None:
    suggested = _SUGGESTED.search(advice)
    if suggested is not None:
        return _quoted_like(wrong, suggested["text"])
    if _FULL_WIDTH.search(wrong):
        return unicodedata.normalize("NFKC", wrong.translate(_HALF_WIDTH))
    written = _WRITE.search(advice)
    if written is None or "..." in written["text"] or "\n" in written["text"]:
        return None
    keyed = _KEYED.fullmatch(written["text"])
    return _quoted_like(wrong, keyed["value"] if keyed is not None else written["text"])


def _quoted_like(wrong: str, text: str) -> str:
    """Return a text in the quotes of what it replaces."""
    is_quoted = len(wrong) > 1 and wrong[0] in _QUOTES and wrong[0] == wrong[-1] and text[:1] not in _QUOTES
    return f"{wrong[0]}{text}{wrong[0]}" if is_quoted else text
