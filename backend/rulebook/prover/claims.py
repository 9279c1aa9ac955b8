"""Claims: what must hold of a module for every person, or of two editions of it.

`colour.claims.yaml` is next to `colour.yaml` and has the standing claims of that module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.tree import Node
from backend.rulebook.modules.module import OTHERWISE, Module
from backend.rulebook.source import Location

Never = Literal["worse", "better", "different"]
Direction = Literal["earlier", "later", "more", "less"]
DIRECTIONS: tuple[Direction, ...] = ("earlier", "later", "more", "less")
Path = tuple[str, ...]
"""The names on the way to a fact; a list is followed by the field of its elements."""

_START = Location(1, 1)


@dataclass(frozen=True)
class Compared:
    """The new edition is never worse than the old one, except for those of whom `unless` holds."""

    never: Never
    unless: Node | None = None


@dataclass(frozen=True)
class Changed:
    """If only one fact were earlier, later, more or less, the result would never be worse."""

    direction: Direction
    path: Path
    never: Never


@dataclass(frozen=True)
class Added:
    """If a list had one element more, of which `where` holds, the result would never be worse."""

    path: Path
    where: Node | None
    never: Never


@dataclass(frozen=True)
class Apart:
    """Nobody gets both words, or no two rules fire for the same person."""

    one: str
    other: str


@dataclass(frozen=True)
class Decided:
    """Some rule decides for everybody; `otherwise` never does."""


@dataclass(frozen=True)
class Always:
    """A condition over `old`, `new`, `facts` and `now` holds for everybody."""

    condition: Node
    compares: bool


Subject = Compared | Changed | Added | Apart | Decided | Always


@dataclass(frozen=True)
class Claim:
    """A claim about one module: in words, by whom, for which instants and persons, and what is claimed.

    `condition` limits it to persons of whom it holds; `since` and `until` limit `now`. `lists` is the length of lists
    that the author asks for. `fails` is the reason why a claim is known not to hold.
    """

    id: str
    name: Text
    subject: Subject
    best_is_high: bool
    source: str = ""
    since: date | None = None
    until: date | None = None
    condition: Node | None = None
    texts: tuple[tuple[Node, str], ...] = ()
    lists: int | None = None
    fails: str | None = None
    location: Location = _START

    @property
    def compares(self) -> bool:
        """Whether it is about two editions."""
        return isinstance(self.subject, Compared) or (isinstance(self.subject, Always) and self.subject.compares)

    def conditions(self) -> Sequence[Node]:
        """Return the conditions that it states itself."""
        match self.subject:
            case Compared(unless=own) | Added(where=own):
                pass
            case Always(condition=own):
                pass
            case _:
                own = None
        return [condition for condition in (self.condition, own) if condition is not None]


def best_is_high(module: Module) -> bool:
    """Return whether results at the end of the scale are good, if the author does not say: numbers yes, words no."""
    return module.numeric


def default_claim(module: Module, *, high: bool) -> Claim:
    """Return the claim that nobody is worse off than before, in the terms of the module."""
    if module.numeric:
        name = Text(zh="没有人得到的比原来少", en="nobody gets less than before")
        if not high:
            name = Text(zh="没有人承担的比原来多", en="nobody gets more than before")
    elif module.strategy == "collect":
        name = Text(zh="没有人比原来多出一项", en="nobody gets a further word")
        if high:
            name = Text(zh="没有人比原来少一项", en="nobody loses a word")
    else:
        first, last = module.result[0], module.result[-1]
        best, worst = (last, first) if high else (first, last)
        name = Text(
            zh=f"没有人的结果比原来差（{best}最好，{worst}最差）",
            en=f"nobody gets a worse word than before ({best} is best, {worst} is worst)",
        )
    return Claim("nobody-is-worse-off", name, Compared("worse"), high)


def verdict_struct(module: Module, *, old: bool) -> type[Struct]:
    """Return the Struct of `old` or `new` in a free claim: result, rule, fired, and the place of a word in `result`.

    The rules of another edition may have other names, so `old.rule` is any text.
    """
    rules: Any = str if old else Literal[(*(rule.id for rule in module.rules), OTHERWISE)]  # pyright: ignore[reportInvalidTypeForm]  made from data
    if module.numeric:
        low, high = cast("tuple[int, int]", module.result)
        otherwise = cast("int", module.otherwise.then)  # `sum` limits only what the rules add up to
        result: Any = Annotated[int, msgspec.Meta(ge=min(low, otherwise), le=max(high, otherwise))]
    else:
        word: Any = Literal[module.result]  # pyright: ignore[reportInvalidTypeForm]  made from data
        result = tuple[word, ...] if module.strategy == "collect" else word
    fields: list[tuple[str, Any]] = [("result", result), ("rule", rules), ("fired", tuple[rules, ...])]
    if not module.numeric and module.strategy != "collect":
        fields.append(("severity", Annotated[int, msgspec.Meta(ge=0, le=len(module.result) - 1)]))
    return msgspec.defstruct("OldVerdict" if old else "NewVerdict", fields, frozen=True)
