"""The rules of a law as the source of a loop over columns, generated from the typed tree alone.

A kernel depends on the form of the rules, not on their figures: parameters, numbers, instants and durations are
arguments. So a draft that changes only figures runs the machine code of the rules in force.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backend.rulebook.language.tree import Node
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.preview.expressions import Expressions
from backend.rulebook.preview.layout import Layout, layout_of, mentioned_by
from backend.rulebook.preview.presence import needed_bits
from backend.rulebook.verdict import Law

Mode = Literal["decide", "fire"]

MAX_RULES_OF_BITS = 62
"""The most rules whose bits fit into one number."""


@dataclass
class KernelSource:
    """A kernel before it is compiled: its source, the columns it takes, and the values of its other arguments.

    `arrays` are the names of the columns in their order: `c_` values, `h_` presence, `o_` offsets. `texts` are the
    constants compared with free texts, `tables` what functions return for each text, `zones` as in `arithmetic.local`.
    """

    text: str
    layout: Layout
    arrays: tuple[str, ...]
    numbers: list[int]
    doubles: list[float]
    texts: list[str]
    tables: list[Callable[[str], int]]
    zones: list[int]


def kernel_source(module: Module, law: Law, mode: Mode = "decide") -> KernelSource:
    """Return the kernel of a law. With `fire` it returns the bits of all rules that fire instead of what decides.

    Raises Unsupported if a condition cannot be computed over columns.
    """
    conditions = [rule.condition for rule in law.rules]
    layout = layout_of(module.facts, mentioned_by(conditions))
    writer = _Writer(module, law, Expressions(layout, law.parameter_values))
    if mode == "fire" or module.strategy == "collect":
        writer.collect()
    elif module.strategy == "sum":
        writer.add_up()
    else:
        writer.decide()
    return writer.source(layout)


class TooManyRules(Exception):
    """The bits of the rules of a law do not fit into one number."""


@dataclass
class _Writer:
    module: Module
    law: Law
    expressions: Expressions
    needs: list[frozenset[int] | None] = field(default_factory=list["frozenset[int] | None"])
    idle: list[str] = field(default_factory=list[str])
    """What is written for a person whom no rule can concern."""

    def decide(self) -> None:
        """Write a loop that ends for a person at the first rule that decides."""
        order = list(range(len(self.law.rules)))
        if self.module.strategy == "most_severe":
            severity = {word: number for number, word in enumerate(self.module.result)}
            order.sort(key=lambda number: -severity[_word(self.law.rules[number])])
        for number in order:
            self._rule(number, [f"decisive[i] = {number}", "continue"])
        self.expressions.line("decisive[i] = -1")
        self.idle = ["decisive[i] = -1"]

    def add_up(self) -> None:
        """Write a loop that adds the numbers of all rules that fire, within the bounds of the result."""
        low, high = (self.expressions.number(int(bound)) for bound in self.module.result)
        self.expressions.line("total = 0")
        self.expressions.line("first = -1")
        for number, rule in enumerate(self.law.rules):
            amount = self.law.parameter_values[rule.then] if isinstance(rule.then, str) else rule.then
            self._rule(number, [f"total += {self.expressions.number(amount)}", f"if first < 0: first = {number}"])
        self.expressions.line("decisive[i] = first")
        otherwise = self.expressions.number(int(self.module.otherwise.then))
        self.expressions.line(f"results[i] = {otherwise} if first < 0 else min(max(total, {low}), {high})")
        self.idle = ["decisive[i] = -1", f"results[i] = {otherwise}"]

    def collect(self) -> None:
        """Write a loop that keeps a bit for each rule that fires."""
        if len(self.law.rules) > MAX_RULES_OF_BITS:
            raise TooManyRules(f"{self.module.name} has more than {MAX_RULES_OF_BITS} rules at once")
        self.expressions.line("fired = 0")
        for number in range(len(self.law.rules)):
            self._rule(number, [f"fired |= {1 << number}"])
        self.expressions.line("results[i] = fired")
        self.idle = ["results[i] = 0"]

    def _rule(self, number: int, consequences: Sequence[str]) -> None:
        condition: Node = self.law.rules[number].condition
        bits = needed_bits(condition, self.module.facts)
        self.needs.append(bits)
        write = self.expressions
        if bits is not None:
            write.line(f"if present & {mask_of(bits)}:")
            write.depth += 1
        write.line(f"if {write.expression(condition)}:")
        write.depth += 1
        for consequence in consequences:
            write.line(consequence)
        write.depth -= 1 if bits is None else 2

    def _skip(self) -> list[str]:
        """Return the lines that pass over a person who has no fact that any rule needs."""
        known = [bits for bits in self.needs if bits is not None]
        if len(known) < len(self.needs):
            return []
        mask = mask_of(frozenset[int]().union(*known))
        return [f"        if present & {mask} == 0:", *(f"            {line}" for line in [*self.idle, "continue"])]

    def source(self, layout: Layout) -> KernelSource:
        write = self.expressions
        arrays = tuple(sorted(write.arrays))
        text = "\n".join(
            [
                "from backend.rulebook.preview import arithmetic",
                "from backend.rulebook.preview.jit import assume, compiled",
                "",
                "",
                "@compiled",
                f"def kernel({', '.join([*ARGUMENTS, *arrays])}):",
                *(f"    n{number} = numbers[{number}]" for number in range(len(write.numbers))),
                *(f"    d{number} = doubles[{number}]" for number in range(len(write.doubles))),
                *(f"    s{number} = texts[{number}]" for number in range(len(write.texts))),
                "    for i in range(low, high):",
                "        assume(i >= 0)",
                "        present = presence[i]",
                *self._skip(),
                *write.lines,
                "",
            ]
        )
        return KernelSource(text, layout, arrays, write.numbers, write.doubles, write.texts, write.tables, write.zones)


ARGUMENTS = (
    "low",
    "high",
    "now",
    "numbers",
    "doubles",
    "texts",
    "tables",
    "zones",
    "presence",
    "decisive",
    "results",
)


def mask_of(bits: Iterable[int]) -> int:
    """Return a number with these bits set."""
    return sum(1 << bit for bit in bits)


def _word(rule: Rule) -> str:
    assert isinstance(rule.then, str)
    return rule.then
