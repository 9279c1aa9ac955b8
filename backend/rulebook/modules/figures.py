"""Figures in texts: `隔离满{isolation}后转绿` names a parameter, so that text and law cannot differ.

A place is `{parameter}`, `{parameter:number}` without its unit, or a sum such as `{top_above + 1}` or
`{large_fen - small_fen}`; `{terms.quota}` is a figure of the terms. It gets the value of the day, once for each law.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.types import Type, type_of_value
from backend.rulebook.modules.module import Module, Otherwise, Parameter, Rule
from backend.rulebook.modules.periods import DatedValue, value_on
from backend.rulebook.modules.units import YUAN, figure_text, is_money
from backend.rulebook.source import suggest

NAMED_KINDS = ("int", "double", "string", "timestamp", "duration", "list")
_PLACE = re.compile(r"\{([^{}]*)\}")
_FIGURE = re.compile(r"(terms\.)?([a-z][a-z0-9_]*)(?:\s*([+-])\s*(?:(\d{1,12})|([a-z][a-z0-9_]*)))?(:number)?")


class InvalidFigure(Exception):
    """A text names a figure that does not exist, at its characters [start, end)."""

    def __init__(self, message: Text, start: int, end: int, help: Text) -> None:  # noqa: A002  the term that authors read
        super().__init__(message.en)
        self.message, self.start, self.end, self.help = message, start, end, help


@dataclass(frozen=True)
class Figure:
    """A place of a text: a figure, plus or minus another one or a whole number. `of_terms`: it is one of the terms."""

    start: int
    end: int
    name: str
    sign: int
    other: str | int
    of_terms: bool
    bare: bool

    def parameters(self) -> list[str]:
        """Return the names of the parameters that it uses."""
        return [one for one in (self.name, self.other) if isinstance(one, str) and not self.of_terms]


def figures_in(text: str) -> Iterator[Figure]:
    """Yield the figures of a text. Raises InvalidFigure for braces that hold none."""
    for place in _PLACE.finditer(text):
        found = _FIGURE.fullmatch(place[1].strip())
        if found is None:
            message = Text(zh=f"{place[0]} 不是参数", en=f"{place[0]} is not a figure")
            raise InvalidFigure(message, place.start(), place.end(), _EXAMPLE)
        sign = {"+": 1, "-": -1}.get(found[3], 0)
        other = int(found[4]) if found[4] else found[5] or 0
        yield Figure(place.start(), place.end(), found[2], sign, other, bool(found[1]), bool(found[6]))
    stray = re.search(r"[{}]", _PLACE.sub(lambda place: " " * len(place[0]), text))
    if stray is not None:
        message = Text(zh="花括号不成对", en="a brace without its pair")
        raise InvalidFigure(message, stray.start(), stray.end(), _EXAMPLE)


_EXAMPLE = Text(
    zh="写参数名，如 {isolation}、{isolation:number} 或 {large_fen - small_fen}",
    en="write the name of a parameter, as in {isolation}, {isolation:number} or {large_fen - small_fen}",
)


def check_figures(text: str, parameters: Mapping[str, Parameter], terms: Sequence[DatedValue]) -> list[str]:
    """Return the names of the parameters that a text uses. Raises InvalidFigure for a figure that does not exist."""
    figures = list(figures_in(text))
    kinds = {name: (parameter.type, parameter.unit) for name, parameter in parameters.items()}
    of_terms = _kinds_of_terms([dated.value for dated in terms])
    for figure in figures:
        known = of_terms if figure.of_terms else kinds
        for name in (figure.name, *([figure.other] if isinstance(figure.other, str) else [])):
            if name not in known or known[name][0].kind not in NAMED_KINDS:
                message = Text(zh=f"没有参数 {name!r}", en=f"there is no figure {name!r}")
                raise InvalidFigure(message, figure.start, figure.end, suggest(name, known))
        if figure.sign and not _adds_up(figure, known):
            message = Text(
                zh="两个数的种类或单位不同，不能相加减", en="figures of different kinds or units do not add up"
            )
            raise InvalidFigure(message, figure.start, figure.end, _EXAMPLE)
    return [name for figure in figures for name in figure.parameters()]


def _kinds_of_terms(terms: Sequence[Struct]) -> dict[str, tuple[Type, str | None]]:
    """Return the type and unit of each figure that all terms have."""
    names = terms[0].__struct_fields__ if terms else ()
    values = {name: [getattr(one, name) for one in terms] for name in names}
    return {
        name: (type_of_value(found[0]), _unit(name))
        for name, found in values.items()
        if all(type(value) in (int, timedelta) for value in found)
    }


def _adds_up(figure: Figure, known: Mapping[str, tuple[Type, str | None]]) -> bool:
    kind, unit = known[figure.name]
    if isinstance(figure.other, int):
        return kind.kind == "int" and unit != YUAN
    other, other_unit = known[figure.other]
    return kind.kind == other.kind and kind.kind in ("int", "duration") and unit == other_unit


def _unit(name: str) -> str | None:
    return YUAN if is_money(name) else None


@dataclass(frozen=True)
class TextsOfTheDay:
    """The texts of a module as they read on a day: with the figures of that day."""

    module: Module
    day: date
    zone: ZoneInfo

    def rule(self, rule: Rule) -> Rule:
        """Return the rule with its texts."""
        remedy = None if rule.remedy is None else self._filled(rule.remedy)
        return replace(rule, because=self._filled(rule.because), remedy=remedy)

    def otherwise(self, otherwise: Otherwise) -> Otherwise:
        """Return the result if no rule fires with its texts."""
        remedy = None if otherwise.remedy is None else self._filled(otherwise.remedy)
        return replace(otherwise, because=self._filled(otherwise.because), remedy=remedy)

    def _filled(self, text: Text) -> Text:
        if "{" not in text.zh and "{" not in text.en:
            return text
        return Text(zh=self._fill(text.zh, "zh"), en=self._fill(text.en, "en"))

    def _fill(self, text: str, language: str) -> str:
        for figure in reversed(list(figures_in(text))):
            text = text[: figure.start] + self._figure(figure).in_language(language) + text[figure.end :]
        return text

    def _figure(self, figure: Figure) -> Text:
        value, unit = self._value(figure, figure.name)
        if figure.sign:
            other = figure.other if isinstance(figure.other, int) else self._value(figure, figure.other)[0]
            value = value + other if figure.sign > 0 else value - other
        return figure_text(value, unit, self.zone, bare=figure.bare)

    def _value(self, figure: Figure, name: str) -> tuple[Any, str | None]:
        if figure.of_terms:
            dated = value_on(self.module.terms, self.day) or self.module.terms[0]
            return getattr(dated.value, name), _unit(name)
        parameter = self.module.parameters[name]
        # Before its first value there is no law, and only `otherwise` speaks: of the figure that is to come.
        dated = parameter.on(self.day) or parameter.values[0]
        return dated.value, parameter.unit
