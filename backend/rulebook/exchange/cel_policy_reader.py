"""Import of a policy in the YAML format of CEL.

https://github.com/google/cel-go/blob/master/policy/README.md
A policy decides by its first match. Its variables are written out where they are used, and its nested rules become
rules of their own, with the conditions of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from msgspec import Struct

from backend.i18n import Text
from backend.rulebook.exchange.cel_rewriting import Rewriter, Rewritten
from backend.rulebook.exchange.module_text import (
    ImportedFact,
    ImportedModule,
    ImportedRule,
    in_ascii,
    name_of,
    one_line,
)
from backend.rulebook.exchange.refusal import INEXPRESSIBLE, UNREADABLE, CannotExpress
from backend.rulebook.language import syntax
from backend.rulebook.language.checker import check
from backend.rulebook.language.syntax import InvalidExpression
from backend.rulebook.language.tree import Constant, Node
from backend.rulebook.language.types import INT64, TIMESTAMP, Type
from backend.rulebook.modules.declared_facts import read_facts
from backend.rulebook.modules.field_reader import FieldReader
from backend.rulebook.modules.yaml_document import (
    YamlMapping,
    YamlScalar,
    YamlSequence,
    YamlValue,
    location_in,
    read_document,
)
from backend.rulebook.source import Location, SourceFile

FOLDER = "cel"
NOTHING = "none"
"""The result where no match of a policy applies."""

_TYPES = {
    "bool": "type: bool",
    "int": f"type: number, at_least: {INT64[0]}, at_most: {INT64[1]}",
    "string": "type: text",
    "timestamp": "type: instant",
    "google.protobuf.Timestamp": "type: instant",
}
_POLICY_KEYS = ("name", "description", "imports", "rule")
_RULE_KEYS = ("id", "description", "variables", "match")
_MATCH_KEYS = ("condition", "output", "explanation", "rule")
_MAX_NESTING = 20


def read_cel_policy(policy: SourceFile, config: SourceFile | None, since: date) -> ImportedModule | None:
    """Return the module of a policy, whose variables and their types are in its `config`; in force from `since`.

    A part that our rules cannot express is a fault of its file at its place; then returns None.
    """
    facts = _Facts() if config is None else _facts(config)
    root = read_document(policy)
    if root is None or policy.faults or facts is None:
        return None
    try:
        reader = _PolicyReader(policy, facts, since)
        return reader.module(root)
    except CannotExpress as refused:
        policy.fault(refused.location, refused.message, refused.help, refused.code)
    except _InvalidPart as error:
        location = location_in(policy, error.scalar, error.start, error.end)
        policy.fault(location, error.cause.message, error.cause.help, error.cause.code)
    return None


@dataclass
class _Facts:
    """The facts that a config declares: their names by those of the variables, and their keys in YAML."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    others: dict[str, str] = field(default_factory=dict[str, str])

    def imported(self) -> list[ImportedFact]:
        return [
            ImportedFact(
                name, self.keys[name], Text(zh=f"策略的变量 {variable}", en=f"The policy's variable {variable}")
            )
            for variable, name in self.names.items()
        ]


class _InvalidPart(Exception):
    """An expression of the policy is not one of our language."""

    def __init__(self, scalar: YamlScalar, start: int, end: int, cause: InvalidExpression) -> None:
        super().__init__(str(cause))
        self.scalar, self.start, self.end, self.cause = scalar, start, end, cause


def _facts(config: SourceFile) -> _Facts | None:
    root = read_document(config)
    if root is None or config.faults:
        return None
    found = _Facts()
    listed = root.entries.get("variables") if isinstance(root, YamlMapping) else None
    for item in listed.value.items if listed is not None and isinstance(listed.value, YamlSequence) else ():
        entries = item.entries if isinstance(item, YamlMapping) else {}
        name = entries["name"].value if "name" in entries else None
        inner = entries["type"].value if "type" in entries else None
        held = inner.entries if isinstance(inner, YamlMapping) else entries
        typed = held["type_name"].value if "type_name" in held else inner
        if not isinstance(name, YamlScalar) or not isinstance(typed, YamlScalar):
            message = Text(zh="变量需要 name 和 type_name", en="a variable needs `name` and `type_name`")
            config.fault(item.location, message, code=UNREADABLE)
            return None
        kind = typed.text
        if name.text == "now" and kind in ("timestamp", "google.protobuf.Timestamp"):
            continue
        if kind not in _TYPES:
            found.others[name.text] = kind
            continue
        fact = name_of(name.text.removeprefix("facts."))
        fact = f"{fact}_" if fact.endswith("_fen") else fact
        if fact in found.keys:
            message = Text(zh=f"两个变量会同名：{fact}", en=f"two variables would have the name {fact}")
            config.fault(name.location, message, code=INEXPRESSIBLE)
            return None
        found.names[name.text] = fact
        found.keys[fact] = _TYPES[kind]
    return found


