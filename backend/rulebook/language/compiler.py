"""The compiler: fuses the conditions of a module's rules into one Python function.

`decide(facts, now)` returns a bit mask of the rules that fire, and the earliest instant after `now` at which an
evaluated comparison with `now` changes. Until that instant, the function takes the same path for the same facts and
returns the same mask. Comparisons that were short-circuited cannot matter before an evaluated one changes.

The source of the function is generated from the typed tree alone. Authors' strings become constants, never code.
"""

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import CodeType, FunctionType
from typing import Any, cast

from backend.rulebook.language.boundary import LinearTerms, terms_of_comparison
from backend.rulebook.language.calendar import anniversary_of
from backend.rulebook.language.extremum import MIRRORED, extremum_of, hoistable_macros, is_plain_field
from backend.rulebook.language.generated import attribute, parse_generated
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Has,
    Items,
    Key,
    Logic,
    Macro,
    Node,
    Variable,
    children,
    key_of,
    rename,
    walk,
)
from backend.rulebook.language.types import MICROSECOND

NEVER = datetime.max.replace(tzinfo=UTC)
"""Later than every possible change."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Decide = Callable[[Any, datetime], tuple[int, datetime]]

_LITERALS = (bool, int, float, str)


def compile_conditions(conditions: Sequence[Node], parameters: dict[str, Any]) -> Decide:
    """Compile the conditions into one function; bit n of its mask is condition n. `parameters` are constants in it."""
    generator = _CodeGenerator(parameters)
    generator.hoist_fields(conditions)
    generator.hoist_extrema(conditions)
    generator.hoist_macros(conditions)
    for bit, condition in enumerate(conditions):
        generator.rule(condition, 1 << bit)
    return generator.function()


@dataclass
class _CodeGenerator:
    parameters: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    constants: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=lambda: {"facts": "facts", "now": "now"})
    hoisted: dict[Key, str] = field(default_factory=dict)
    bits: dict[Key, int] = field(default_factory=dict)
    parts: set[Key] = field(default_factory=set)
    count: int = 0

    # ── function ──

    def function(self) -> Decide:
        source = "def decide(facts, now):\n    soon = never\n    fired = 0\n"
        source += "\n".join(self.lines) + "\n    return fired, soon\n"
        module = _Constants(self.constants).visit(parse_generated(source))
        code = compile(module, "<rulebook>", "exec")
        inner = next(constant for constant in code.co_consts if isinstance(constant, CodeType))
        return FunctionType(
            inner,
            {"never": NEVER, "long_ago": _LONG_AGO, "tick": MICROSECOND, "__builtins__": _BUILTINS, **self.constants},
        )

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def fresh_name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def constant(self, value: object) -> str:
        name = self.fresh_name("k")
        self.constants[name] = value
        return name

    def rule(self, condition: Node, bit: int) -> None:
        """Emit code that sets the bit if the condition holds, unless the loop over its list sets it."""
        if isinstance(condition, Macro) and key_of(condition) in self.hoisted:
            return
        if isinstance(condition, Constant):
            self.line(f"fired |= {bit}" if condition.value else "pass")
            return
        self.line(f"if {self.expression(condition)}: fired |= {bit}")

    # ── sharing ──

    def hoist_fields(self, conditions: Sequence[Node]) -> None:
        """Load each field of the facts once if several conditions read it."""
        self._hoist(conditions, "facts")

    def _hoist(self, conditions: Sequence[Node], root: str) -> None:
        found = [node for condition in conditions for node in walk(condition) if is_plain_field(node, root)]
        times = Counter(map(key_of, found))
        for node in sorted(found, key=lambda node: node.end - node.start):
            if times[key_of(node)] > 1 and key_of(node) not in self.hoisted:
                source, name = self.expression(node), self.fresh_name("f")
                self.line(f"{name} = {source}")
                self.hoisted[key_of(node)] = name

    def hoist_extrema(self, conditions: Sequence[Node]) -> None:
        """Hoist a search for the latest or earliest instant out of the loop over another list."""
        nested = (node for condition in conditions for node in walk(condition) if isinstance(node, Macro))
        inner = (node for macro in nested for part in children(macro)[1:] for node in walk(part))
        for extreme in filter(None, map(extremum_of, inner)):
            if extreme.key in self.hoisted:
                continue
            name, item = self.fresh_name("x"), self.fresh_name("e")
            source = self.expression(extreme.source)
            self.line(f"{name} = {'long_ago' if extreme.sign[0] == '>' else 'never'}")
            self.line(f"if {source}:")
            self.line(f"    for {item} in {source}:")
            unwritable = _unwritable(item)
            self.names[unwritable] = item
            tests = [self.expression(rename(part, extreme.variable, unwritable)) for part in extreme.tests]
            instant = f"{item}.{attribute(extreme.field)}"
            is_more_extreme = f"{instant} {extreme.sign[0]} {name}"
            self.line(f"        if {' and '.join([*tests, is_more_extreme])}: {name} = {instant}")
            self.hoisted[extreme.key] = name

    def hoist_macros(self, conditions: Sequence[Node]) -> None:
        """Fuse the `exists` tests over the same list of the facts into one loop."""
        groups: dict[Key, dict[Key, Macro]] = {}
        for bit, condition in enumerate(conditions):
            key = key_of(condition)
            self.bits[key] = self.bits.get(key, 0) | 1 << bit
            for macro in hoistable_macros(condition):
                groups.setdefault(key_of(macro.source), {})[key_of(macro)] = macro
                if macro is not condition:
                    self.parts.add(key_of(macro))
        for macros in groups.values():
            self._loop(list(macros.values()))

    def _loop(self, macros: list[Macro]) -> None:
        """Emit the loop over one list, newest element first: it usually decides, and for longest.

        Rules that consist of the `exists` alone set their bits here, so an empty list costs one truth test.
        """
        source, item = self.expression(macros[0].source), self.fresh_name("e")
        name = source if source.isidentifier() else self.fresh_name("f")
        flags = {key_of(macro): self.fresh_name("b") for macro in macros}
        if parts := [flag for key, flag in flags.items() if key in self.parts]:
            self.line(f"{' = '.join(parts)} = False")
        self.line(f"if {name}:" if name == source else f"if {name} := {source}:")
        self.depth += 1
        if whole := [flag for key, flag in flags.items() if key not in self.parts]:
            self.line(f"{' = '.join(whole)} = False")
        self.line(f"for {item} in {name}[::-1]:")
        self.depth += 1
        outer_names, outer_hoisted = self.names, self.hoisted
        unwritable = _unwritable(item)
        self.names, self.hoisted = {**outer_names, unwritable: item}, dict(outer_hoisted)
        tests = [rename(macro.test, macro.variable, unwritable) for macro in macros if macro.test is not None]
        self._hoist(tests, unwritable)
        for flag, test in zip(flags.values(), tests, strict=True):
            self._set_flag(flag, test, alone=len(flags) == 1)
        self.names, self.hoisted = outer_names, outer_hoisted
        self.depth -= 1
        for key, flag in flags.items():
            if key in self.bits:
                self.line(f"if {flag}: fired |= {self.bits[key]}")
        self.depth -= 1
        self.hoisted |= flags

    def _set_flag(self, flag: str, test: Node, *, alone: bool) -> None:
        """Emit code that sets the flag of an `exists` for one element, unless it is set already."""
        if alone:
            self.line(f"if {self.expression(test)}:")
            self.line(f"    {flag} = True")
            self.line("    break")
        elif self._needs_statements(test):
            self.line(f"if not {flag}:")
            self.depth += 1
            self.line(f"{flag} = {self.expression(test)}")
            self.depth -= 1
        else:
            self.line(f"if not {flag} and {self.expression(test)}: {flag} = True")

    def _needs_statements(self, node: Node) -> bool:
        """Return whether a node contains a macro that has no flag yet and so needs statements."""
        if key_of(node) in self.hoisted:
            return False
        extreme = extremum_of(node)
        if extreme is not None and extreme.key in self.hoisted:
            return self._needs_statements(extreme.limit)
        return isinstance(node, Macro) or any(map(self._needs_statements, children(node)))

    # ── expressions ──

    def expression(self, node: Node) -> str:
        """Return a Python expression for a node, after emitting the statements that it needs."""
        shared = self.hoisted.get(key_of(node)) if self.hoisted else None
        if shared is not None:
            return shared
        match node:
            case Constant():
                return self.constant(node.value)
            case Variable():
                name = self.names.get(node.name)
                return self.constant(self.parameters[node.name]) if name is None else name
            case Field():
                return f"{self.expression(node.operand)}.{attribute(node.name)}"
            case Has():
                return f"({self.expression(node.operand)}.{attribute(node.name)} is not None)"
            case Items():
                return "(" + "".join(f"{self.expression(element)}, " for element in node.elements) + ")"
            case Logic():
                return self._logic(node)
            case Conditional():
                return self._conditional(node)
            case Macro():
                return self._macro(node)
            case Apply():
                return self._apply(node)

    def _logic(self, node: Logic) -> str:
        word = "and" if node.operator == "&&" else "or"
        left = self.expression(node.left)
        if not self._needs_statements(node.right):
            return f"({left} {word} {self.expression(node.right)})"
        result = self.fresh_name("b")
        self.line(f"{result} = {left}")
        self.line(f"if {result}:" if word == "and" else f"if not {result}:")
        self.depth += 1
        self.line(f"{result} = {self.expression(node.right)}")
        self.depth -= 1
        return result

    def _conditional(self, node: Conditional) -> str:
        condition = self.expression(node.condition)
        if not any(self._needs_statements(part) for part in (node.chosen, node.other)):
            return f"({self.expression(node.chosen)} if {condition} else {self.expression(node.other)})"
        result = self.fresh_name("v")
        for words, part in ((f"if {condition}:", node.chosen), ("else:", node.other)):
            self.line(words)
            self.depth += 1
            self.line(f"{result} = {self.expression(part)}")
            self.depth -= 1
        return result

    def _macro(self, node: Macro) -> str:
        extreme = extremum_of(node)
        if extreme is not None and extreme.key in self.hoisted:
            return f"({self.hoisted[extreme.key]} {extreme.sign} {self.expression(extreme.limit)})"
        result, item = self.fresh_name("m"), self.fresh_name("e")
        first = {"exists": "False", "all": "True", "exists_one": "0", "filter": "[]", "map": "[]"}[node.name]
        newest_first = "[::-1]" if node.name == "exists" and isinstance(node.source, Field) else ""
        source = self.expression(node.source) + newest_first
        self.line(f"{result} = {first}")
        self.line(f"for {item} in {source}:")
        self.depth += 1
        outer = self.names
        self.names = {**outer, node.variable: item}
        if node.test is not None:
            test = self.expression(node.test)
            self.line(f"if not {test}:" if node.name == "all" else f"if {test}:")
            self.depth += 1
        match node.name:
            case "exists" | "all":
                self.line(f"{result} = {node.name == 'exists'}")
                self.line("break")
            case "exists_one":
                self.line(f"{result} += 1")
            case "filter":
                self.line(f"{result}.append({item})")
            case "map":
                assert node.value is not None
                self.line(f"{result}.append({self.expression(node.value)})")
        self.names = outer
        self.depth -= 1 if node.test is None else 2
        return f"({result} == 1)" if node.name == "exists_one" else result

    def _apply(self, node: Apply) -> str:
        sign = node.name.strip("_")
        if sign in MIRRORED and len(node.arguments) == 2:  # noqa: PLR2004  a comparison has two sides
            left, right = node.arguments
            if left.now_coefficient != right.now_coefficient:
                compare = self._compare_age if left.type.kind == "int" else self._compare_with_now
                return compare(sign, left, right)
        if node.name == "!_" and isinstance(node.arguments[0], Has):
            return f"({self.expression(node.arguments[0].operand)}.{attribute(node.arguments[0].name)} is None)"
        if node.operation.python is None:
            arguments = ", ".join(map(self.expression, node.arguments))
            return f"{self.constant(node.operation.evaluate)}({arguments})"
        return node.operation.python.format(*map(self.expression, node.arguments))

    # ── comparisons with now ──

    def _compare_with_now(self, sign: str, left: Node, right: Node) -> str:
        """Rewrite `left sign right` as `now sign boundary`, and record `boundary` if the comparison changes there."""
        terms = terms_of_comparison(left, right)
        if left.now_coefficient < right.now_coefficient:
            sign = MIRRORED[sign]
        boundary = self.fresh_name("t")
        bound = f"({boundary} := {self._instant(terms)})"
        record_and_true = f"({boundary} >= soon or (soon := {boundary}) is not None)"
        record_and_false = f"({boundary} < soon and (soon := {boundary}) is None)"
        after = f"({boundary} := {boundary} + tick)"
        match sign:
            case "<":
                return f"(now < {bound} and {record_and_true})"
            case ">=":
                return f"(now >= {bound} or {record_and_false})"
            case "<=":
                return f"(now <= {bound} and ({after} >= soon or (soon := {boundary}) is not None))"
            case ">":
                return f"(now > {bound} or ({after} < soon and (soon := {boundary}) is None))"
            case _:
                same, next_boundary = self.fresh_name("s"), f"({boundary} if now < {boundary} else {boundary} + tick)"
                record_next = f"(({boundary} := {next_boundary}) >= soon or (soon := {boundary}) is not None)"
                equal = f"(now <= {bound} and (({same} := now == {boundary}) or True) and {record_next} and {same})"
                return equal if sign == "==" else f"(not {equal})"

    def _compare_age(self, sign: str, left: Node, right: Node) -> str:
        """Rewrite `age(since, at) sign years` as comparisons of `at` with the anniversaries of `since`."""
        if right.now_coefficient:
            sign, left, right = MIRRORED[sign], right, left
        assert isinstance(left, Apply)
        at = left.arguments[1]
        reached, passed = (anniversary_of(left, right, more) for more in (0, 1))
        match sign:
            case ">=" | "<":
                return self._compare_with_now(sign, at, reached)
            case ">" | "<=":
                return self._compare_with_now(">=" if sign == ">" else "<", at, passed)
            case _:
                begun = self._compare_with_now(">=", at, reached)
                equal = f"({begun} and {self._compare_with_now('<', at, passed)})"
                return equal if sign == "==" else f"(not {equal})"

    def _instant(self, terms: LinearTerms) -> str:
        """Return an expression for the instant at which both sides are equal."""
        parts = [f" + ({self.expression(plus)} - {self.expression(minus)})" for plus, minus in terms.differences]
        parts += [f" {'+' if sign > 0 else '-'} {self.expression(node)}" for node, sign in terms.spans]
        return f"({self.expression(terms.first)}{''.join(parts)})"


def _unwritable(name: str) -> str:
    """Return a name for a loop's element that no parameter or macro variable of an author has."""
    return f"@{name}"


class _Constants(ast.NodeTransformer):
    """Inlines plain constants into the code, where Python loads them fastest."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.plain: dict[str, Any] = {
            name: value
            for name, value in constants.items()
            if isinstance(value, _LITERALS)
            or (
                isinstance(value, tuple)
                and all(isinstance(item, _LITERALS) for item in cast("tuple[object, ...]", value))
            )
        }

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.plain:
            return ast.copy_location(ast.Constant(self.plain[node.id]), node)
        return node


_BUILTINS = {"len": len, "float": float}
