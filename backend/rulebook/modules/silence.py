"""Silences: comments with which an author lets a check's finding stand, and says why.

`# silence R064: the order names both classes` silences a finding in its line, or in the next one if the comment stands
alone. Only checks of sense and style can be silenced. A silence that does nothing is a fault, so that none outlives
its reason.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.checks import all_checks
from backend.rulebook.source import NO_HELP, Location, SourceFile, suggest

_SILENCE = re.compile(r"(?:^|\s)#\s*silence\b\s*(?P<code>[^\s:：]*)\s*[:：]?\s*(?P<reason>.*)$")


class _Silence(Struct, frozen=True):
    """A silence of `code` in a line."""

    code: str
    reason: str
    line: int
    location: Location


def apply_silences(file: SourceFile) -> None:
    """Remove the faults that the file silences, and add one for each silence that is wrong or silences nothing."""
    for silence in list(_silences(file.text)):
        silenced = [one for one in file.faults if one.code == silence.code and one.location.line == silence.line]
        message, advice = _mistake(silence, found=bool(silenced))
        if message is not None:
            file.fault(silence.location, message, advice, "R047")
        else:
            file.faults[:] = [one for one in file.faults if one not in silenced]


def _silences(text: str) -> Iterator[_Silence]:
    lines = text.split("\n")
    for number, line in enumerate(lines):
        match = _SILENCE.search(line)
        if match is None:
            continue
        begin = line.index("#", match.start())
        covered = number
        if not line[:begin].strip():
            covered = next((n for n in range(number + 1, len(lines)) if _is_written(lines[n])), number)
        yield _Silence(
            match["code"], match["reason"].strip(), covered + 1, Location(number + 1, begin + 1, len(line) - begin)
        )


def _is_written(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _mistake(silence: _Silence, *, found: bool) -> tuple[Text | None, Text]:
    """Return what is wrong with a silence, and what to do; None if nothing is."""
    code, checks = silence.code, all_checks()
    if code not in checks:
        return Text(zh=f"没有编号为“{code}”的检查", en=f"there is no check {code!r}"), suggest(code, checks)
    if not checks[code].silenced:
        advice = Text(zh="请更正所指出的错误", en="correct what it finds")
        return Text(zh=f"{code} 不能静默", en=f"{code} cannot be silenced"), advice
    if not silence.reason:
        advice = Text(zh=f"请写 `# silence {code}: 理由`", en=f"write `# silence {code}: reason`")
        return Text(zh="静默没有写明理由", en="the silence has no reason"), advice
    if not found:
        advice = Text(zh="请删去，或移到它所指的行之上", en="remove it, or put it above the line that it is about")
        return Text(zh=f"此处没有 {code} 的发现", en=f"{code} finds nothing here"), advice
    return None, NO_HELP
