"""Quick fixes: the faults that say exactly what to write, as edits."""

import re
import unicodedata

from backend.i18n import Text
from backend.rulebook.editor.positions import Edit, range_of
from backend.rulebook.source import Fault

_SUGGESTED = re.compile(r"^did you mean '(?P<name>[^']+)'\?$")
_WRITE = re.compile(r"^(?:.*\b)?(?:write|compare with|is written) `(?P<text>[^`]+)`$")
_FULL_WIDTH = re.compile(r"[\uff01-\uff5e\u3000\u201c\u201d\u2018\u2019\u3001\u3002]+")
_QUOTES = str.maketrans({"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u3001": ",", "\u3002": "."})
