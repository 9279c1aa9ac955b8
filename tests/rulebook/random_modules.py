"""Random rule modules that pass the checks, and random people for each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from msgspec import Struct

from backend.rulebook import InvalidRulebook, Rulebook, SourceFile, make_rulebook
from backend.rulebook.language.tree import Constant, walk
from backend.rulebook.language.types import (
    INSTANT_RANGE,
    MAX_FACT_DURATION,
    MICROSECOND,
    Type,
    type_of_value,
)
from backend.rulebook.modules.module import Module
from backend.rulebook.prover.symbols import accepts
from tests.rulebook.prover.small_people import SmallPeople
from tests.rulebook.random_conditions import Conditions, Scope
from tests.rulebook.random_shapes import declared, random_struct
from tests.rulebook.tram import CITY

NAME = "m"
DAYS = ("2020-01-01", "2022-07-01", "2024-02-29", "2024-03-01", "2031-01-01")
VALUES: dict[str, tuple[Any, ...]] = {
    "limit": (0, 1, 5, 18, 70),
    "amount_fen": ("1_200 yuan", "0.50 yuan", "3 fen"),
    "span": ("14d", "1h30m", "0s", "3650d"),
    "favourite": ("a", "b", "owner", "low"),
    "opened": ("2023-01-01T00:00:00+08:00", "1990-06-30T12:00:00Z"),
    "several": ("[1, 2, 3]", "[7]"),
    "towns": ('["a", "b"]', '["浙江", "IT"]'),
    "open": ("true", "false"),
    "rate": ("0.5", "2.5"),
}
"""What parameters may be called, and their values as written."""

WORD_RESULTS = ("green", "yellow", "red")
STRATEGIES = ("most_severe", "first", "first", "unique", "sum", "collect", "number")


@dataclass(frozen=True)
class RandomModule:
    """A module that passed the checks, in a rulebook of its own, and how many drafts were refused before it."""

    rulebook: Rulebook
    module: Module
    refused: int


def random_module(seed: int) -> RandomModule:
    """Return the module of a seed."""
    random = Random(seed)
    refused = 0
    while True:
        found = _drawn(random)
        if found is not None:
            return RandomModule(found, found.modules[NAME], refused)
        refused += 1


def _drawn(random: Random) -> Rulebook | None:
    """Return the rulebook of a random draft, or None if it is refused."""
    try:
        if random.random() < 0.3:
            facts, known = declared(random), list[type[Struct]]()
            struct = _rulebook(_text(facts, "first", "", ["true"], ["red"]), known).modules[NAME].facts
        else:
            struct = random_struct(random)
            facts, known = "Facts0", [struct]
        return _rulebook(_draft(random, facts, struct), known)
    except InvalidRulebook:
        return None


def _rulebook(text: str, known: list[type[Struct]]) -> Rulebook:
    return make_rulebook({NAME: SourceFile(f"{NAME}.yaml", text, [])}, known, CITY)


def _draft(random: Random, facts: str, struct: type[Struct]) -> str:
    strategy = random.choice(STRATEGIES)
    names = random.sample(sorted(VALUES), random.randint(0, 4))
    pool = {name: _kind_of(name) for name in names}
    conditions = Conditions(random, pool)
    scope = Scope({"facts": struct}, {})
    whens = [conditions.truth(scope, random.choice([1, 2, 2, 3])) for _ in range(random.choice([1, 2, 2, 3, 4]))]
    if strategy == "unique":
        whens = [" && ".join([*(f"!({one})" for one in whens[:n]), f"({when})"]) for n, when in enumerate(whens[:2])]
    thens = _thens(random, strategy, len(whens), [name for name in names if name in ("limit", "amount_fen")])
    return _text(facts, strategy, _parameters(random, names), whens, thens, random)


def _kind_of(name: str) -> Type:
    """Return the type of a parameter; conditions need its kind, and the words of a list."""
    examples = {
        "limit": 1, "amount_fen": 1, "span": timedelta(1), "favourite": "a", "opened": INSTANT_RANGE[0],
        "several": (1, 2), "towns": ("a", "b"), "open": True, "rate": 0.5,
    }  # fmt: skip
    kind = type_of_value(examples[name])
    return Type("string") if kind.kind == "string" else kind


def _parameters(random: Random, names: list[str]) -> str:
    if not names:
        return ""
    lines = ["parameters:"]
    for name in names:
        days = ["2020-01-01", *sorted(random.sample(DAYS[1:], random.choice([0, 0, 1, 2])))]
        values = [f"{{from: {day}, value: {_value(random, name)}, source: s}}" for day in days]
        lines.append(f"  {name}: [{', '.join(values)}]")
    return "\n".join(lines) + "\n"


def _value(random: Random, name: str) -> str:
    value = random.choice(VALUES[name])
    return f'"{value}"' if name in ("favourite", "opened") else str(value)


def _thens(random: Random, strategy: str, number: int, numeric: list[str]) -> list[str]:
    if strategy in ("sum", "number"):
        return [random.choice(["-3", "0", "2", "40", *numeric]) for _ in range(number)]
    return [random.choice(WORD_RESULTS) for _ in range(number)]


def _text(
    facts: str, strategy: str, parameters: str, whens: list[str], thens: list[str], random: Random | None = None
) -> str:
    numeric = strategy in ("sum", "number")
    result = "{at_least: -5, at_most: 200000}" if numeric else f"[{', '.join(WORD_RESULTS)}]"
    strategy = "first" if strategy == "number" else strategy
    lines = [f"module: {NAME}", "title: {zh: 甲, en: A}", f"facts: {facts}", f"result: {result}",
             f"strategy: {strategy}", f"{parameters}rules:"]  # fmt: skip
    for number, (when, then) in enumerate(zip(whens, thens, strict=True)):
        since = random.choice([DAYS[0], DAYS[0], *DAYS[1:]]) if random is not None else DAYS[0]
        until = f", until: {random.choice(DAYS[3:])}" if random is not None and random.random() < 0.2 else ""
        lines.append(f"  - {{id: r{number}, from: {since}{until}, then: {then}, source: s,")
        lines.append(f"     because: {{zh: 甲, en: A}}, when: {quoted(when)}}}")
    lines.append(f"otherwise: {{then: {'0' if numeric else WORD_RESULTS[0]}, because: {{zh: 乙, en: B}}}}\n")
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Return a text in YAML's single quotes."""
    return "'" + text.replace("'", "''") + "'"


