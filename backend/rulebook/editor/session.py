"""What an editor asks about a place in a file, answered from the workspace."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook import CASES, CLAIMS, module_name
from backend.rulebook.editor.completion import Draft, suggest_at
from backend.rulebook.editor.definitions import definition_of, is_valid_name, uses_of
from backend.rulebook.editor.expression import Suggestion
from backend.rulebook.editor.outline import Outline, outline
from backend.rulebook.editor.place import place_at
from backend.rulebook.editor.positions import Edit, Position, Range, range_of
from backend.rulebook.editor.reference import parameter_text
from backend.rulebook.editor.symbols import Symbol, meaning_of, symbol_at
from backend.rulebook.editor.workspace import CaseCount, Workspace
from backend.rulebook.source import SourceFile


class Meaning(Struct, frozen=True):
    """What a name means, in Markdown, and where it is."""

    text: Text
    range: Range


class Target(Struct, frozen=True):
    """Where a name is defined."""

    path: Path
    range: Range


class Lens(Struct, frozen=True):
    """A line above a rule: how many cases it fires in, and how many of them pass. `title` is what is shown."""

    rule: str
    range: Range
    title: Text
    failed: tuple[str, ...]


class InvalidName(Exception):
    """A rename to a name that a rule or a parameter cannot have, or that another one has."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass
class Session:
    """The questions of one editor. Paths are those of the workspace's files."""

    workspace: Workspace
    _outlines: dict[Path, tuple[str, Outline]] = field(default_factory=dict[Path, tuple[str, Outline]])

    def complete(self, path: Path, position: Position) -> list[Suggestion]:
        """Return what may be typed at a position."""
        place = place_at(self.lines(path), position.line, position.column)
        return suggest_at(place, self.draft(path))

    def hover(self, path: Path, position: Position) -> Meaning | None:
        """Return what the name at a position means."""
        found = self.symbol(path, position)
        meaning = meaning_of(found, self.draft(path)) if found is not None else None
        if found is None or meaning is None:
            return None
        return Meaning(meaning, _range(found))

    def define(self, path: Path, position: Position) -> Target | None:
        """Return where the name at a position is defined."""
        found = self.symbol(path, position)
        definition = definition_of(found, self.draft(path)) if found is not None else None
        if definition is None:
            return None
        target = Path(definition.path) if definition.path else self.workspace.path_of(self.module_of(path))
        text = target.read_text("utf-8") if definition.path else self.workspace.text(target)
        return Target(target, range_of(text.split("\n"), definition.location))

    def renamable(self, path: Path, position: Position) -> Range | None:
        """Return the range of the rule or parameter at a position; None if there is nothing to rename."""
        found = self.symbol(path, position)
        if found is None or found.kind not in ("rule", "parameter"):
            return None
        return _range(found)

    def rename(self, path: Path, position: Position, name: str) -> list[Edit]:
        """Return the edits that rename a rule or a parameter in the module, its cases and its claims.

        Raises InvalidName.
        """
        found = self.symbol(path, position)
        if found is None or found.kind not in ("rule", "parameter"):
            raise InvalidName(Text(zh="只能给规则和参数改名", en="only rules and parameters can be renamed"))
        module = self.module_of(path)
        own = self.draft(path).module
        if not is_valid_name(found, name):
            raise InvalidName(Text(zh=f"“{name}”不能用作名称", en=f"{name!r} is not a possible name"))
        if name in (own.rules if found.kind == "rule" else own.parameters):
            raise InvalidName(Text(zh=f"“{name}”已存在", en=f"{name!r} exists already"))
        return list(self._renames(module, found, name))

    def _renames(self, module: str, found: Symbol, name: str) -> Iterator[Edit]:
        for suffix in ("", CASES, CLAIMS):
            target = self.workspace.path_of(module, suffix)
            file = SourceFile(str(target), self.workspace.text(target), [])
            lines = file.text.split("\n")
            for location in uses_of(found, file, self.outline(target), is_module=not suffix):
                yield Edit(str(target), range_of(lines, location), name)

    def lenses(self, path: Path) -> list[Lens]:
        """Return a lens for each rule of a module whose cases have run."""
        module = self.module_of(path)
        counts = self.workspace.count_cases(module)
        lines = self.lines(path)
        return [
            Lens(rule, range_of(lines, location), _title(counts[rule]), counts[rule].failed)
            for rule, location in self.outline(path).rules.items()
            if rule in counts
        ]

    # ── files ──

    def lines(self, path: Path) -> list[str]:
        """Return the lines of a file."""
        return self.workspace.text(path).split("\n")

    def symbol(self, path: Path, position: Position) -> Symbol | None:
        """Return the name at a position."""
        return symbol_at(self.lines(path), position.line, position.column, self.draft(path))

    def module_of(self, path: Path) -> str:
        """Return the module that a file is, or is about."""
        return module_name(self.workspace.folder, SourceFile(str(path), "", []))

    def outline(self, path: Path) -> Outline:
        """Return the outline of a file."""
        text = self.workspace.text(path)
        known = self._outlines.get(path)
        if known is None or known[0] != text:
            known = self._outlines[path] = text, outline(text)
        return known[1]

    def draft(self, path: Path) -> Draft:
        """Return what is known of a file, and of the module that it is about."""
        name = self.module_of(path)
        module = self.outline(self.workspace.path_of(name))
        valid = self.workspace.modules.get(name)
        structs = self.workspace.structs
        facts = structs.get(module.word("facts")) or (valid.facts if valid is not None else None)
        parameters = {each: Text(zh="", en="") for each in module.parameters}
        for each, parameter in valid.parameters.items() if valid is not None else ():
            if each in parameters or not module.whole:
                parameters[each] = parameter_text(parameter)
        return Draft(path.stem.endswith(CASES), self.outline(path), module, facts, structs, parameters)


def _range(found: Symbol) -> Range:
    return Range(Position(found.line, found.start), Position(found.line, found.end))


def _title(count: CaseCount) -> Text:
    total, failed = count.cases, len(count.failed)
    if not total:
        return Text(zh="没有案例使它生效", en="No case in which it fires")
    cases = "1 case" if total == 1 else f"{total} cases"
    if failed:
        return Text(zh=f"▶ {total} 个案例，{failed} 个失败", en=f"▶ {cases}, {failed} failed")
    return Text(zh=f"▶ {total} 个案例，全部通过", en=f"▶ {cases} pass")
