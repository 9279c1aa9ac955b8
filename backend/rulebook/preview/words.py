"""Words and texts in kernels, as numbers: a word by its place among its field's words, a text by the columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backend.rulebook.language.operation import EvaluationError
from backend.rulebook.language.tree import Apply, Conditional, Constant, Field, Node, Variable
from backend.rulebook.preview.writer import Unsupported, Word, Writer


def is_text(node: Node) -> bool:
    """Return whether the value of an expression is a word or text."""
    return node.type.kind == "string"


@dataclass(frozen=True)
class Words:
    """Writes what is done with words and texts."""

    write: Writer
    condition: Callable[[Node], str]

    def word(self, node: Node) -> Word:
        """Return the source of a word or text. Raises Unsupported for one that is made by the rule."""
        match node:
            case Constant():
                return Word.constant(node.value)
            case Variable():
                bound = self.write.bound.get(node.name)
                return bound if isinstance(bound, Word) else Word.constant(self.write.parameters[node.name])
            case Field():
                owner = self.write.record(node.operand)
                path = (*owner.path, node.name)
                source = f"{self.write.array('c', path)}[{owner.row}]"
                return Word(source, self.write.layout.columns[path].words or None)
            case Conditional():
                return self._either(node)
            case _:
                raise Unsupported("a text made by a rule")

    def _either(self, node: Conditional) -> Word:
        condition = self.condition(node.condition)
        chosen, other = self.word(node.chosen), self.word(node.other)
        if chosen.words is None or other.words is None:
            raise Unsupported("a choice between texts")
        words: tuple[str, ...] = tuple(dict.fromkeys((*chosen.words, *other.words)))
        sources = [self._place(word, words) for word in (chosen, other)]
        return Word(f"({sources[0]} if {condition} else {sources[1]})", words)

    def _place(self, word: Word, words: tuple[str, ...]) -> str:
        assert word.words is not None
        return self._lookup(word, [words.index(one) for one in word.words])

    def equal(self, left: Word, right: Word) -> str:
        """Return whether two words are the same."""
        if left.words is None and right.words is None:
            return f"({left.source} == {right.source})"
        if left.words is None or right.words is None:
            text, word = (left, right) if left.words is None else (right, left)
            assert word.words is not None
            if len(word.words) != 1:
                raise Unsupported("a comparison of a text with a word")
            self.write.texts.append(word.words[0])
            return f"({text.source} == s{len(self.write.texts) - 1})"
        if left.words == right.words:
            return f"({left.source} == {right.source})"
        common: tuple[str, ...] = tuple(dict.fromkeys((*left.words, *right.words)))
        return f"({self._place(left, common)} == {self._place(right, common)})"

    def apply(self, node: Apply) -> str:
        """Return an operation on words and texts; all that depends on one word is looked up."""
        sign = node.name.strip("_")
        if sign in ("==", "!=") and len(node.arguments) == 2:  # noqa: PLR2004  a comparison has two sides
            left, right = (self.word(argument) for argument in node.arguments)
            same = self.equal(left, right)
            return same if sign == "==" else f"(not {same})"
        known = [self._constant(argument) for argument in node.arguments]
        varying = [place for place, value in enumerate(known) if value is None]
        if len(varying) != 1 or node.type.kind not in ("bool", "int"):
            raise Unsupported(f"{node.name} of texts")
        word = self.word(node.arguments[varying[0]])

        def result(text: str) -> int:
            given = [text if value is None else value[0] for value in known]
            try:
                return int(node.operation.evaluate(*given))
            except EvaluationError as error:
                raise Unsupported(str(error)) from None

        found = self._lookup(word, [result(one) for one in word.words]) if word.words else self._table(word, result)
        return f"({found} == 1)" if node.type.kind == "bool" else found

    def _constant(self, node: Node) -> tuple[Any] | None:
        """Return the value of a constant or parameter, in a tuple, or None."""
        if isinstance(node, Constant):
            return (node.value,)
        if isinstance(node, Variable) and node.name in self.write.parameters and node.name not in self.write.bound:
            return (self.write.parameters[node.name],)
        return None

    def _lookup(self, word: Word, values: list[int]) -> str:
        """Return the value at the place of a word."""
        if len(set(values)) == 1:
            return str(values[0])
        if values == list(range(len(values))):
            return word.source
        source = str(values[-1])
        for place, value in reversed(list(enumerate(values[:-1]))):
            source = f"({value} if {word.source} == {place} else {source})"
        return source

    def _table(self, word: Word, result: Callable[[str], int]) -> str:
        self.write.tables.append(result)
        return f"tables[{len(self.write.tables) - 1}, {word.source}]"
