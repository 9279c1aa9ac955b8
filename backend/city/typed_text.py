"""What people type, in one form: phones and keyboards write the same number in many ways."""

import re
import unicodedata

_INVISIBLE = re.compile(r"[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
_SEPARATORS = re.compile(r"[\s\-‐‑‒–—―−]+")


def without_invisible(text: str) -> str:
    """Return a text without the characters that have no width, such as those that copying a phone number adds."""
    return _INVISIBLE.sub("", text)


def compact(text: str) -> str:
    """Return a typed number in half-width characters (NFKC) and capitals, without spaces and hyphens."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", without_invisible(text))).upper()
