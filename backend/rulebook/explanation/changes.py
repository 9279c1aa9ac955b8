"""What may change facts: the acts of the person, and those of authorities.

A Struct of facts declares them as its ClassVar `changes`. What it does not declare only time or a correction of the
record changes, such as a date of birth; no way out names it.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.language.types import Type, fields_of


class Change(Struct, frozen=True, kw_only=True):
    """A way in which facts may change, by an act of the person or of an authority.

    `what` tells a citizen the act, as an instruction. `path` is the field, such as `tests` or `stays.left_at`, which
    stands for that field of each element. The act is one of these:

    - `add`: an element joins the list. A field takes one of its values in `fields`; otherwise, any value that makes a
      difference to a rule. Its instants are not before now; an optional field is absent unless `fields` names it.
    - `add_daily`: the list of days gets each day from today to a last one; this is one change.
    - `remove`: an element leaves the list.
    - `set`: the field gets another value. An optional instant is set only where it is absent, to now or later. `fields`
      may name the values under the empty name. A number only changes in its `direction`.

    An element that has a value in its optional field `unless` is not changed. `words` are what a citizen reads for the
    words that the act may enter.
    """

    what: Text
    path: str
    act: Literal["add", "add_daily", "remove", "set"]
    by: Literal["person", "authority"] = "person"
    fields: Mapping[str, tuple[Any, ...]] = {}
    direction: Literal["up", "down", "any"] = "any"
    unless: str = ""
    words: Mapping[str, Text] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the parts of the path."""
        return tuple(self.path.split("."))


def changes_of(facts: type[Struct]) -> tuple[Change, ...]:
    """Return the changes that a Struct of facts declares; none if it declares none."""
    found = getattr(facts, "changes", ())
    return cast("tuple[Change, ...]", found) if isinstance(found, tuple) else ()


def type_at(facts: type[Struct], path: tuple[str, ...]) -> tuple[Type, bool]:
    """Return the type at the end of a path, and whether it may be absent; a list on the way stands for its elements.

    Raises KeyError for a path that the facts do not have.
    """
    struct, found, optional = facts, Type("facts", struct=facts), False
    for name in path:
        field = fields_of(struct)[name]
        found, optional = field.type, field.optional
        inner = found.element if found.kind == "list" and found.element is not None else found
        struct = inner.struct or Struct
    return found, optional
