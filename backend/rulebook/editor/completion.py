"""What an author may type at a place: keys, facts, words, parameters, functions and rules."""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.editor.expression import Scope, Suggestion, suggest_expression
from backend.rulebook.editor.keys import keys_at, type_at
from backend.rulebook.editor.outline import Outline
from backend.rulebook.editor.place import ITEM, Place
from backend.rulebook.editor.reference import words_of
from backend.rulebook.modules.module import OTHERWISE, STRATEGIES

_TYPED = re.compile(r"[\w.-]*$")
_NOTHING = Text(zh="", en="")
_RESULT = Text(zh="可能的结果", en="a possible result")


class Draft(Struct, frozen=True):
    """What is known of a file that an author is editing.

    `outline` is that of the file, `module` that of the rule module: the file itself, or the one that its cases are
    for. `facts` are the module's facts, and `structs` all facts by name. `parameters` have their values as detail.
    """

    cases: bool
    outline: Outline
    module: Outline
    facts: type[Struct] | None
    structs: Mapping[str, type[Struct]]
    parameters: Mapping[str, Text]

    @property
    def scope(self) -> Scope:
        """Return what conditions may name."""
        return Scope(self.facts, self.parameters)


def suggest_at(place: Place, draft: Draft) -> list[Suggestion]:
    """Return what may follow at a place, without what is there already."""
    if place.is_key:
        return list(_keys(place, draft))
    if place.keys == ("rules", ITEM, "when") and not draft.cases:
        return list(suggest_expression(place.typed, draft.scope))
    typed = _TYPED.search(place.typed)
    replaces = len(typed[0]) if typed is not None else 0
    return [
        Suggestion(word, kind, detail, word, replaces)
        for word, kind, detail in (_cases_values(place.keys, draft) if draft.cases else _values(place.keys, draft))
    ]


def _keys(place: Place, draft: Draft) -> Iterator[Suggestion]:
    typed = _TYPED.search(place.typed)
    replaces = len(typed[0]) if typed is not None else 0
    for key in keys_at(place.keys, draft.facts, cases=draft.cases):
        yield Suggestion(key.name, "key", key.meaning, f"{key.name}: ", replaces)


def _values(keys: Sequence[str], draft: Draft) -> Iterator[tuple[str, str, Text]]:
    match tuple(keys):
        case ("facts",):
            for name, struct in draft.structs.items():
                summary = (struct.__doc__ or "").split("\n")[0]
                yield name, "struct", Text(zh=summary, en=summary)
        case ("strategy",):
            yield from ((name, "word", _NOTHING) for name in STRATEGIES)
        case ("rules", "-", "then") | ("otherwise", "then"):
            yield from ((word, "word", _RESULT) for word in draft.module.words("result"))
            if keys[0] == "rules" and not draft.module.words("result"):
                yield from ((name, "parameter", detail) for name, detail in draft.parameters.items())
        case ("rules" | "parameters", *_, "article") | ("rules" | "parameters", *_, "article", "-"):
            yield from _articles(draft.outline)
        case _:
            yield from _fact_values(keys, draft)


def _articles(outline: Outline) -> Iterator[tuple[str, str, Text]]:
    """Yield the articles that the module names, each with its title."""
    for keys, (chinese, *_) in outline.scalars.items():
        match keys:
            case ("articles", order, "articles", number, "title", "zh"):
                english = outline.word(*keys[:-1], "en")
                yield f"{order}/{number}", "word", Text(zh=chinese.text, en=english)
            case _:
                pass


def _cases_values(keys: Sequence[str], draft: Draft) -> Iterator[tuple[str, str, Text]]:
    match tuple(keys):
        case ("module",):
            yield from ((name, "word", _NOTHING) for name in [draft.module.word("module")] if name)
        case ("cases", "-", "expect", "rule") | ("cases", "-", "expect", "fired", "-"):
            yield from ((name, "rule", _NOTHING) for name in draft.module.rules)
            if keys[-1] == "rule":
                yield OTHERWISE, "rule", Text(zh="没有规则生效", en="no rule fires")
        case ("cases", "-", "expect") | ("cases", "-", "expect", "result") | ("cases", "-", "expect", "result", "-"):
            yield from ((word, "word", _RESULT) for word in draft.module.words("result"))
        case ("cases", "-", "expect", "changes_at"):
            yield "never", "word", Text(zh="不再变化", en="it does not change")
        case _:
            yield from _fact_values(keys, draft)


def _fact_values(keys: Sequence[str], draft: Draft) -> Iterator[tuple[str, str, Text]]:
    kind = type_at(tuple(keys), draft.facts, cases=draft.cases)
    if kind is not None:
        words = ("true", "false") if kind.kind == "bool" else words_of(kind)
        yield from ((word, "word", Text(zh="可能的值", en="a possible value")) for word in words)
