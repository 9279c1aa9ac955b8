"""Expressions of the typed tree as statements over columns.

An instant or duration is its microseconds, a word its place among its field's words, a free text its number in the
columns. A list is never built: what is done with its elements is written into a loop over the list.
"""

from collections.abc import Callable
from typing import cast

from backend.rulebook.language.calendar import AgeOperation
from backend.rulebook.language.tree import (
    Apply,
    Conditional,
    Constant,
    Field,
    Has,
    Items,
    Logic,
    Macro,
    Node,
    Variable,
)
from backend.rulebook.preview.layout import ABSENT
from backend.rulebook.preview.words import Words, is_text
from backend.rulebook.preview.writer import Binding, Record, Unsupported, Word, Writer
from backend.rulebook.preview.zones import PARTS, SPAN_PARTS, zone_periods

MAX_UNROLLED = 64
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


Body = Callable[[Binding], None]


class Expressions(Writer):
    """Writes expressions; `expression` returns the source of a value after the lines that it needs."""

    def expression(self, node: Node) -> str:
        """Return the source of a truth value, number, instant or duration."""
        match node:
            case Constant():
                return self.constant(node.value)
            case Variable():
                return self._variable(node)
            case Field():
                return self._field(node)
            case Has():
                return self._has(node)
            case Apply():
                return self._apply(node)
            case Logic():
                return self._logic(node)
            case Conditional():
                return self._conditional(node)
            case Macro():
                return self._macro(node)
            case Items():
                raise Unsupported("a list as a value")

    def operand(self, node: Node) -> Binding:
        """Return a value of any type but a list."""
        if node.type.struct is not None:
            return self.record(node)
        if is_text(node):
            return self.word(node)
        return self.expression(node)

    def word(self, node: Node) -> Word:
        """Return the source of a word or text as its number."""
        return self._words().word(node)

    def _words(self) -> Words:
        return Words(self, self.expression)

    def _variable(self, node: Variable) -> str:
        if node.name == "now":
            return "now"
        if node.name in self.bound:
            value = self.bound[node.name]
            assert isinstance(value, str), "records and words are read elsewhere"
            return value
        return self.constant(self.parameters[node.name])

    def _field(self, node: Field) -> str:
        owner = self.record(node.operand)
        read = f"{self.array('c', (*owner.path, node.name))}[{owner.row}]"
        return f"({read} == 1)" if node.type.kind == "bool" else read

    def _has(self, node: Has) -> str:
        owner = self.record(node.operand)
        path = (*owner.path, node.name)
        column = self.layout.columns.get(path)
        if column is None or column.form == "count":
            return f"({self.array('h', path)}[{owner.row}] == 1)"
        if column.form in ("instant", "duration"):
            return f"({self.array('c', path)}[{owner.row}] != {ABSENT})"
        if column.form in ("int", "double"):
            return f"({self.array('h', path)}[{owner.row}] == 1)"
        return f"({self.array('c', path)}[{owner.row}] >= 0)"

    def _captured(self, node: Node) -> tuple[list[str], str]:
        """Return the lines that a part needs, one level deeper, and its source."""
        outer, self.lines = self.lines, []
        self.depth += 1
        source = self.expression(node)
        self.depth -= 1
        needed, self.lines = self.lines, outer
        return needed, source

    def _logic(self, node: Logic) -> str:
        left = self.expression(node.left)
        lines, right = self._captured(node.right)
        if not lines:
            return f"({left} {'and' if node.operator == '&&' else 'or'} {right})"
        result = self.name("v")
        self.line(f"{result} = {left}")
        self.line(f"if {'' if node.operator == '&&' else 'not '}{result}:")
        self.lines += lines
        self.line(f"    {result} = {right}")
        return result

    def _conditional(self, node: Conditional) -> str:
        condition = self.expression(node.condition)
        (first, chosen), (second, other) = self._captured(node.chosen), self._captured(node.other)
        if not first and not second:
            return f"({chosen} if {condition} else {other})"
        result = self.name("v")
        for head, lines, source in ((f"if {condition}:", first, chosen), ("else:", second, other)):
            self.line(head)
            self.lines += lines
            self.line(f"    {result} = {source}")
        return result

    # ── lists ──

    def _macro(self, node: Macro) -> str:
        result = self.name("m")
        first = {"exists": "False", "all": "True", "exists_one": "0"}.get(node.name)
        if first is None:
            raise Unsupported("a list as a value")
        self.line(f"{result} = {first}")
        test = node.test
        assert test is not None

        def count(element: Binding) -> None:
            holds = self.within(node.variable, element, lambda: self.expression(test))
            self.line(f"if {'not ' if node.name == 'all' else ''}{holds}:")
            self.line(f"    {result} {'+= 1' if node.name == 'exists_one' else '= ' + str(node.name == 'exists')}")

        stop = {"exists": result, "all": f"not {result}"}.get(node.name)
        self.loop(node.source, count, stop)
        return f"({result} == 1)" if node.name == "exists_one" else result

    def loop(self, source: Node, body: Body, stop: str | None = None) -> None:
        """Write `body` for each element of a list; no more elements are visited once `stop` holds."""
        match source:
            case Field():
                self._loop_over_field(source, body, stop)
            case Macro(name="filter" | "map"):
                self.loop(source.source, lambda element: self._passed_on(source, element, body), stop)
            case Apply(name="_+_"):
                self.loop(source.arguments[0], body, stop)
                self._unless(stop, lambda: self.loop(source.arguments[1], body, stop))
            case Conditional():
                self._loop_over_either(source, body, stop)
            case Items():
                for element in source.elements:
                    self._unless(stop, lambda element=element: body(self.operand(element)))
            case Constant() | Variable():
                values = source.value if isinstance(source, Constant) else self.parameters.get(source.name)
                self._loop_over_values(values, body, stop)
            case _:
                raise Unsupported(f"a list made by {type(source).__name__}")

    def _loop_over_field(self, source: Field, body: Body, stop: str | None) -> None:
        owner = self.record(source.operand)
        path = (*owner.path, source.name)
        offsets, row = self.array("o", path), self.name("e")
        self.line(f"for {row} in range({offsets}[{owner.row}], {offsets}[{owner.row} + 1]):")
        self.line(f"    assume({row} >= 0)")
        self.depth += 1
        element = source.type.element
        assert element is not None
        if element.struct is not None:
            body(Record(path, row))
        else:
            plain = Field(source.start, source.end, element, Variable(0, 0, source.operand.type, "@"), "")
            self.within("@", Record(path, row), lambda: body(self.operand(plain)))
        if stop is not None:
            self.line(f"if {stop}:")
            self.line("    break")
        self.depth -= 1

    def _passed_on(self, node: Macro, element: Binding, body: Body) -> None:
        """Write the body of a loop over a filtered or mapped list."""
        depth = self.depth

        def work() -> Binding:
            if node.test is not None:
                self.line(f"if {self.expression(node.test)}:")
                self.depth += 1
            return element if node.value is None else self.operand(node.value)

        body(cast("Binding", self.within(node.variable, element, work)))
        self.depth = depth

    def _unless(self, stop: str | None, work: Callable[[], None]) -> None:
        if stop is not None:
            self.line(f"if not ({stop}):")
            self.depth += 1
            self.line("pass")
        work()
        self.depth -= stop is not None

    def _loop_over_either(self, source: Conditional, body: Body, stop: str | None) -> None:
        condition = self.expression(source.condition)
        for head, part in ((f"if {condition}:", source.chosen), ("else:", source.other)):
            self.line(head)
            self.depth += 1
            self.line("pass")
            self.loop(part, body, stop)
            self.depth -= 1

    def _loop_over_values(self, values: object, body: Body, stop: str | None) -> None:
        if not isinstance(values, list | tuple):
            raise Unsupported("a list bound to a name")
        held = cast("list[object]", values)
        if len(held) > MAX_UNROLLED:
            raise Unsupported(f"a list of more than {MAX_UNROLLED} constants")
        for value in held:
            element: Binding = Word.constant(value) if isinstance(value, str) else self.constant(value)
            self._unless(stop, lambda element=element: body(element))

    def size(self, source: Node) -> str:
        """Return the number of elements of a list."""
        if isinstance(source, Field):
            owner = self.record(source.operand)
            offsets = self.array("o", (*owner.path, source.name))
            return f"({offsets}[{owner.row} + 1] - {offsets}[{owner.row}])"
        result = self.name("m")
        self.line(f"{result} = 0")
        self.loop(source, lambda _element: self.line(f"{result} += 1"))
        return result

    def _membership(self, element: Node, container: Node) -> str:
        left, result = self.operand(element), self.name("m")
        self.line(f"{result} = False")

        def compare(item: Binding) -> None:
            self.line(f"if {self._equal(left, item)}: {result} = True")

        self.loop(container, compare, result)
        return result

    def _equal(self, left: Binding, right: Binding) -> str:
        if isinstance(left, Word) and isinstance(right, Word):
            return self._words().equal(left, right)
        if isinstance(left, str) and isinstance(right, str):
            return f"({left} == {right})"
        raise Unsupported("a comparison of Structs")

    # ── operations ──

    def _apply(self, node: Apply) -> str:
        sign = node.name.strip("_")
        first = node.arguments[0]
        if node.name in PARTS:
            return self._part(node)
        if isinstance(node.operation, AgeOperation):
            clocks = [self._local(argument, node.operation.zone.key) for argument in node.arguments]
            return f"arithmetic.full_years({clocks[0]}, {clocks[1]})"
        if any(is_text(argument) for argument in node.arguments) and node.name != "_in_":
            return self._words().apply(node)
        if node.name == "_in_":
            if is_text(first) and isinstance(node.arguments[1], Constant):
                return self._words().apply(node)
            return self._membership(*node.arguments)
        if node.name == "size":
            return self.size(first)
        if any(argument.type.kind == "list" for argument in node.arguments):
            return self._compare_lists(sign, *node.arguments)
        values = [self.expression(argument) for argument in node.arguments]
        return self._operation(node, sign, values)

    def _operation(self, node: Apply, sign: str, values: list[str]) -> str:
        kinds = {argument.type.kind for argument in node.arguments}
        match sign:
            case "!":
                return f"(not {values[0]})"
            case "-" if len(values) == 1:
                return f"(-{values[0]})"
            case "/" | "%" if "double" not in kinds:
                return f"arithmetic.{'quotient' if sign == '/' else 'remainder'}({values[0]}, {values[1]})"
            case "+" | "-" | "*" | "/":
                return f"({values[0]} {sign} {values[1]})"
            case _ if sign in COMPARISONS:
                if kinds == {"int", "double"}:
                    values = [f"float({value})" for value in values]
                return f"({values[0]} {sign} {values[1]})"
            case "int" if "timestamp" in kinds:
                return f"({values[0]} // arithmetic.SECOND)"
            case "double":
                return f"float({values[0]})"
            case "int" | "bool" | "dyn" | "timestamp" | "duration":
                return values[0]
            case _:
                raise Unsupported(f"the operation {node.name}")

    def _compare_lists(self, sign: str, left: Node, right: Node) -> str:
        for one, other in ((left, right), (right, left)):
            if sign in ("==", "!=") and isinstance(other, Items | Constant) and not _elements(other):
                return f"({self.size(one)} {sign} 0)"
        raise Unsupported("a comparison of lists")

    def _part(self, node: Apply) -> str:
        moment = node.arguments[0]
        if moment.type.kind == "duration":
            return SPAN_PARTS[node.name].format(self.expression(moment))
        zone = "UTC"
        if len(node.arguments) > 1:
            words = node.arguments[1].type.words
            if words is None or len(words) != 1:
                raise Unsupported("a time zone that is not a constant")
            zone = next(iter(words))
        return f"arithmetic.{PARTS[node.name]}({self._local(moment, zone)})"

    def _local(self, moment: Node, zone: str) -> str:
        """Return an instant as the clock of a zone shows it."""
        periods = zone_periods(zone, moment.type)
        if periods is None:
            raise Unsupported(f"instants too far for the table of {zone}")
        at = len(self.zones)
        self.zones += periods
        return f"arithmetic.local({self.expression(moment)}, zones, {at})"


def _elements(node: Items | Constant) -> tuple[object, ...]:
    return node.elements if isinstance(node, Items) else tuple(node.value)
