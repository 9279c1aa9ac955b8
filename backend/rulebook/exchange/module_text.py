"""The YAML of an imported module."""

import json
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from backend.i18n import Text
from backend.rulebook.modules.field_reader import MAX_TEXT_CHARACTERS

_WIDTH = 110
_NAME_CHARACTERS = 80
_TYPOGRAPHY = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "{": "(", "}": ")"}
)


@dataclass(frozen=True)
class ImportedFact:
    """A fact that the module declares: its keys besides `meaning`, in YAML, and its meaning."""

    name: str
    keys: str
    meaning: Text


@dataclass(frozen=True)
class ImportedRule:
    """A rule of the module. Its condition is CEL."""

    id: str
    when: str
    then: str
    because: Text
    source: str


@dataclass(frozen=True)
class ImportedModule:
    """What is needed to write a module. `lists` are parameters with texts; all begin on the day `since`."""

    name: str
    title: Text
    notes: Sequence[Text]
    facts: Sequence[ImportedFact]
    result: str
    rules: Sequence[ImportedRule]
    otherwise: tuple[str, Text]
    since: date
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    source: str = ""

    def text(self) -> str:
        """Return the YAML."""
        lines = [f"# {note.zh}\n# {note.en}" for note in self.notes]
        lines += [f"module: {self.name}", f"title: {_both(self.title)}", "facts:"]
        for fact in self.facts:
            lines.append(f"  {fact.name}: {{{fact.keys}, meaning: {_both(fact.meaning)}}}")
        lines += [f"result: {self.result}", "strategy: first"]
        if self.lists:
            lines.append("parameters:")
        for name, values in self.lists.items():
            lines += [f"  {name}:", f"    - from: {self.since}", f"      value: {json.dumps(list(values))}"]
            lines.append(f"      source: {_quoted(self.source)}")
        lines.append("rules:")
        for rule in self.rules:
            lines += [f"  - id: {rule.id}", f"    from: {self.since}", *_when(rule.when), f"    then: {rule.then}"]
            lines += [f"    because: {_both(rule.because)}", f"    source: {_quoted(rule.source)}"]
        then, because = self.otherwise
        lines += ["otherwise:", f"  then: {then}", f"  because: {_both(because)}"]
        return "\n".join(lines) + "\n"


def _when(condition: str) -> list[str]:
    """Return the key `when`, in several lines where it is long; YAML joins them with one space."""
    if len(condition) <= _WIDTH and '"' not in condition and not condition.startswith("!") and ": " not in condition:
        return [f"    when: {condition}"]
    parts = [condition]
    if "  " not in condition:
        parts = textwrap.wrap(condition, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return ["    when: >-", *(f"      {part}" for part in parts)]


def name_of(text: str) -> str:
    """Return a text as a part of a module's or fact's name: lower-case letters, digits and _."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (name if name[:1].isalpha() else f"x_{name}")[:64].rstrip("_")


def one_line(text: str) -> str:
    """Return a name from a foreign file as a part of a sentence: in one line, short, without a figure's braces."""
    return textwrap.shorten(text.translate(_TYPOGRAPHY), _NAME_CHARACTERS, placeholder=" ...")


def in_ascii(text: str) -> str:
    """Return an English text as the rules keep it: ASCII, in one line, of at most 500 characters."""
    plain = unicodedata.normalize("NFKD", text.translate(_TYPOGRAPHY)).encode("ascii", "ignore").decode()
    return textwrap.shorten(plain, MAX_TEXT_CHARACTERS, placeholder=" ...")


def _both(text: Text) -> str:
    return f"{{zh: {_quoted(text.zh)}, en: {_quoted(text.en)}}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
