"""Expressions of a CEL policy with our names: its variables written out, its inputs as facts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from backend.i18n import Text
from backend.rulebook.language import syntax
from backend.rulebook.language.checker import MACROS
from backend.rulebook.language.syntax import MAX_CHARACTERS, InvalidExpression, Syntax
from backend.rulebook.source import NO_HELP


@dataclass(frozen=True)
class Rewritten:
    """A rewritten expression; `places` are the new parts of its text, each with the original part (four positions)."""

    text: str
    places: tuple[tuple[int, int, int, int], ...] = ()

    def place(self, position: int) -> int:
        """Return the character of the original at which a character of the text is, or its replaced part begins."""
        for start, end, began, ended in reversed(self.places):
            if position >= end:
                return ended + position - end
            if position >= start:
                return began
        return position

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the characters of the original for the characters [start, end) of the text."""
        last = end - 1
        ended = next((part[3] for part in self.places if part[0] <= last < part[1]), self.place(last) + 1)
        return self.place(start), ended

    @staticmethod
    def conjunction(parts: Iterable["Rewritten"]) -> "Rewritten | None":
        """Return the conditions joined by `&&`, or None without any."""
        texts = [part.text for part in parts]
        if len(texts) < 2:  # noqa: PLR2004  nothing to join
            return Rewritten(texts[0]) if texts else None
        return Rewritten(" && ".join(f"({text})" if _is_loose(text) else text for text in texts))


@dataclass(frozen=True)
class Rewriter:
    """Rewrites expressions over inputs (their facts by name, or those of `others` types) and known `variables`."""

    facts: Mapping[str, str]
    others: Mapping[str, str]
    variables: Mapping[str, Rewritten]

    def rewritten(self, text: str) -> Rewritten:
        """Return an expression with our names. Raises InvalidExpression at its characters."""
        result, places, done = "", list[tuple[int, int, int, int]](), 0
        for node, new in sorted(self._edits(syntax.parse(text), frozenset()), key=lambda edit: edit[0].start):
            result += text[done : node.start]
            places.append((len(result), len(result) + len(new), node.start, node.end))
            result += new
            done = node.end
        result += text[done:]
        result = result.replace("\n", " ")
        if len(result) > MAX_CHARACTERS:
            message = Text(
                zh="变量写出后，表达式过长", en="the expression is too long when its variables are written out"
            )
            raise InvalidExpression(message, 0, len(text), NO_HELP, "R004")
        return Rewritten(result, tuple(places))

    def _edits(self, node: Syntax, bound: frozenset[str]) -> Iterator[tuple[Syntax, str]]:
        path = _path(node)
        if path is not None and path[0] not in bound:
            yield from self._names(node, path)
            return
        match node:
            case syntax.Select():
                yield from self._edits(node.operand, bound)
            case syntax.ListOf():
                for element in node.elements:
                    yield from self._edits(element, bound)
            case syntax.Call():
                if node.receiver and node.function in MACROS and len(node.arguments) > 1:
                    yield from self._edits(node.arguments[0], bound)
                    variable = node.arguments[1]
                    inner = bound | frozenset([variable.name] if isinstance(variable, syntax.Name) else [])
                    for argument in node.arguments[2:]:
                        yield from self._edits(argument, inner)
                    return
                for argument in node.arguments:
                    yield from self._edits(argument, bound)
            case _:
                return

    def _names(self, node: Syntax, path: tuple[str, ...]) -> Iterator[tuple[Syntax, str]]:
        """Yield the part of a path of names that is a variable or an input, and what to write instead."""
        if path == ("now",):
            return
        if path[0] == "variables" and len(path) > 1:
            if path[1] not in self.variables:
                message = Text(zh=f"未知的变量 {path[1]}", en=f"unknown variable {path[1]!r}")
                raise InvalidExpression(message, node.start, node.end, NO_HELP, "R035")
            text = self.variables[path[1]].text
            yield _prefix(node, len(path) - 2), text if _is_tight(text) else f"({text})"
            return
        for length in range(len(path), 0, -1):
            name = ".".join(path[:length])
            if name in self.facts:
                yield _prefix(node, len(path) - length), f"facts.{self.facts[name]}"
                return
            if name in self.others:
                kind = self.others[name]
                message = Text(
                    zh=f"{name} 的类型 {kind} 无法作为事实", en=f"{name} is a {kind}, which cannot be a fact"
                )
                raise InvalidExpression(message, node.start, node.end, NO_HELP, "R124")
        message = Text(zh=f"没有声明 {'.'.join(path)}", en=f"{'.'.join(path)} is not declared")
        advice = Text(zh="请在策略的 config.yaml 中声明", en="declare it in the policy's config.yaml")
        raise InvalidExpression(message, node.start, node.end, advice, "R035")


def _is_loose(text: str) -> bool:
    """Return whether an expression binds less than `&&`."""
    node = syntax.parse(text)
    return isinstance(node, syntax.Call) and node.function in ("_||_", "_?_:_")


def _is_tight(text: str) -> bool:
    """Return whether an expression can be an operand of any operator."""
    node = syntax.parse(text)
    is_text = isinstance(node, syntax.Literal) and node.kind in ("string", "bool")
    return is_text or isinstance(node, syntax.Name | syntax.Select | syntax.ListOf)


def _path(node: Syntax) -> tuple[str, ...] | None:
    """Return the names of `a.b.c`, or None for another form."""
    if isinstance(node, syntax.Name):
        return (node.name,)
    if isinstance(node, syntax.Select):
        before = _path(node.operand)
        return None if before is None else (*before, node.field)
    return None


def _prefix(node: Syntax, fields: int) -> Syntax:
    """Return a path of names without its last fields."""
    for _ in range(fields):
        assert isinstance(node, syntax.Select)
        node = node.operand
    return node
