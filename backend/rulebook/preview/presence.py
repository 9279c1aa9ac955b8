"""Which facts a person must have for a rule to concern them: without any of these, the rule cannot fire."""

from msgspec import Struct

from backend.rulebook.language.tree import Apply, Constant, Field, Has, Items, Logic, Macro, Node, Variable
from backend.rulebook.language.types import fields_of

MAX_BITS = 62


def presence_bits(facts: type[Struct]) -> dict[str, int]:
    """Return the bit of each list and optional field of the facts, by name."""
    return {
        name: bit
        for bit, (name, described) in enumerate(fields_of(facts).items())
        if bit < MAX_BITS and (described.optional or described.type.kind == "list")
    }


def needed_bits(condition: Node, facts: type[Struct]) -> frozenset[int] | None:
    """Return bits of which a person must have at least one for the condition to hold; None if it may hold without."""
    return _Needs(presence_bits(facts)).needs(condition, truth=True)


class _Needs:
    def __init__(self, bits: dict[str, int]) -> None:
        self.bits = bits

    def needs(self, node: Node, *, truth: bool) -> frozenset[int] | None:
        """Return bits of which one must be set for the node to be `truth`; None if that is not known."""
        match node:
            case Constant():
                return frozenset() if node.value is not truth else None
            case Has():
                return self._bit_of(node) if truth else None
            case Apply(name="!_"):
                return self.needs(node.arguments[0], truth=not truth)
            case Logic():
                left, right = self.needs(node.left, truth=truth), self.needs(node.right, truth=truth)
                if (node.operator == "&&") is truth:  # both sides must hold, so each alone is necessary
                    known = [side for side in (left, right) if side is not None]
                    return min(known, key=len) if known else None
                return None if left is None or right is None else left | right
            case Macro(name="exists" | "exists_one") if truth:
                return self._bits_of_list(node.source)
            case Macro(name="all") if not truth:
                return self._bits_of_list(node.source)
            case _:
                return None

    def _bits_of_list(self, node: Node) -> frozenset[int] | None:
        """Return the bits of the lists of which one must have an element for this list to have one."""
        match node:
            case Field():
                return self._bit_of(node)
            case Macro(name="filter" | "map"):
                return self._bits_of_list(node.source)
            case Apply(name="_+_"):
                left, right = (self._bits_of_list(side) for side in node.arguments)
                return None if left is None or right is None else left | right
            case Items(elements=()):
                return frozenset()
            case _:
                return None

    def _bit_of(self, node: Field | Has) -> frozenset[int] | None:
        is_root = isinstance(node.operand, Variable) and node.operand.name == "facts"
        return frozenset([self.bits[node.name]]) if is_root and node.name in self.bits else None
