"""The instant at which a comparison with `now` changes: all terms but `now`, on one side."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from backend.rulebook.language.tree import Apply, Node, Variable
from backend.rulebook.language.types import ANY_TIMESTAMP


@dataclass
class LinearTerms:
    """The terms of an equation `now + ... = 0`, by sign."""

    instants: dict[int, list[Node]] = field(default_factory=lambda: {1: [], -1: []})
    durations: dict[int, list[Node]] = field(default_factory=lambda: {1: [], -1: []})

    def add(self, node: Node, sign: int) -> None:
        """Add an instant, a duration, or a sum of them, with `now` at most once."""
        if isinstance(node, Variable) and node.now_coefficient:
            return
        if isinstance(node, Apply) and node.now_coefficient:
            first, second = node.arguments
            self.add(first, sign)
            self.add(second, sign if node.name == "_+_" else -sign)
            return
        (self.instants if node.type.kind == "timestamp" else self.durations)[sign].append(node)

    @property
    def first(self) -> Node:
        """Return the instant to which all else is added."""
        return self.instants[-1][0]

    @property
    def differences(self) -> list[tuple[Node, Node]]:
        """Return the pairs of instants whose differences are added."""
        return list(zip(self.instants[-1][1:], self.instants[1], strict=True))

    @property
    def spans(self) -> list[tuple[Node, int]]:
        """Return the durations, each with the sign with which it is added."""
        return [(node, -sign) for sign in (1, -1) for node in self.durations[sign]]

    def fits(self) -> bool:
        """Return whether the instant is within the years 1 to 9999, for all facts, and each sum on the way to it."""
        return all(ANY_TIMESTAMP.low <= low and high < ANY_TIMESTAMP.high for low, high in self._sums())

    def _sums(self) -> Iterator[tuple[int, int]]:
        low, high = self.first.type.low, self.first.type.high
        yield low, high
        for plus, minus in self.differences:
            low, high = low + plus.type.low - minus.type.high, high + plus.type.high - minus.type.low
            yield low, high
        for node, sign in self.spans:
            ends = (sign * node.type.low, sign * node.type.high)
            low, high = low + min(ends), high + max(ends)
            yield low, high


def terms_of_comparison(left: Node, right: Node) -> LinearTerms:
    """Return the terms of the instant at which a comparison of two sides, one of them with `now`, changes."""
    terms = LinearTerms()
    terms.add(left, left.now_coefficient - right.now_coefficient)
    terms.add(right, right.now_coefficient - left.now_coefficient)
    return terms