@dataclass
class _Decision:
    """A rule of the module: when it applies (None: always), what it decides, and what the policy says of it."""

    when: Rewritten | None
    scalar: YamlScalar | None
    output: str | int
    number: str
    explanation: str


@dataclass
class _PolicyReader:
    file: SourceFile
    facts: _Facts
    since: date
    struct: type[Struct] | None = None

    def module(self, root: YamlValue) -> ImportedModule:
        entries = self._entries(root, _POLICY_KEYS)
        name = one_line(self._scalar(entries, "name").text)
        self.struct = self._struct()
        if "rule" not in entries:
            raise CannotExpress(root.location, Text(zh="缺少 rule", en="`rule` is missing"), code=UNREADABLE)
        decisions, exhaustive = self._rule(entries["rule"], {}, (), "")
        if not self.facts.names:
            message = Text(
                zh="策略没有可以作为事实的变量：请提供其 config.yaml",
                en="the policy has no variable that can be a fact: give its config.yaml",
            )
            raise CannotExpress(root.location, message, code=INEXPRESSIBLE)
        numeric = {type(decision.output) for decision in decisions} == {int}
        rules, otherwise = decisions, (NOTHING, Text(zh="没有一条适用", en="No match applies"))
        if exhaustive:
            rules, last = decisions[:-1], decisions[-1]
            otherwise = (str(last.output), self._because(name, last))
        words = list(dict.fromkeys(str(decision.output) for decision in decisions))
        self._check_outputs(root.location, decisions, words, numeric=numeric, exhaustive=exhaustive)
        if not exhaustive and NOTHING not in words:
            words.append(NOTHING)
        numbers = [decision.output for decision in decisions if isinstance(decision.output, int)]
        result = f"{{at_least: {min(numbers)}, at_most: {max(numbers)}}}" if numeric else f"[{', '.join(words)}]"
        source = f"[V] the CEL policy {in_ascii(name)}"
        return ImportedModule(
            f"{FOLDER}.{name_of(name)}",
            Text(zh=f"策略 {name}", en=in_ascii(f"Policy {name}")),
            [Text(zh=f"由 CEL 策略 {name} 导入。", en=f"Imported from the CEL policy {name}.")],
            self.facts.imported(),
            result,
            [
                ImportedRule(
                    f"match-{rule.number}",
                    rule.when.text if rule.when else "true",
                    str(rule.output),
                    self._because(name, rule),
                    f"{source}, match {rule.number}",
                )
                for rule in rules
            ],
            otherwise,
            self.since,
        )

    def _struct(self) -> type[Struct]:
        """Return the Struct of the declared facts, to check the expressions at their places in the policy."""
        if not self.facts.names:
            return Struct
        lines = [
            f"{fact.name}: {{{fact.keys}, meaning: {{zh: 变量, en: A variable}}}}" for fact in self.facts.imported()
        ]
        file = SourceFile(self.file.path, "\n".join(lines) + "\n", [])
        value = read_document(file)
        assert isinstance(value, YamlMapping)
        struct: Any = read_facts(file, value, "cel.policy", {})
        if struct is None:
            raise CannotExpress(Location(1, 1), file.faults[0].message, file.faults[0].help, file.faults[0].code)
        return struct

    def _because(self, name: str, decision: _Decision) -> Text:
        told = f": {decision.explanation}" if decision.explanation else ""
        return Text(
            zh=f"策略 {name} 的第{decision.number}条",
            en=in_ascii(f"Match {decision.number} of the policy {name}{told}"),
        )

    def _check_outputs(
        self,
        location: Location,
        decisions: Sequence[_Decision],
        words: Sequence[str],
        *,
        numeric: bool,
        exhaustive: bool,
    ) -> None:
        if any(isinstance(decision.output, int) for decision in decisions) and not numeric:
            raise CannotExpress(location, Text(zh="输出混有数字和词", en="the outputs mix numbers and words"))
        if not exhaustive and (numeric or (NOTHING in words and not self._adds_nothing(decisions))):
            message = Text(
                zh="策略可能没有输出：请加上没有 condition 的最后一条",
                en="the policy may have no output: add a last match without a condition",
            )
            raise CannotExpress(location, message)

    @staticmethod
    def _adds_nothing(decisions: Sequence[_Decision]) -> bool:
        return all(decision.scalar is None for decision in decisions if decision.output == NOTHING)

    # ── rules and matches ──

    def _rule(
        self, value: YamlValue, variables: Mapping[str, Rewritten], outer: tuple[Rewritten, ...], number: str
    ) -> tuple[list[_Decision], bool]:
        """Return the decisions of a rule and whether one of them always applies."""
        entries = self._entries(value, _RULE_KEYS)
        if number.count("-") > _MAX_NESTING:
            raise CannotExpress(value.location, Text(zh="嵌套过深", en="nested too deeply"))
        known = dict(variables)
        for item in self._items(entries.get("variables")):
            held = self._entries(item, ("name", "expression", "description", "display_name"))
            scalar = self._scalar(held, "expression")
            known[self._scalar(held, "name").text] = self._rewritten(scalar, known)
        found: list[_Decision] = []
        matches = self._items(entries.get("match"))
        for position, item in enumerate(matches, 1):
            decided, exhaustive = self._match(item, known, outer, f"{number}{position}")
            found += decided
            if exhaustive and position < len(matches):
                message = Text(zh="此条之后的各条不会生效", en="no later match can apply")
                raise CannotExpress(item.location, message)
            if exhaustive:
                return found, True
        return found, False

    def _match(
        self, item: YamlValue, variables: Mapping[str, Rewritten], outer: tuple[Rewritten, ...], number: str
    ) -> tuple[list[_Decision], bool]:
        entries = self._entries(item, _MATCH_KEYS)
        condition: Rewritten | None = None
        if "condition" in entries:
            scalar = self._scalar(entries, "condition")
            condition = self._rewritten(scalar, variables)
            if self._checked(scalar, condition).type.kind != "bool":
                raise CannotExpress(scalar.location, Text(zh="条件应为真或假", en="a condition must be true or false"))
            condition = None if condition.text == "true" else condition
        inner = (*outer, condition) if condition is not None else outer
        when = Rewritten.conjunction(inner)
        if "rule" in entries:
            decided, exhaustive = self._rule(entries["rule"], variables, inner, f"{number}-")
            if condition is not None and not exhaustive:
                decided.append(_Decision(when, None, NOTHING, f"{number}-0", "no match applies"))
            return decided, exhaustive and condition is None
        scalar = self._scalar(entries, "output")
        output = self._output(scalar, self._rewritten(scalar, variables))
        told = self._explanation(entries)
        return [_Decision(when, scalar, output, number, told)], condition is None

    def _output(self, scalar: YamlScalar, expression: Rewritten) -> str | int:
        checked = self._checked(scalar, expression)
        value: object = checked.value if isinstance(checked, Constant) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return value
        word = YamlScalar(scalar.location, value, '"', scalar.ends_at_line) if isinstance(value, str) else None
        probe = SourceFile(self.file.path, self.file.text, [])
        if word is None or FieldReader(probe).word(word, Text(zh="输出", en="an output")) is None:
            message = Text(zh="输出应为整数、真假值或英文词", en="an output is a whole number, a truth value or a word")
            raise CannotExpress(scalar.location, message, Text(zh='如 "red"', en='such as "red"'))
        return word.text

    def _explanation(self, entries: Mapping[str, YamlValue]) -> str:
        if "explanation" not in entries:
            return ""
        try:
            parsed = syntax.parse(self._scalar(entries, "explanation").text)
        except InvalidExpression:
            return ""
        return parsed.value if isinstance(parsed, syntax.Literal) and isinstance(parsed.value, str) else ""

    # ── expressions ──

    def _rewritten(self, scalar: YamlScalar, variables: Mapping[str, Rewritten]) -> Rewritten:
        try:
            return Rewriter(self.facts.names, self.facts.others, variables).rewritten(scalar.text.strip())
        except InvalidExpression as error:
            shift = len(scalar.text) - len(scalar.text.lstrip())
            raise _InvalidPart(scalar, error.start + shift, error.end + shift, error) from None

    def _checked(self, scalar: YamlScalar, expression: Rewritten) -> Node:
        """Return the typed tree of an expression; a fault of it is shown at its place in the policy."""
        names = {"facts": Type("facts", struct=self.struct), "now": TIMESTAMP}
        shift = len(scalar.text) - len(scalar.text.lstrip())
        try:
            return check(expression.text, names)
        except InvalidExpression as error:
            start, end = expression.span(error.start, error.end)
            raise _InvalidPart(scalar, start + shift, end + shift, error) from None

    # ── YAML ──

    def _entries(self, value: YamlValue, known: Sequence[str]) -> Mapping[str, YamlValue]:
        entries = value.entries if isinstance(value, YamlMapping) else {}
        for key, entry in entries.items():
            if key not in known:
                message = Text(zh=f"不支持“{key}”", en=f"{key!r} is not supported")
                raise CannotExpress(entry.location, message, Text(zh="、".join(known), en=", ".join(known)), UNREADABLE)
        if not entries:
            message = Text(zh="此处应有键和值", en=f"expected some of the keys {', '.join(known)}")
            raise CannotExpress(value.location, message, code=UNREADABLE)
        return {key: entry.value for key, entry in entries.items()}

    def _items(self, value: YamlValue | None) -> Sequence[YamlValue]:
        return value.items if isinstance(value, YamlSequence) else ()

    def _scalar(self, entries: Mapping[str, YamlValue], key: str) -> YamlScalar:
        value = entries.get(key)
        if not isinstance(value, YamlScalar):
            place = next(iter(entries.values())).location
            raise CannotExpress(place, Text(zh=f"缺少“{key}”", en=f"{key!r} is missing"), code=UNREADABLE)
        return value
