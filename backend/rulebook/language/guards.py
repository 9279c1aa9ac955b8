"""Which optional facts are known to be present where: what `has()` guards, for the checker and for optimisations."""

from backend.rulebook.language.tree import Apply, Conditional, Field, Has, Logic, Macro, Node, Variable, children
from backend.rulebook.language.types import fields_of

Path = tuple[str, ...]


def field_path(node: Node) -> Path | None:
    """Return the names from a variable to a field, or None if it is not read from a variable."""
    if isinstance(node, Variable):
        return (node.name,)
    if isinstance(node, Field):
        before = field_path(node.operand)
        return None if before is None else (*before, node.name)
    return None


def present_fields(node: Node, *, truth: bool) -> frozenset[Path]:
    """Return the optional facts that exist for certain if the condition is `truth`."""
    match node:
        case Has() if truth:
            before = field_path(node.operand)
            return frozenset() if before is None else frozenset([(*before, node.name)])
        case Apply(name="!_"):
            return present_fields(node.arguments[0], truth=not truth)
        case Logic():
            left, right = present_fields(node.left, truth=truth), present_fields(node.right, truth=truth)
            return left | right if (node.operator == "&&") is truth else left & right
        case _:
            return frozenset()


def is_optional(node: Field) -> bool:
    """Return whether a field may be absent."""
    struct = node.operand.type.struct
    return struct is not None and fields_of(struct)[node.name].optional


def guards_itself(node: Node, present: frozenset[Path] = frozenset()) -> bool:
    """Return whether an expression can be evaluated without the conditions around it.

    It can if it reads each optional fact only where it has tested it itself, or where it is among `present`.
    """
    match node:
        case Field():
            return (not is_optional(node) or field_path(node) in present) and guards_itself(node.operand, present)
        case Logic():
            known = present_fields(node.left, truth=node.operator == "&&")
            return guards_itself(node.left, present) and guards_itself(node.right, present | known)
        case Conditional():
            return guards_itself(node.condition, present) and all(
                guards_itself(part, present | present_fields(node.condition, truth=truth))
                for part, truth in ((node.chosen, True), (node.other, False))
            )
        case Macro():
            known = present if node.test is None else present | present_fields(node.test, truth=True)
            return (
                guards_itself(node.source, present)
                and (node.test is None or guards_itself(node.test, present))
                and (node.value is None or guards_itself(node.value, known))
            )
        case _:
            return all(guards_itself(child, present) for child in children(node))
