"""Export to CertLogic: each rule of a module as a rule whose `Logic` is its condition."""

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.exchange.certificate import CLOCK
from backend.rulebook.exchange.certlogic import COMPARISONS
from backend.rulebook.exchange.refusal import CALENDAR, INEXPRESSIBLE, CannotExpress
from backend.rulebook.language.calendar import AGE
from backend.rulebook.language.tree import Apply, Conditional, Constant, Field, Has, Items, Logic, Macro, Node, Variable
from backend.rulebook.language.types import EPOCH, Type, fields_of, microseconds
from backend.rulebook.modules.conditions import Conditions
from backend.rulebook.modules.declared_facts import declared_facts
from backend.rulebook.modules.module import Module, Rule
from backend.rulebook.source import SourceFile
from backend.rulebook.verdict import Law

_DATES = {"_<_": "before", "_<=_": "not-after", "_>_": "after", "_>=_": "not-before"}
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_MILLISECOND = timedelta(milliseconds=1)
Json = Any


def write_certlogic(module: Module, law: Law, file: SourceFile) -> list[dict[str, Json]] | None:
    """Return the rules of a law of a module as CertLogic rules, in their order, with the law's parameters.

    A part that CertLogic cannot express is a fault (R121, R122) of the module's file; then returns None.
    """
    found: list[dict[str, Json]] = []
    for number, rule in enumerate(law.rules, 1):
        try:
            logic = _Writer(module, law, rule, file).condition(rule.condition)
        except CannotExpress as refused:
            file.fault(refused.location, refused.message, refused.help, refused.code)
            continue
        found.append(_rule(module, law, rule, number, logic))
    return None if file.faults else found


def _rule(module: Module, law: Law, rule: Rule, number: int, logic: Json) -> dict[str, Json]:
    said = rule.because
    return {
        "Identifier": f"GR-CN-{number:04}",
        "Type": "Acceptance",
        "Country": "CN",
        "Version": "1.0.0",
        "SchemaVersion": "1.0.0",
        "Engine": "CERTLOGIC",
        "EngineVersion": "1.0.0",
        "CertificateType": "General",
        "Description": [
            {"lang": "en", "desc": f"{module.name} {rule.id}: {said.en}"},
            {"lang": "zh", "desc": f"{module.name} {rule.id}：{said.zh}"},
        ],
        "ValidFrom": _stamp(law.begins),
        "ValidTo": _stamp(law.ends - _MILLISECOND),
        "AffectedFields": sorted(_paths(logic)),
        "Logic": logic,
    }


def _paths(logic: Json) -> set[str]:
    if isinstance(logic, dict):
        entries = cast("dict[str, Json]", logic)
        if "var" in entries:
            path = str(entries["var"])
            return {path.removeprefix("payload.")} if path != CLOCK else set()
        return set[str]().union(*map(_paths, entries.values()))
    return set[str]().union(*map(_paths, cast("list[Json]", logic))) if isinstance(logic, list) else set()


