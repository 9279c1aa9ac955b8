"""Where the parts of a module are in its file, so that they can be shown to its author."""

from collections.abc import Mapping

from backend.rulebook.language.tree import Node
from backend.rulebook.modules.module import Rule
from backend.rulebook.modules.module_document import module_document
from backend.rulebook.modules.yaml_document import (
    YamlEntry,
    YamlMapping,
    YamlScalar,
    YamlSequence,
    location_in,
)
from backend.rulebook.source import Location, SourceFile


class Conditions:
    """The conditions of a module's file, by the ids of their rules."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        root = module_document(SourceFile(file.path, file.text, []))
        entries = root.entries if isinstance(root, YamlMapping) else {}
        self._scalars: Mapping[str, YamlScalar] = dict(_conditions(entries.get("rules")))
        self._results = entries.get("result")

    def location(self, rule: Rule, part: Node) -> Location:
        """Return the location of a part of a rule's condition; of its id, if the file does not write the rule out."""
        return self.location_of(rule.id, part.start, part.end) or rule.location

    def location_of(self, rule: str, start: int, end: int) -> Location | None:
        """Return the location of the characters [start, end) of the condition of the rule with this id, or None."""
        scalar = self._scalars.get(rule)
        return location_in(self.file, scalar, start, end) if scalar is not None else None

    def result_word(self, word: str) -> Location | None:
        """Return the location of a word of `result`, or None."""
        listed = self._results.value if self._results is not None else None
        items = listed.items if isinstance(listed, YamlSequence) else []
        return next((item.location for item in items if isinstance(item, YamlScalar) and item.text == word), None)


def _conditions(rules: YamlEntry | None) -> list[tuple[str, YamlScalar]]:
    if rules is None or not isinstance(rules.value, YamlSequence):
        return []
    found: list[tuple[str, YamlScalar]] = []
    for item in rules.value.items:
        entries = item.entries if isinstance(item, YamlMapping) else {}
        identifier, when = (entries[key].value if key in entries else None for key in ("id", "when"))
        if isinstance(identifier, YamlScalar) and isinstance(when, YamlScalar):
            found.append((identifier.text, when))
    return found
