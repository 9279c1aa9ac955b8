"""What a random condition may read where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from msgspec import Struct

from backend.rulebook.language.types import Type, fields_of


@dataclass(frozen=True)
class Scope:
    """What a condition may read: Structs and values by their names, and the optional facts known to be there."""

    structs: Mapping[str, type[Struct]]
    values: Mapping[str, Type]
    present: frozenset[str] = frozenset()
    nested: int = 0

    def readable(self) -> list[tuple[str, Type]]:
        """Return the values that may be read without a guard."""
        found = list(self.values.items())
        for name, struct in self.structs.items():
            found += self._within(name, struct)
        return found

    def _within(self, name: str, struct: type[Struct]) -> list[tuple[str, Type]]:
        found: list[tuple[str, Type]] = []
        for own, held in fields_of(struct).items():
            path = f"{name}.{own}"
            if held.optional and path not in self.present:
                continue
            found += self._within(path, held.type.struct) if held.type.struct is not None else [(path, held.type)]
        return found

    def absent(self) -> list[tuple[str, Type]]:
        """Return the optional facts that need a guard."""
        found: list[tuple[str, Type]] = []
        todo = list(self.structs.items())
        while todo:
            name, struct = todo.pop()
            for own, held in fields_of(struct).items():
                path = f"{name}.{own}"
                if held.optional and path not in self.present:
                    found.append((path, held.type))
                elif held.type.struct is not None:
                    todo.append((path, held.type.struct))
        return found

    def knowing(self, path: str) -> "Scope":
        """Return the scope in which an optional fact is there."""
        return replace(self, present=self.present | {path})