@dataclass
class _Writer:
    module: Module
    law: Law
    rule: Rule
    file: SourceFile

    def condition(self, node: Node) -> Json:
        """Return the expression of a node. Raises CannotExpress."""
        match node:
            case Constant() | Variable() | Field():
                return self._value(node)
            case Has():
                return self._presence(node)
            case Logic(operator="&&"):
                return {"and": [self.condition(node.left), self.condition(node.right)]}
            case Logic():
                return {"if": [self.condition(node.left), True, self.condition(node.right)]}
            case Conditional():
                return {"if": [self.condition(part) for part in (node.condition, node.chosen, node.other)]}
            case Apply():
                return self._apply(node)
            case Items() | Macro():
                raise self._refused(node, self._text(node))

    def _apply(self, node: Apply) -> Json:
        name, arguments = node.name, node.arguments
        if name == "!_":
            return {"!": [self.condition(arguments[0])]}
        if any(argument.type.kind in ("timestamp", "duration") for argument in arguments):
            return self._dates(node)
        if name in ("_==_", "_!=_"):
            equal = {"===": list(map(self.condition, arguments))}
            return equal if name == "_==_" else {"!": [equal]}
        if name[1:-1] in COMPARISONS and arguments[0].type.kind == "int":
            return {name[1:-1]: list(map(self.condition, arguments))}
        if name == "_in_":
            return {"in": list(map(self.condition, arguments))}
        if name == "_+_" and node.type.kind == "int":
            return {"+": list(map(self.condition, arguments))}
        if name == "_-_" and node.type.kind == "int" and isinstance(arguments[1], Constant):
            return {"+": [self.condition(arguments[0]), -arguments[1].value]}
        raise self._refused(node, self._text(node))

    def _value(self, node: Node) -> Json:
        value = self._constant(node)
        if value is None and isinstance(node, Field):
            return {"var": self._path(node)}
        if isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            if all(isinstance(item, str | int) for item in items):
                return list(items)
        if isinstance(value, str | int):
            return value
        raise self._refused(node, self._text(node))

    def _constant(self, node: Node) -> object:
        """Return the value of a constant or a parameter, or None."""
        if isinstance(node, Constant):
            return node.value
        return self.law.parameter_values.get(node.name) if isinstance(node, Variable) else None

    def _presence(self, node: Has) -> Json:
        struct = node.operand.type.struct
        assert struct is not None, "has() is checked to test a field"
        held: Type = fields_of(struct)[node.name].type
        var = {
            "var": f"{self._path(node.operand)}.{node.name}"
            if isinstance(node.operand, Field)
            else self._root(struct, node.name)
        }
        empty = {"int": 0, "string": "", "bool": False}.get(held.kind)
        if held.kind in ("list", "double"):
            raise self._refused(node, self._text(node))
        if empty is None:
            return {"!": [{"!": [var]}]}
        return {"if": [var, True, {"===": [var, empty]}]}

    def _path(self, node: Node) -> str:
        """Return the path of a fact, of which the data of a certificate has one value."""
        if isinstance(node, Field) and isinstance(node.operand, Field):
            return f"{self._path(node.operand)}.{node.name}"
        if isinstance(node, Field) and isinstance(node.operand, Variable) and node.operand.name == "facts":
            return self._root(self.module.facts, node.name)
        raise self._refused(node, self._text(node))

    def _root(self, struct: type[Struct], name: str) -> str:
        sources = {fact.name: fact.source for fact in declared_facts(struct)}
        source = sources.get(name, "")
        return source if source.startswith(("payload.", "external.")) else f"payload.{name}"

    # ── instants ──

    def _dates(self, node: Apply) -> Json:
        """Return a comparison of instants: of one with another and whole hours."""
        if node.name in ("_==_", "_!=_"):
            both = [
                self._dates(Apply(node.start, node.end, node.type, each, node.operation, node.arguments))
                for each in ("_<=_", "_>=_")
            ]
            return {"and": both} if node.name == "_==_" else {"!": [{"and": both}]}
        if node.name not in _DATES:
            raise self._refused(node, self._text(node))
        instants: dict[str, int] = {}
        offset = self._add(node.arguments[0], 1, instants) - self._add(node.arguments[1], 1, instants, negative=True)
        kept = {path: count for path, count in instants.items() if count}
        after = [path for path, count in kept.items() if count == 1]
        before = [path for path, count in kept.items() if count == -1]
        if len(kept) != len(after) + len(before) or max(len(after), len(before)) != 1:
            raise self._refused(node, self._text(node))
        left = self._plus(after[0] if after else None, 0 if after and before else offset if not after else 0, node)
        right = self._plus(before[0] if before else None, -offset if after else 0, node)
        return {_DATES[node.name]: [left, right]}

    def _add(self, node: Node, sign: int, instants: dict[str, int], *, negative: bool = False) -> int:
        """Add the instants of a sum to `instants`; return its constant microseconds."""
        factor = -sign if negative else sign
        value = self._constant(node)
        if isinstance(value, datetime | timedelta):
            return sign * microseconds(value)
        if isinstance(node, Apply) and node.name in ("_+_", "_-_"):
            second = sign if node.name == "_+_" else -sign
            first = self._add(node.arguments[0], sign, instants, negative=negative)
            return first + self._add(node.arguments[1], second, instants, negative=negative)
        if node.type.kind != "timestamp" or not isinstance(node, Field | Variable):
            raise self._refused(node, self._text(node))
        path = CLOCK if isinstance(node, Variable) else self._path(node)
        instants[path] = instants.get(path, 0) + factor
        return 0

    def _plus(self, path: str | None, offset: int, node: Node) -> Json:
        if path is None:
            if offset % 1_000:
                raise self._refused(node, self._text(node))
            return {"plusTime": [_stamp(EPOCH + timedelta(microseconds=offset)), 0, "day"]}
        if offset % _HOUR:
            message = Text(zh="CertLogic 只能加减整小时", en="CertLogic adds whole hours only")
            raise CannotExpress(Conditions(self.file).location(self.rule, node), message)
        days, rest = divmod(offset, _DAY)
        return {"plusTime": [{"var": path}, *((offset // _HOUR, "hour") if rest else (days, "day"))]}

    def _text(self, node: Node) -> str:
        return textwrap.shorten(self.rule.text[node.start : node.end], 60, placeholder=" ...")

    def _refused(self, node: Node, what: str) -> CannotExpress:
        message = Text(zh=f"CertLogic 无法表达 `{what}`", en=f"CertLogic cannot express `{what}`")
        code = CALENDAR if isinstance(node, Apply) and node.name == AGE else INEXPRESSIBLE
        return CannotExpress(Conditions(self.file).location(self.rule, node), message, code=code)


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
