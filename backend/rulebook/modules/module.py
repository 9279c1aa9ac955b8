"""The content of a rule module: rules, parameters, terms and the result if no rule fires."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.tree import Node, Variable, walk
from backend.rulebook.language.types import Type
from backend.rulebook.modules.periods import DatedValue, value_on
from backend.rulebook.source import Location

Strategy = Literal["most_severe", "first", "unique", "sum", "collect"]
STRATEGIES: tuple[Strategy, ...] = ("most_severe", "first", "unique", "sum", "collect")
NUMERIC = ("first", "unique", "sum")
"""The strategies that a module of whole numbers may use."""

OTHERWISE = "otherwise"


@dataclass(frozen=True)
class Parameter:
    """A dated parameter: its values in the order of their dates, and what they are called and measured in.

    `unit` is one of modules.units.UNITS, or None. The values of one in yuan are in fen.
    """

    name: str
    type: Type
    values: tuple[DatedValue, ...]
    label: Text | None = None
    unit: str | None = None

    def on(self, day: date) -> DatedValue | None:
        """Return the value in force on a day, or None."""
        return value_on(self.values, day)


@dataclass(frozen=True)
class Article:
    """An article of an order. Its `id` is that of the order and its number: order_2020/1.

    `not_encoded` is the reason for which no rule encodes it, or a part of it.
    """

    id: str
    title: Text
    not_encoded: Text | None
    location: Location


@dataclass(frozen=True)
class Order:
    """An order, law or plan that a module encodes, with its articles as far as the module names them."""

    name: str
    title: Text
    source: str
    articles: tuple[Article, ...]


@dataclass(frozen=True)
class Rule:
    """One rule: if its condition holds, it fires with `then` (a word, a number, or a parameter's name).

    Its texts have places for figures, as in modules.figures; `Rulebook.in_force` returns rules with the day's figures.
    `articles` are those that it encodes, such as order_2020/1.
    """

    id: str
    since: date | None
    until: date | None
    text: str
    condition: Node
    then: str | int
    because: Text
    remedy: Text | None
    source: str
    location: Location
    articles: tuple[str, ...] = ()

    def names(self) -> set[str | int]:
        """Return what its condition and its `then` name, parameters among them; a whole number in `then` is itself."""
        return {self.then, *(node.name for node in walk(self.condition) if isinstance(node, Variable))}


@dataclass(frozen=True)
class Otherwise:
    """The result if no rule fires."""

    then: str | int
    because: Text
    remedy: Text | None


@dataclass(frozen=True)
class Module:
    """A checked rule module.

    `result` are its possible results, mildest first, or the bounds of its numbers. `terms` are Structs for the service,
    dated like the rules. `in_yuan` says whether its numbers are money, and were written so; they are in fen. `orders`
    are those whose articles it names.
    """

    name: str
    title: Text
    facts: type[Struct]
    result: tuple[str, ...] | tuple[int, int]
    strategy: Strategy
    parameters: Mapping[str, Parameter]
    rules: tuple[Rule, ...]
    otherwise: Otherwise
    terms: tuple[DatedValue, ...] = ()
    in_yuan: bool = False
    orders: tuple[Order, ...] = ()

    def number_of(self, then: str | int, day: date) -> int:
        """Return the number of a rule in force on a day: its own, or the value of the parameter that it names."""
        if isinstance(then, int):
            return then
        dated = self.parameters[then].on(day)
        assert dated is not None, "a rule in force has values for its parameters"
        return cast("int", dated.value)

    @property
    def numeric(self) -> bool:
        """Whether its results are whole numbers, so that `then` is a number or names a parameter with one."""
        return isinstance(self.result[0], int)