class ExtremePeople(SmallPeople):
    """Draws people near the boundaries of a module, and at the ends of what their facts admit."""

    def __init__(self, drawn: RandomModule, random: Random) -> None:
        super().__init__([drawn.rulebook], NAME, random)
        rules = list(self.module.rules)
        constants = [node.value for rule in rules for node in walk(rule.condition) if isinstance(node, Constant)]
        parameters = [value.value for one in self.module.parameters.values() for value in one.values]
        plain = list(_flat([*constants, *parameters]))
        self.texts = sorted({value for value in plain if isinstance(value, str)} | {"", "a", "IT", "浙江", "x" * 40})
        self.dates = sorted({value for value in plain if isinstance(value, datetime)})
        self.spans = self.spans[:40]

    def draw_instant(self) -> datetime:
        """Draw the instant for which to decide, also at the ends of the calendar and at instants of the rules."""
        first, last = INSTANT_RANGE[0], INSTANT_RANGE[1] - MICROSECOND
        usual = super().draw_instant()
        chosen = self.random.choice([usual, usual, usual, first, last, *self.dates])
        self.now = min(max(chosen, first), last)
        return self.now

    def value(self, kind: Type, described: Any) -> Any:  # noqa: ANN401  any fact
        """Draw a value of a type, one in eight of them extreme."""
        random = self.random
        extreme = random.random() < 0.12
        match kind.kind:
            case "int" if extreme:
                return random.choice([kind.low, kind.high, min(max(0, kind.low), kind.high)])
            case "double":
                return random.choice([0.0, -0.0, 0.5, 2.0, 100.25, 1e308, -1e308, float(random.choice(self.numbers))])
            case "string" if kind.words is None:
                return random.choice([text for text in self.texts if accepts(described, text)])
            case "timestamp":
                near = random.choice([*self.dates, self.now, self.now])
                held = near - random.choice(self.spans) * random.choice([1, 1, -1]) if self.fits(near) else near
                ends = (INSTANT_RANGE[0], INSTANT_RANGE[1] - MICROSECOND)
                held += random.choice([timedelta(), timedelta(), MICROSECOND, -MICROSECOND])
                return random.choice(ends) if extreme else min(max(held, ends[0]), ends[1])
            case "duration":
                ends = (-MAX_FACT_DURATION, MAX_FACT_DURATION)
                held = random.choice([*self.spans, timedelta(), timedelta(seconds=1.5), -timedelta(hours=3)])
                return random.choice(ends) if extreme else min(max(held, ends[0]), ends[1])
            case _:
                return super().value(kind, described)

    @staticmethod
    def fits(at: datetime) -> bool:
        """Return whether a few centuries may be added to an instant, or taken from it."""
        return INSTANT_RANGE[0].year < at.year < INSTANT_RANGE[1].year


def _flat(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _flat(list(value))  # pyright: ignore[reportUnknownArgumentType]  constants of any type
        else:
            yield value
