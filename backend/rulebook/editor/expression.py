"""What may follow in a half-written condition: its text is read from the end, as it does not parse yet."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.editor.functions import FUNCTIONS, VARIABLES
from backend.rulebook.editor.reference import Fact, describe
from backend.rulebook.language.checker import MACROS
from backend.rulebook.language.types import Field, Type, fields_of

_METHODS = ("startsWith", "endsWith", "contains", "matches")
_PARTS = tuple(name for name in FUNCTIONS if name.startswith("get"))
_MACRO = re.compile(rf"\.(?:{'|'.join(MACROS)})\(\s*(?P<variable>[A-Za-z_]\w*)\s*,")
_WORD_EXPECTED = re.compile(
    r"""(?P<chain>[\w.]+)\s*(?:==|!=|in\s*\[(?:[^\[\]]*,)?)\s*(?P<quote>["'])(?P<typed>[\w-]*)$"""
)
_NAME = re.compile(r"[A-Za-z_]\w*$|$")
_STEP = re.compile(r"\.(?P<name>[A-Za-z_]\w*)")
_BRACKETS = {")": "(", "]": "["}


class Suggestion(Struct, frozen=True):
    """Something an author may type next: it replaces the last `replaces` characters before the cursor."""

    label: str
    kind: str
    detail: Text
    insert: str
    replaces: int


class Scope(Struct, frozen=True):
    """What a condition of a module may name."""

    facts: type[Struct] | None
    parameters: Mapping[str, Text]


def suggest_expression(text: str, scope: Scope) -> Iterator[Suggestion]:
    """Yield what may follow the text of a condition up to the cursor."""
    words = _WORD_EXPECTED.search(text)
    if words is not None:
        kind = type_of(words["chain"], text, scope)
        yield from (
            Suggestion(word, "word", Text(zh="可能的值", en="a possible value"), word, len(words["typed"]))
            for word in (kind.words if kind is not None else None) or ()
        )
        return
    if _in_quotes(text):
        return
    found = _NAME.search(text)
    typed = found[0] if found else ""
    before = text[: len(text) - len(typed)]
    if before.endswith("."):
        kind = type_of(receiver(before[:-1]), before, scope)
        yield from _members(kind, len(typed)) if kind is not None else ()
    else:
        yield from _names(before, scope, len(typed))


def _members(kind: Type, replaces: int) -> Iterator[Suggestion]:
    """Yield the fields of a record, the macros of a list, and the methods of a text or an instant."""
    if kind.struct is not None:
        for name, field in fields_of(kind.struct).items():
            yield Suggestion(name, "fact", fact_detail(describe(name, field)), name, replaces)
    elif kind.kind == "list":
        for name in MACROS:
            yield Suggestion(name, "function", FUNCTIONS[name].meaning, f"{name}(x, ", replaces)
    elif kind.kind in ("string", "timestamp"):
        for name in _METHODS if kind.kind == "string" else _PARTS:
            yield Suggestion(name, "function", FUNCTIONS[name].meaning, f"{name}(", replaces)


def _names(before: str, scope: Scope, replaces: int) -> Iterator[Suggestion]:
    for name, meaning in VARIABLES.items():
        yield Suggestion(name, "variable", meaning, name, replaces)
    for name, detail in scope.parameters.items():
        yield Suggestion(name, "parameter", detail, name, replaces)
    for name in dict.fromkeys(found["variable"] for found in _MACRO.finditer(before)):
        yield Suggestion(name, "variable", Text(zh="列表的一项", en="an element of the list"), name, replaces)
    for name, function in FUNCTIONS.items():
        if name not in MACROS and name not in _METHODS and name not in _PARTS:
            yield Suggestion(name, "function", function.meaning, f"{name}(", replaces)


def fact_detail(fact: Fact) -> Text:
    """Return what a fact means, with its type and limits, in one line."""
    limits = fact.limits()
    zh = "；".join(part for part in (fact.type.zh, limits.zh) if part)
    en = "; ".join(part for part in (fact.type.en, limits.en) if part)
    return Text(zh=f"{fact.meaning.zh}（{zh}）", en=f"{fact.meaning.en} ({en})")


def type_of(chain: str, text: str, scope: Scope) -> Type | None:
    """Return the type of names joined by dots, such as `facts.tests` or `t.kind`, at the end of `text`; or None."""
    field = field_of(chain, text, scope)
    return field.type if field is not None else None


def field_of(chain: str, text: str, scope: Scope) -> Field | None:
    """Return the field that names joined by dots stand for: a fact, an element of a list, or the facts themselves."""
    found = re.match(r"[A-Za-z_]\w*", chain)
    if found is None or scope.facts is None:
        return None
    at = found.end()
    if found[0] == "facts":
        field: Field | None = Field(Type("facts", struct=scope.facts), optional=False)
    elif found[0] == "now":
        field = Field(Type("timestamp"), optional=False)
    else:
        field = _element(found[0], text, scope)
    while field is not None and at < len(chain):
        step = _STEP.match(chain, at)
        if step is None:
            return None
        at = step.end()
        if chain[at : at + 1] == "(":
            at = _closing(chain, at)
            field = field if step["name"] == "filter" else None
        else:
            struct = field.type.struct
            field = fields_of(struct).get(step["name"]) if struct is not None else None
    return field


def _element(variable: str, text: str, scope: Scope) -> Field | None:
    """Return the element of the list that the last macro with this variable goes through."""
    found = [match for match in _MACRO.finditer(text) if match["variable"] == variable]
    if not found:
        return None
    start = found[-1].start()
    source = type_of(receiver(text[:start]), text[:start], scope)
    return Field(source.element, optional=False) if source is not None and source.element is not None else None


def receiver(text: str) -> str:
    """Return the names, dots and calls at the end of a text: what a following `.` would belong to."""
    at = len(text)
    while at > 0:
        character = text[at - 1]
        if character in _BRACKETS:
            at = _opening(text, at - 1)
        elif character.isalnum() or character in "_.":
            at -= 1
        else:
            break
    return text[at:]


def _opening(text: str, closing: int) -> int:
    """Return where the bracket opens that closes at an index; 0 if it does not."""
    depth = 0
    for index in range(closing, -1, -1):
        depth += (text[index] in ")]") - (text[index] in "([")
        if depth == 0:
            return index
    return 0


def _closing(text: str, opening: int) -> int:
    """Return the index after the bracket that closes the one at an index; the end if it stays open."""
    depth = 0
    for index in range(opening, len(text)):
        depth += (text[index] in "([") - (text[index] in ")]")
        if depth == 0:
            return index + 1
    return len(text)


def _in_quotes(text: str) -> bool:
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
    return bool(quote)
