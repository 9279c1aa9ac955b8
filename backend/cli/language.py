"""The language of what commands print: that of the terminal's locale."""

from __future__ import annotations

import os


def language() -> str:
    """Return "zh" if the terminal's locale is Chinese, or else "en"."""
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "zh" if locale.startswith("zh") else "en"
